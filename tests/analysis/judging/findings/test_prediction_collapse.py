"""Mode collapse and classes far below the others: said with cell, class, count and interval, and of nothing else."""

import duckdb
from checkpoint_comparisons import judged, of_kind

from failmodes.analysis.selection import select_one


def test_a_collapse_names_cell_count_and_class(collapsing: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(collapsing)
    found = judged(collapsing, selection, "prediction_collapse")
    assert len(found) == 2 * 3, "both models, clean and under two corruptions"
    (collapse,) = of_kind(found, "prediction_collapse", verdict="supported")
    assert (collapse.model_label, collapse.corruption, collapse.severity) == ("Alpha", "contrast", 5.0)
    assert (collapse.value, collapse.n) == (159 / 160, 160)
    assert "159 of 160\u00a0images" in collapse.sentence


def test_a_class_far_below_the_others_is_named(collapsing: duckdb.DuckDBPyConnection) -> None:
    found = judged(collapsing, select_one(collapsing), "class_failure")
    (gap,) = of_kind(found, "class_failure", model_label="Beta", verdict="supported")
    assert (gap.corruption, gap.value, gap.n) == ("fog", 1.0, 40)
    assert "\u201cthree\u201d" in gap.sentence
    (other,) = of_kind(found, "class_failure", model_label="Beta", corruption="contrast")
    assert other.verdict == "inconclusive"
