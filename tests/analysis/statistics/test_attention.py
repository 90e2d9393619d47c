"""Attention drift and changes against NumPy and SciPy, and comparisons with the null by hand."""

from dataclasses import replace

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.attention import (
    LARGEST_CORRELATION,
    attention_at_last,
    compare_with_null,
    interval_on_cycle,
    mean_on_cycle,
    variance_inflation,
)

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
    center = (share + z2 / 2) / (1 + z2)
    half = np.sqrt(z2 * (share * (1 - share) + z2 / 4)) / (1 + z2)
    return share, center - half, center + half


def _rows(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> pl.DataFrame:
    query = "from attention where evaluation_id = ? and target = 'clean' order by image_id"
    return con.sql(query, params=[evaluation.evaluation_id]).pl()


@pytest.mark.parametrize(
    ("values", "cycles", "inflation"),
    [
        ([1, 1, 1, 0, 0, 0], [[0, 1, 2, 3, 4, 5]], 1 + 2 * (4 - 2) / 6),
        ([1, 0, 1, 0], [[0, 1, 2, 3]], 1),
        ([1, 1, 0, 0], [[0, 1], [2, 3]], 2),
        ([1, 1, 0, 0, NAN], [[0, 1, 4], [2, 3]], 1 + (0.5 + 0.5) / 1),
    ],
    ids=["neighbors agree", "neighbors differ", "cycles of two", "one left out"],
)
def test_variance_grows_with_the_covariance_along_the_cycle(
    values: list[float], cycles: list[list[int]], inflation: float
) -> None:
    assert variance_inflation(np.array(values, float), _following(*cycles)) == pytest.approx(inflation)


def test_share_has_wilsons_interval_of_the_effective_count() -> None:
    values = np.array([1.0, 1, 1, 0, 0, 0])
    following = _following([0, 1, 2, 3, 4, 5])
    assert interval_on_cycle(*mean_on_cycle(values, following))[:3] == pytest.approx(_wilson(0.5, 6 / (5 / 3)))
    halves = np.array([1.0] * 300 + [0.5] * 200 + [0.0] * 100)  # which vary less
    share = halves.mean()
    exact = _wilson(share, share * (1 - share) / halves.var() * 600)
    assert interval_on_cycle(*mean_on_cycle(halves, np.full(600, -1)))[:3] == pytest.approx(exact, rel=0.001)


def test_images_without_a_map_count_one_half_and_at_worst_nothing() -> None:
    own = np.array([0.1, 0.3, NAN, 0.2, 0.1, 0.1])
    other = np.array([0.2, 0.1, NAN, 0.2, 0.5, 0.4])
    found = compare_with_null(own, other, np.ones(6, bool), _following([0, 1, 3, 2, 4, 5]))
    # image 3 is left out: its other image, 2, has no map
    assert (found.share.n, found.missing_count) == (5, 1)
    assert found.share.value == pytest.approx((1 + 0 + 0.5 + 1 + 1) / 5)
    assert found.worst_case.value == pytest.approx((1 + 0 + 0 + 1 + 1) / 5)
    unknown = compare_with_null(own, other, np.ones(6, bool), None)
    assert (unknown.share.n, unknown.share.value) == (6, pytest.approx((1 + 0 + 0.5 + 0.5 + 1 + 1) / 6))
    count = 6 * 3.5 / 6 * 2.5 / 6 / (3.5 / 6 * 2.5 / 6 - 1 / 10 / 4) / (1 + 2 * LARGEST_CORRELATION)
    assert unknown.worst_case[:3] == pytest.approx(_wilson(3.5 / 6, count))


def test_ties_are_inconclusive_and_no_distance_is_no_comparison() -> None:
    following = _following(list(range(9)))
    tied = compare_with_null(np.ones(9), np.ones(9), np.ones(9, bool), following)
    assert (tied.share.value, tied.worst_case.value) == (0.5, 0.5)
    assert tied.share.low < 0.5 < tied.share.high
    assert tied.share.high - tied.share.low > 0.1
    assert compare_with_null(np.full(9, NAN), np.full(9, NAN), np.ones(9, bool), following) is None


def test_own_maps_agree_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    fog = _rows(con, evaluation).filter(corruption="fog", severity=5)
    tests = {one.corruption: one for one in attention_at_last(con, evaluation, selection.corruptions).own_maps}
    own, other = (fog[name].to_numpy() for name in ("centroid_shift", "null_class_centroid_shift"))
    assert tests["fog"].share.n == len(fog)
    assert tests["fog"].share.value == pytest.approx((own < other).mean())
    assert (tests["fog"].median_shift, tests["fog"].median_null) == pytest.approx((np.median(own), np.median(other)))
    (alone,) = attention_at_last(con, evaluation, ("fog",)).own_maps
    assert alone.share.low > tests["fog"].share.low, "intervals of all corruptions hold together"
    lacking = replace(evaluation, label="lacking", facts=evaluation.facts | {"image_count": 401})
    (unknown,) = attention_at_last(con, lacking, ("fog",)).own_maps  # whose cycle is not known
    assert unknown.share[:3] == pytest.approx(_wilson(alone.share.value, unknown.share.n / 1.58))


def test_changes_of_the_mask_share_agree_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    rows = _rows(con, evaluation).with_columns(beyond=pl.col("mask_share") - pl.col("null_mask_share"))
    clean = rows.filter(corruption="none")["beyond"]
    found = attention_at_last(con, evaluation, selection.corruptions)
    assert {c: e.value for c, e in found.mask_changes.items()} == pytest.approx(
        {c: (rows.filter(corruption=c, severity=5)["beyond"] - clean).mean() for c in selection.corruptions}, abs=1e-6
    )
