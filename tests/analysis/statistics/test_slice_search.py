"""The search for slices: counts by hand, exact p values by SciPy, a planted slice, and data without a difference."""

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import fisher_exact

from failmodes.analysis.statistics.distinct_slices import distinct_slices
from failmodes.analysis.statistics.slice_search import (
    NO_GROUP,
    SliceSearch,
    deviations,
    fisher_p,
    group_images,
    search_slices,
)

CORRUPTIONS = np.array([0, 1, 1, 1, 2, 2])


def searched(codes: np.ndarray, correct: np.ndarray, **options: int) -> SliceSearch:
    return search_slices(group_images(codes, correct, CORRUPTIONS[: correct.shape[1]]), **options)


def random_images(seed: int, images: int, attributes: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of 2 to 5 groups, some missing, and correctness that depends on none of them but on other cells."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(0, 2 + place % 4, images) for place in range(attributes)], axis=1)
    codes[rng.random(codes.shape) < 0.05] = -1
    difficulty = rng.random((images, 1)) * 0.7 + rng.random((images, len(CORRUPTIONS))) * 0.3
    return codes, difficulty < np.array([0.85, 0.8, 0.7, 0.6, 0.75, 0.6])


def test_every_conjunction_is_counted() -> None:
    codes, correct = random_images(0, 400, 4)
    search = searched(codes, correct, fewest_images=20)
    counts = [0, 0, 0]
    for depth in (1, 2, 3):
        for attributes in combinations(range(4), depth):
            for values in product(*(range(codes[:, attribute].max() + 1) for attribute in attributes)):
                inside = (codes[:, attributes] == values).all(axis=1)
                counts[depth - 1] += inside.sum() >= 20
    assert search.slice_counts == tuple(counts)
    candidates = search.candidates
    for groups, cell, images, hits, deviation in zip(*candidates, strict=True):
        own = groups[groups != NO_GROUP]
        inside = (codes[:, search.images.attributes[own]] == search.images.codes[own]).all(axis=1)
        assert images == inside.sum()
        assert hits == correct[inside, cell].sum()
        cells = np.flatnonzero(CORRUPTIONS[cell] == CORRUPTIONS)
        own_deviations = deviations(images, correct[inside][:, cells].sum(axis=0), 400, correct[:, cells].sum(axis=0))
        assert deviation == pytest.approx(own_deviations.min())


def test_p_values_are_fishers() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        total = int(rng.integers(60, 3_000))
        size = int(rng.integers(10, total - 10))
        correct = rng.random(total) < rng.random()
        hits, all_hits = int(correct[:size].sum()), int(correct.sum())
        table = [[hits, size - hits], [all_hits - hits, total - size - all_hits + hits]]
        expected = fisher_exact(table, alternative="less").pvalue
        assert float(fisher_p(size, hits, total, all_hits)) == pytest.approx(expected, rel=1e-9)


def test_a_group_of_all_images_is_no_slice() -> None:
    codes, correct = random_images(2, 300, 2)
    codes = np.column_stack([np.zeros(300, np.int64), codes, codes[:, 0]])
    search = searched(codes, correct)
    assert 0 not in search.images.attributes
    attributes = [search.images.attributes[groups[groups != NO_GROUP]] for groups in search.candidates.groups]
    assert attributes
    assert all(len({1, 3} & set(own)) < 2 for own in attributes)


def test_a_search_without_attributes_or_images_finds_nothing() -> None:
    _, correct = random_images(3, 100, 2)
    for codes in (np.zeros((100, 0), np.int64), np.full((100, 2), -1), np.arange(200).reshape(100, 2)):
        search = searched(codes, correct)
        assert search.test_count == 0
        assert distinct_slices(search, rows=5) == []


@pytest.mark.parametrize("conditions", [1, 2, 3])
def test_a_planted_slice_is_the_first_and_explains_its_parts(conditions: int) -> None:
    codes, correct = random_images(4, 6_000, 8)
    planted = (codes[:, :conditions] == 0).all(axis=1)
    rng = np.random.default_rng(5)
    correct[planted, 1:4] &= rng.random((planted.sum(), 1)) > 0.4  # under corruption 1 alone
    search = searched(codes, correct)
    first, *others = distinct_slices(search, rows=10)
    assert search.images.attributes[first.groups].tolist() == list(range(conditions))
    assert search.images.codes[first.groups].tolist() == [0] * conditions
    assert CORRUPTIONS[first.cell] == 1
    assert first.images == planted.sum()
    assert first.p_value < 1e-6
    assert first.explained > 5
    assert len(others) <= 1


def test_two_planted_slices_are_both_listed() -> None:
    codes, correct = random_images(6, 6_000, 6)
    rng = np.random.default_rng(7)
    for attribute in (0, 3):
        planted = codes[:, attribute] == 1
        correct[planted, 1:4] &= rng.random((planted.sum(), 1)) > 0.3
    found = distinct_slices(searched(codes, correct), rows=10)
    names = [tuple(searched(codes, correct).images.attributes[one.groups].tolist()) for one in found[:2]]
    assert sorted(names) == [(0,), (3,)]


def test_without_a_difference_little_is_supported() -> None:
    supported = 0
    for seed in range(40):
        codes, correct = random_images(100 + seed, 1_500, 6)
        found = distinct_slices(searched(codes, correct), rows=3)
        assert found  # the most deviating ones, which are not supported
        supported += found[0].p_value <= 0.05
    assert supported <= 6  # 2 are expected at most, 6 with a probability of 1%
