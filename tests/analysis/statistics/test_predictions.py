"""What a model answers: cells where one answer takes most images, and classes below the others, by hand."""

import duckdb
import polars as pl
import pytest
from scipy.stats import binomtest

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.judging.judge import above
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.predictions import (
    CLASS_GAP,
    Collapse,
    class_gaps,
    collapse_by_corruption,
)
from failmodes.analysis.statistics.shares import difference_of_groups

pytestmark = pytest.mark.test_all


def test_the_most_collapsed_cell_is_found(collapsing: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(collapsing)
    alpha, beta = selection.evaluations
    found = collapse_by_corruption(collapsing, selection, alpha)[0]
    assert (found.corruption, found.severity, found.predicted_count, found.share.n) == ("contrast", 5.0, 159, 160)
    assert (found.class_name, found.label_share) == ("one", 0.25)
    cells = 2 * 5 + 1
    interval = binomtest(159, 160).proportion_ci(1 - 0.05 / cells, method="wilson")
    assert found.share[:3] == pytest.approx((159 / 160, interval.low, interval.high))
    assert all(one.share.low <= one.limit for one in collapse_by_corruption(collapsing, selection, beta))


def test_a_verdict_of_collapse_compares_with_the_middle_between_labels_and_all() -> None:
    def verdict(low: float, high: float, labels: float) -> str:
        share = Estimate((low + high) / 2, low, high)
        return above(share, Collapse("fog", 5.0, "one", 90, share, labels).limit)

    assert verdict(0.63, 0.9, 0.25) == "supported"
    assert verdict(0.62, 0.9, 0.25) == "inconclusive"
    assert verdict(0.2, 0.62, 0.25) == "contradicted"
    assert verdict(0.63, 0.9, 0.5) == "inconclusive", "half of the labels are of this class"


def test_the_class_farthest_below_the_others_is_found(collapsing: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(collapsing)
    _, beta = selection.evaluations
    first, *others = class_gaps(collapsing, selection, beta)
    assert (first.corruption, first.severity, first.class_name) == ("fog", 5.0, "three")
    assert (first.gap.n, first.accuracy, first.gap.low > CLASS_GAP) == (40, 0, True)
    ((cells,),) = collapsing.execute(
        "select count(distinct (corruption, severity)) from outcomes where evaluation_id = ? and severity > 0",
        [beta.evaluation_id],
    ).fetchall()
    low, high = difference_of_groups((1.0, 0.0), (120, 40), comparisons=cells * 4)
    assert first.gap[:3] == pytest.approx((1.0, float(low), float(high)))
    assert [one.corruption for one in others] == ["contrast"]
    rows = collapsing.sql(
        "select label, severity, correct from outcomes where evaluation_id = ? and corruption = 'contrast'",
        params=[beta.evaluation_id],
    ).pl()  # fmt: skip
    gaps = {
        float(severity): max(
            cell.filter(pl.col("label") != c)["correct"].mean() - cell.filter(label=c)["correct"].mean()
            for c in range(4)
        )
        for (severity,), cell in rows.partition_by("severity", as_dict=True).items()
    }
    assert others[0].gap.value == pytest.approx(max(gaps.values()))
    assert gaps[others[0].severity] == pytest.approx(max(gaps.values()))
