"""Groups of exact duplicates: numbers, effective counts and errors, against definitions worked out in a loop."""

from collections import Counter

import numpy as np
import pytest

from failmodes.warehouse.metrics.duplicates import (
    duplicates_note,
    effective_counts,
    independent_share,
    kept_groups,
    number_groups,
)
from failmodes.warehouse.metrics.intervals import (
    exact_interval,
    interval_of_mean,
    mean_with_pseudo_images,
    quantile_interval,
)


def test_groups_are_numbered_by_first_appearance() -> None:
    groups = number_groups(["d", "b", "d", "a", "b"])
    assert groups is not None
    assert groups.tolist() == [0, 1, 0, 2, 1]
    assert number_groups(["d", "b", "a"]) is None
    assert kept_groups(groups, np.array([True, True, False, True, False])) is None
    assert np.asarray(kept_groups(groups, np.array([3, 4, 1]))).tolist() == [0, 1, 1]
    assert kept_groups(None, np.array([0])) is None


def test_effective_counts_are_those_of_kish() -> None:
    rng = np.random.default_rng(0)
    groups, places = rng.integers(0, 12, 60), rng.integers(0, 4, 60)
    for place, found in enumerate(effective_counts(groups, places, 5)):
        sizes = Counter(groups[places == place].tolist()).values()
        assert found == pytest.approx(sum(sizes) ** 2 / sum(size**2 for size in sizes) if sizes else 0)
    assert effective_counts(None, places, 4).tolist() == np.bincount(places).tolist()
    assert independent_share(groups) == pytest.approx(60 / (np.bincount(groups) ** 2).sum())
    assert [independent_share(one) for one in (None, np.arange(7), np.zeros(8, int))] == [1, 1, 1 / 8]


@pytest.mark.parametrize("added", [0.0, 1.0])
def test_groups_of_one_image_change_no_interval(added: float) -> None:
    values = np.random.default_rng(1).random(40)
    with_groups = interval_of_mean(values, (0, 1), pseudo_images=added, groups=np.arange(40))
    assert with_groups == pytest.approx(interval_of_mean(values, (0, 1), pseudo_images=added))


def test_the_error_of_a_mean_is_cluster_robust() -> None:
    """Against the sandwich formula worked out group by group, of groups of unequal size."""
    rng = np.random.default_rng(2)
    groups = np.unique(rng.integers(0, 25, 80), return_inverse=True)[1]
    values = rng.normal(size=80) + rng.normal(size=25)[groups]
    by_hand = sum((values[groups == group] - values.mean()).sum() ** 2 for group in set(groups.tolist())) / 80**2
    assert mean_with_pseudo_images(values, 0, 0, 0, groups) == pytest.approx((values.mean(), by_hand))


def test_exact_intervals_at_parts_of_images_lie_between_their_neighbors() -> None:
    ends = [np.array(exact_interval(hits, 20)) for hits in (0, 0.25, 0.5, 1, 1.5, 2)]
    assert (np.diff(np.stack(ends), axis=0) > 0).all()


@pytest.mark.parametrize("share", [0.025, 0.5, 0.9])
def test_quantiles_of_copies_are_those_of_distinct_values(share: float) -> None:
    values = np.random.default_rng(4).random(101)
    for repeats in (2, 3):
        found = quantile_interval(np.repeat(values, repeats), share, independent=1 / repeats)
        assert found == quantile_interval(values, share)


@pytest.mark.parametrize(("images", "distinct", "copies"), [(500, 499, "1 of 500"), (5000, 488, "4,512 of 5,000")])
def test_a_note_says_how_many(images: int, distinct: int, copies: str) -> None:
    assert duplicates_note(images, distinct).startswith(copies)
    assert duplicates_note(images, images) == ""
