"""Failure onset: what the worst corruption leaves, with its interval; counted where there are many models."""

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import CORRUPTIONS
from scipy.stats import binomtest
from synthetic_results import Synthetic

from failmodes.analysis.charts.onset import chart
from failmodes.analysis.charts.style.frame import PAPER
from failmodes.analysis.selection import select_one


def survivors(results: Synthetic, label: str, corruption: str) -> tuple[int, int]:
    """Images that are right at every severity, of those that are right when clean."""
    correct = results.correct[label, corruption]
    return int(np.all(correct, axis=0).sum()), int(correct[0].sum())


@pytest.mark.parametrize("label", ["Aspen", "Birch"])
def test_few_models_are_reported_with_their_interval(
    many_con: duckdb.DuckDBPyConnection, many_results: Synthetic, label: str
) -> None:
    counts = {corruption: survivors(many_results, label, corruption) for corruption in CORRUPTIONS}
    left, clean = min(counts.values())
    ends = binomtest(left, clean).proportion_ci(1 - 0.05 / len(CORRUPTIONS), method="exact")
    figure = chart(many_con, select_one(many_con, models=[label]), frame=PAPER)
    assert f"{100 * left / clean:.1f}% [{100 * ends.low:.1f},\u00a0{100 * ends.high:.1f}]" in figure.title
    (rows,) = figure.to_dict()["datasets"].values()
    shown = {row["corruption"]: row["surviving_share"] for row in rows if row["text"]}
    assert shown == pytest.approx({corruption: left / clean for corruption, (left, clean) in counts.items()})
