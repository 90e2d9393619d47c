"""Findings of each kind: the figures and verdicts of the statistic that it tells, and what is said of known results."""

from itertools import combinations

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import decided_pairs, judged, of_kind
from scipy import stats
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import Selection, select_one
from failmodes.analysis.evaluations.trained_models import trained_models
from failmodes.analysis.judging.findings import early_warning
from failmodes.analysis.judging.findings.correction import selection_findings
from failmodes.analysis.judging.findings.kind import Finding, all_kinds
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.statistics.attention import attention_at_last
from failmodes.analysis.statistics.calibration import clean_calibration, overconfidence_by_corruption
from failmodes.analysis.statistics.early_warning import COMPARED, PredictorGain
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.failure_prediction import auroc_by_cell
from failmodes.analysis.statistics.model_accuracy import drop_rankings
from failmodes.analysis.statistics.predictions import class_gaps, collapse_by_corruption
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR

RUNS = {label: [f"{label}, seed {seed}" for seed in range(3)] for label in ("Fir", "Oak")}
FIGURES = {
    "attention_drift": lambda con, s, one: {
        test.corruption: test.share for test in attention_at_last(con, one, s.corruptions).own_maps
    },
    "attention_off_object": lambda con, s, one: attention_at_last(con, one, s.corruptions).mask_changes,
    "calibration_error": lambda con, s, one: {
        "none": ((found := clean_calibration(con, s, one)).ece, found.low, found.high)
    },
    "class_failure": lambda con, s, one: {row.corruption: row.gap for row in class_gaps(con, s, one)},
    "confidence_below_chance": lambda con, s, one: {
        cell.corruption: cell.auroc for cell in reversed(auroc_by_cell(con, s, one))
    },
    "largest_drop": lambda con, s, one: {row.corruption: row.at_last for row in drop_rankings(con, s)[one].drops},
    "overconfidence": lambda con, s, one: {
        cell.corruption: cell.overconfidence for cell in overconfidence_by_corruption(con, s, one)
    },
    "prediction_collapse": lambda con, s, one: {
        row.corruption: row.share for row in collapse_by_corruption(con, s, one)
    },
}


@pytest.mark.parametrize("kind", FIGURES)
def test_a_finding_has_the_figures_of_its_statistic(
    con: duckdb.DuckDBPyConnection, selection: Selection, all_findings: list[Finding], kind: str
) -> None:
    for evaluation in selection.evaluations:
        found = of_kind(all_findings, kind, evaluation_id=evaluation.evaluation_id)
        figures = {c: tuple(estimate[:3]) for c, estimate in FIGURES[kind](con, selection, evaluation).items()}
        assert {one.corruption: (one.value, one.low, one.high) for one in found} == figures
        assert {one.n for one in found} <= set(range(401))


def test_the_corruption_of_the_largest_drop_is_named_where_it_leads(
    con: duckdb.DuckDBPyConnection, all_findings: list[Finding]
) -> None:
    first, *others = of_kind(all_findings, "largest_drop", model_label="Alpha")
    assert (first.corruption, first.verdict, first.severity) == ("gaussian_noise", "supported", 5)
    assert f"{100 * first.value:.1f}\u00a0points [{100 * first.low:.1f}" in first.sentence
    assert [finding.verdict for finding in others] == ["contradicted"] * 4
    close = judged(con, select_one(con, models=["Alpha"], corruptions=["fog", "contrast"]), "largest_drop")
    assert {finding.verdict for finding in close} == {"inconclusive"}


def test_over_and_underconfidence_of_different_cells_do_not_cancel(all_findings: list[Finding]) -> None:
    found = of_kind(all_findings, "overconfidence", model_label="Alpha")
    assert {finding.verdict for finding in found} >= {"supported", "contradicted"}


@pytest.mark.test_all
def test_a_collapse_and_a_weak_class_are_named_with_their_count(collapsing: duckdb.DuckDBPyConnection) -> None:
    found = selection_findings(collapsing, select_one(collapsing))
    (collapse,) = of_kind(found, "prediction_collapse", verdict="supported")
    assert (collapse.model_label, collapse.corruption, collapse.severity) == ("Alpha", "contrast", 5.0)
    assert "159 of 160\u00a0images" in collapse.sentence
    (gap,) = of_kind(found, "class_failure", model_label="Beta", verdict="supported")
    assert (gap.corruption, gap.value, gap.n) == ("fog", 1.0, 40)
    assert "\u201cthree\u201d" in gap.sentence


