"""Quantiles are NumPy's to the last bit; items of lists are those of the lists, however these lie."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.warehouse.measures.columns import list_items, lists, numbers, quantiles

SHARES = {"low": 0.025, "q05": 0.05, "median": 0.5, "q95": 0.95, "high": 0.975, "least": 0.0, "most": 1.0}


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6, width=32) | st.just(float("nan")), min_size=1, max_size=60))
def test_quantiles_are_those_of_numpy_bit_by_bit(values: list[float]) -> None:
    given_values = np.array(values, np.float32)
    known = given_values[~np.isnan(given_values)]
    expected = np.quantile(known, list(SHARES.values())).tolist() if len(known) else [None] * len(SHARES)
    before = given_values.copy()
    assert list(quantiles(given_values, SHARES).values()) == expected
    assert np.array_equal(given_values, before, equal_nan=True), "what was given stays in its order"
    assert list(quantiles(np.sort(given_values), SHARES).values()) == expected


def test_flags_are_numbers_and_nulls_none() -> None:
    flags = pa.table({"whole": [True, False, True], "some": [True, None, False]})
    assert numbers(flags, "whole").tolist() == [1, 0, 1]
    assert np.array_equal(numbers(flags, "some"), [1, np.nan, 0], equal_nan=True)
    assert numbers(flags, "some").dtype == np.float32


def test_items_of_lists_with_and_without_gaps() -> None:
    whole = pa.table({"logits": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]})
    assert list_items(*lists(whole, "logits"), np.arange(3)).tolist() == [[1, 3, 5], [2, 4, 6]]
    mixed = pa.table({"logits": [[1.0, 2.0], None, [3.0], [5.0, 6.0]]})
    assert list_items(*lists(mixed, "logits"), np.array([0, 3])).tolist() == [[1, 5], [2, 6]]
    assert list_items(*lists(mixed, "logits"), np.array([2])).tolist() == [[3]]
