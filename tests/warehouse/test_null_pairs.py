"""Null pairs: derangements within their bounds, and the very ones that earlier records were made with."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.warehouse.null_pairs import sample_null_pairs


@settings(max_examples=30)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_partners_are_derangements_within_their_bounds(labels: list[int]) -> None:
    labels_array = np.array(labels)
    partners = sample_null_pairs(labels_array)
    positions = np.arange(len(labels))
    if len(labels) > 1:
        assert sorted(partners.any_image) == list(positions)
        assert not (partners.any_image == positions).any()
    has = partners.same_class >= 0
    assert (partners.same_class[has] != positions[has]).all()
    assert (labels_array[partners.same_class[has]] == labels_array[has]).all()
    assert [labels.count(c) == 1 for c in labels] == list(~has)


def test_pairs_are_those_of_earlier_results() -> None:
    pairs = sample_null_pairs(np.array([0, 1, 0, 1, 0, 2]))
    assert pairs.any_image.tolist() == [1, 3, 5, 2, 0, 4]
    assert pairs.same_class.tolist() == [2, 3, 4, 1, 0, -1]
