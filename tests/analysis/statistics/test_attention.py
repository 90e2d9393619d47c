"""Attention drift and changes against NumPy and SciPy, and comparisons with the null by hand."""

from dataclasses import replace

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.attention import (
    LARGEST_CORRELATION,
    attention_at_last,
    compare_with_null,
    read_last_rows,
    share_on_cycle,
    variance_inflation,
)
from failmodes.warehouse.null_pairs import sample_null_pairs

NAN = np.nan


def _following(*cycles: list[int]) -> np.ndarray:
    """The next image of each, in cycles of image numbers."""
    following = np.full(sum(map(len, cycles)), -1)
    for cycle in cycles:
        following[cycle] = np.roll(cycle, -1) if len(cycle) > 1 else -1
    return following


def _wilson(share: float, count: float) -> tuple[float, float, float]:
    """Wilson's interval as it is written in books."""
    z2 = stats.norm.ppf(0.975) ** 2 / count
    center, half = (share + z2 / 2) / (1 + z2), np.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return share, center - half, center + half


def _rows(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> pl.DataFrame:
    return con.sql(
        "from attention where evaluation_id = ? and target = 'clean' order by image_id",
        params=[evaluation.evaluation_id],
    ).pl()


@pytest.mark.parametrize(
    ("values", "cycles", "inflation"),
    [
        ([1, 1, 1, 0, 0, 0], [[0, 1, 2, 3, 4, 5]], 1 + 2 * (4 - 2) / 6),
        ([1, 1, 1, 0, 0, 0], [[0, 2, 1, 4, 5, 3]], 1 + 2 * (4 - 2) / 6),
        ([1, 0, 1, 0], [[0, 1, 2, 3]], 1),
        ([1, 1, 0, 0], [[0, 1], [2, 3]], 2),
        ([1, 1, 1, 1], [[0, 1, 2, 3]], 1),
        ([1, 1, 0, 0, NAN], [[0, 1, 4], [2, 3]], 1 + (0.5 + 0.5) / 1),
    ],
    ids=["neighbors agree", "another order", "neighbors differ", "cycles of two", "all equal", "one left out"],
)
def test_variance_grows_with_the_covariance_along_the_cycle(
    values: list[float], cycles: list[list[int]], inflation: float
) -> None:
    assert variance_inflation(np.array(values, float), _following(*cycles)) == pytest.approx(inflation)


def test_share_has_wilsons_interval_of_the_effective_count() -> None:
    values, following = np.array([1.0, 1, 1, 0, 0, 0]), _following([0, 1, 2, 3, 4, 5])
    assert share_on_cycle(values, following) == pytest.approx(_wilson(0.5, 6 / (5 / 3)))
    assert share_on_cycle(values, following, comparisons=5).low < share_on_cycle(values, following).low


def test_halves_vary_less() -> None:
    values = np.array([1.0] * 300 + [0.5] * 200 + [0.0] * 100)
    share = values.mean()
    exact = share * (1 - share) / values.var() * 600
    assert share_on_cycle(values, np.full(600, -1)) == pytest.approx(_wilson(share, exact), rel=0.001)


def test_images_without_a_map_count_one_half_and_at_worst_nothing() -> None:
    own = np.array([0.1, 0.3, NAN, 0.2, 0.1, 0.1])
    other = np.array([0.2, 0.1, NAN, 0.2, 0.5, 0.4])
    following = _following([0, 1, 3, 2, 4, 5])
    found = compare_with_null(own, other, np.ones(6, bool), following)
    assert found is not None
    # image 3 is left out: its other image, 2, has no map
    assert (found.image_count, found.missing_count) == (5, 1)
    assert found.share.value == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)
    assert found.worst_case.value == pytest.approx((1 + 0 + 0 + 1 + 1) / 5)
    assert found.median_null == pytest.approx(0.2)
    unknown = compare_with_null(own, other, np.ones(6, bool), None)
    assert unknown is not None
    assert (unknown.image_count, unknown.share.value) == (6, pytest.approx((1 + 0 + 0.5 + 0.5 + 1 + 1) / 6))
    count = 6 * 3.5 / 6 * 2.5 / 6 / (3.5 / 6 * 2.5 / 6 - 1 / 10 / 4) / (1 + 2 * LARGEST_CORRELATION)
    assert unknown.worst_case == pytest.approx(_wilson(3.5 / 6, count))


def test_ties_are_inconclusive() -> None:
    tied = compare_with_null(np.ones(9), np.ones(9), np.ones(9, bool), _following(list(range(9))))
    assert tied is not None
    assert tied.share.value == tied.worst_case.value == 0.5
    assert tied.verdict == "inconclusive"


def test_which_maps_are_empty_makes_own_ones_no_nearer() -> None:
    rng, count = np.random.default_rng(0), 40_000
    clean, corrupted = rng.normal(size=(2, count, 2))  # nothing of the clean centroid is left
    corrupted[np.hypot(*clean.T) > 1.5] = NAN
    following = sample_null_pairs(np.zeros(count, int)).same_class
    own, other = (np.hypot(*(corrupted - baseline).T) for baseline in (clean, clean[following]))
    found = compare_with_null(own, other, np.ones(count, bool), following)
    assert found is not None
    assert found.share.low < 0.5 < found.share.high
    assert np.where(np.isnan(own), 0.5, own < other).mean() > 0.53  # as if others' clean maps were as selected


def test_own_maps_agree_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    fog = _rows(con, evaluation).filter(corruption="fog", severity=5)
    tests = attention_at_last(con, evaluation, selection.corruptions).own_maps
    found = next(test for test in tests if test.corruption == "fog")
    own, other = (fog[name].to_numpy() for name in ("centroid_shift", "null_class_centroid_shift"))
    nearer = (own < other).astype(float)
    assert found.image_count == len(fog)
    assert found.share.value == pytest.approx(nearer.mean())
    assert found.median_shift == pytest.approx(float(np.median(own)))
    assert found.median_null == pytest.approx(float(np.median(other)))
    assert [test.median_shift for test in tests] == sorted((test.median_shift for test in tests), reverse=True)
    assert found.worst_case == found.share
    (alone,) = attention_at_last(con, evaluation, ("fog",)).own_maps
    assert alone.share.value == found.share.value
    assert alone.share.low > found.share.low, "intervals of all corruptions hold together"


def test_an_unknown_cycle_takes_the_largest_correlation(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    lacking = replace(evaluation, label="lacking", facts=evaluation.facts | {"image_count": 401})
    known, unknown = (attention_at_last(con, one, ("fog",)).own_maps[0] for one in (evaluation, lacking))
    assert read_last_rows(con, lacking, selection.corruptions).following is None
    assert unknown.share.value == known.share.value
    assert unknown.share == pytest.approx(_wilson(known.share.value, unknown.image_count / 1.58))


def test_changes_of_the_mask_share_agree_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    rows = _rows(con, evaluation)
    last = {c: rows.filter(corruption=c, severity=5) for c in selection.corruptions}
    found = attention_at_last(con, evaluation, selection.corruptions)

    def beyond_null(cell: pl.DataFrame) -> np.ndarray:
        own, null = (cell[name].to_numpy().astype(float) for name in ("mask_share", "null_mask_share"))
        return np.asarray(own - null)

    clean = beyond_null(rows.filter(corruption="none"))
    changes = {c: beyond_null(part) - clean for c, part in last.items()}
    assert found.has_mask_null
    assert {c: e.value for c, e in found.mask_changes.items()} == pytest.approx(
        {c: change.mean() for c, change in changes.items()}
    )