def test_scores_are_found_where_they_save_log_loss(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains = dict.fromkeys(COMPARED, PredictorGain(None, None, None, 200, 900, 90, "few"))
    for name, value in (("margin", 0.2), ("entropy", -0.1)):
        share = Estimate(value, value - 0.01, value + 0.01)
        gains[name] = PredictorGain(share, share, float(value <= 0), 200, 900, 90)
    monkeypatch.setattr(early_warning, "early_warning", lambda *_: gains)
    found = {one.claim: (one.verdict, one.value) for one in judged(con, selection, "early_warning")}
    assert (found["margin"], found["entropy"]) == (("supported", 0.2), ("inconclusive", -0.1))


def test_pairs_are_reported_of_the_better_one(many_findings: list[Finding], many_results: Synthetic) -> None:
    found = of_kind(many_findings, "better_model")
    labels = {evaluation_id: label for label, evaluation_id in many_results.evaluations.items()}
    pairs = {frozenset((f.evaluation_id, f.other_evaluation_id)) for f in found}
    assert pairs == {frozenset(pair) for pair in combinations(labels, 2)}
    decided = [f for f in found if f.verdict == "supported"]
    named = [(f.model_label, labels[f.other_evaluation_id]) for f in decided]
    assert sorted(named) == sorted(decided_pairs(many_results))
    assert all(0 < f.value < f.high for f in decided)


def corrupted(results: Synthetic, run: str) -> np.ndarray:
    """Of each image the mean over corrupted cells of whether it is right."""
    return np.mean([results.correct[run, corruption][1:].mean(axis=0) for corruption in ("fog", "contrast")], axis=0)


@pytest.mark.test_all
def test_a_model_is_better_over_seeds_and_images(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection, seeded_results: Synthetic
) -> None:
    found = all_kinds()["better_model"].of_selection(seeded_con, seeded)[0]
    of_runs = {label: [corrupted(seeded_results, run) for run in runs] for label, runs in RUNS.items()}
    means = {label: [run.mean() for run in runs] for label, runs in of_runs.items()}
    difference = np.mean(means["Fir"]) - np.mean(means["Oak"])
    of_images = np.append(np.mean(of_runs["Fir"], axis=0) - np.mean(of_runs["Oak"], axis=0), [1, -1])
    level = 1 - BETTER_MODEL_ERROR / 2
    halves = [stats.t.ppf(level, 2) * stats.sem(each) for each in means.values()]
    half = np.sqrt(sum(np.square(halves)) + (stats.norm.ppf(level) * stats.sem(of_images, ddof=0)) ** 2)
    assert (found.value, found.low, found.high) == pytest.approx((difference, difference - half, difference + half))
    assert 0.01 < found.p_value < 0.05
    assert found.other_evaluation_id == seeded_results.evaluations["Oak, seed 0"]
    rows = seeded_con.sql(f"select distinct model_name, seed_count from ({found.query}) order by 1").fetchall()
    assert rows == [("Fir", 3), ("Oak", 3)]


@pytest.mark.test_all
def test_the_table_of_models_has_the_spread_between_seeds_above_the_runs(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection, seeded_results: Synthetic
) -> None:
    summary = tables(seeded_con, seeded)[0]
    names = [row[0].text for row in summary.rows]
    rows = {"Loner": ["Loner"]} | {label: [f"{label} (3\u00a0seeds)", *RUNS[label]] for label in ("Fir", "Oak")}
    assert names == [name for model in trained_models(seeded.evaluations) for name in rows[model.label]]
    means = [100 * corrupted(seeded_results, run).mean() for run in RUNS["Fir"]]
    cell = summary.rows[0][2]
    assert (cell.text, cell.small) == (f"{np.mean(means):.1f}", f"\u00b1 {np.std(means, ddof=1):.1f}")
    assert [row[2].text for row in summary.rows[1:4]] == [f"{mean:.1f}" for mean in means]
