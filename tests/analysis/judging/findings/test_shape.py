"""Findings on curves: one word a curve, with its figures, its step, its reason, and where it ends at chance."""

import duckdb
import pytest
from checkpoint_comparisons import of_kind
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.shape import shape_label, shape_phrase
from failmodes.analysis.statistics.shape_tables import MAX_P

SHAPES = {"fog": "abrupt", "motion_blur": "inconclusive", "contrast": "near_linear", "gaussian_noise": "up_and_down",
          "brightness": "inconclusive"}  # fmt: skip


def test_a_finding_is_the_word_of_the_table_with_its_figures(
    con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding], synthetic: Synthetic
) -> None:
    found = {f.corruption: f for f in of_kind(all_findings, "shape", model_label="Alpha")}
    rows = read_for_selection(con, "shapes", selection.only(selection.evaluations[0]))
    assert {corruption: finding.claim for corruption, finding in found.items()} == SHAPES
    assert {c for c, finding in found.items() if finding.verdict == "supported"} == {
        corruption for corruption, shape in SHAPES.items() if shape != "inconclusive"
    }
    for row in rows.iter_rows(named=True):
        finding = found[row["corruption"]]
        figure = "largest_step" if row["shape"] == "abrupt" else "total_drop"
        assert (finding.value, finding.low, finding.high) == tuple(
            row[f"{figure}{end}"] for end in ("", "_low", "_high")
        )
        assert (finding.unit, finding.n) == ("accuracy", 400)
        assert finding.verdict == "inconclusive" or (finding.p_value or 1) <= MAX_P
    correct = synthetic.correct["Alpha", "fog"].mean(axis=1)
    assert found["fog"].value == pytest.approx(correct[4] - correct[5])
    assert "between severity 4 and 5" in found["fog"].sentence


def row(shape: str, **more: object) -> dict[str, object]:
    """A row of `shapes` from 90 to 60 %, with its largest step from 2 to 3 and the other from clean to 1."""
    figures = {"total_drop": 0.3, "largest_step": 0.2, "largest_change": 0.4}
    ends = {f"{name}{end}": value + add for name, value in figures.items() for end, add in
            (("", 0), ("_low", -0.01), ("_high", 0.01))}  # fmt: skip
    return ends | {
        "shape": shape, "last_severity": 5, "chance_from": None, "below_chance": None, "changes_within": 0.018,
        "largest_change_at": 3, "largest_step_from": 2, "largest_step_to": 3, "other_step_from": None,
        "other_step_to": None,
    } | more  # fmt: skip


SMALL = {"total_drop": 0.05, "total_drop_low": 0.04, "total_drop_high": 0.06}
TWO = {"other_step_from": 0, "other_step_to": 1}
PHRASES = [
    (row("near_linear"), "drops near-linearly: 30.0 points [29, 31] from clean to severity 5", "near-linear"),
    (row("near_linear", **SMALL), "drops slightly and near-linearly: 5.0 points [4, 6] from clean to severity 5",
     "near-linear, small"),
    (row("late"), "drops late: 30.0 points [29, 31] from clean to severity 5", "late"),
    (row("early"), "drops early: 30.0 points [29, 31] from clean to severity 5", "early"),
    (row("abrupt"), "drops abruptly between severity 2 and 3: 20.0 points [19, 21] of 30.0 points from clean to "
     "severity 5", "abrupt, between 2 and 3"),
    (row("two_steps", **TWO), "drops in two steps, between clean and severity 1 and between severity 2 and 3: "
     "30.0 points [29, 31] from clean to severity 5", "two steps"),
    (row("middle"), "drops most steeply in the middle, between severity 2 and 3: 30.0 points [29, 31] from clean to "
     "severity 5", "steepest in the middle, between 2 and 3"),
    (row("flat"), "stays within 1.8 points of its clean accuracy at every severity", "flat"),
    (row("rise", total_drop=-0.1, total_drop_low=-0.12, total_drop_high=-0.08),
     "gains 10.0 points [8, 12] from clean to severity 5", "rise"),
    (row("recovers"), "drops 40.0 points [39, 41] by severity 3, then recovers 10.0 points by severity 5",
     "recovers"),
    (row("up_and_down"), "goes up and down, by up to 40.0 points [39, 41] below clean at severity 3",
     "up and down"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "phrase", "label"), PHRASES, ids=[f"{given['shape']}" for given, *_ in PHRASES])
def test_phrases_and_labels(given: dict[str, object], phrase: str, label: str) -> None:
    assert shape_phrase(given).replace("\u00a0", " ").replace(".0", "") == phrase.replace(".0", "")
    assert shape_label(given) == label
