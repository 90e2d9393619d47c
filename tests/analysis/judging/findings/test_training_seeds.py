"""Models of several training seeds against each other: decided over seeds and images, told as such everywhere."""

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import of_kind
from scipy import stats
from synthetic_results import Synthetic

from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.registry import selection_findings
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.selection import Selection

RUNS = {label: [f"{label}, seed {seed}" for seed in range(3)] for label in ("Fir", "Oak")}


@pytest.fixture(scope="module")
def seeded_findings(seeded_con: duckdb.DuckDBPyConnection, seeded: Selection) -> list[Finding]:
    return selection_findings(seeded_con, seeded)


def corrupted(results: Synthetic, run: str) -> np.ndarray:
    """Of each image the mean over corrupted cells of whether it is right."""
    return np.mean([results.correct[run, corruption][1:].mean(axis=0) for corruption in ("fog", "contrast")], axis=0)


def test_a_model_is_better_over_seeds_and_images(
    seeded_findings: list[Finding], seeded_results: Synthetic, seeded_con: duckdb.DuckDBPyConnection
) -> None:
    (found, *_) = of_kind(seeded_findings, "better_model")
    of_runs = {label: [corrupted(seeded_results, run) for run in runs] for label, runs in RUNS.items()}
    means = {label: [run.mean() for run in runs] for label, runs in of_runs.items()}
    difference = np.mean(means["Fir"]) - np.mean(means["Oak"])
    of_images = np.append(np.mean(of_runs["Fir"], axis=0) - np.mean(of_runs["Oak"], axis=0), [1, -1])
    halves = [stats.t.ppf(0.975, 2) * stats.sem(each) for each in means.values()]
    half = np.sqrt(sum(np.square(halves)) + (stats.norm.ppf(0.975) * stats.sem(of_images, ddof=0)) ** 2)
    assert (found.verdict, found.model_label) == ("inconclusive", "Fir"), "2 % over three pairs, with Holm's correction"
    assert 0.01 < (found.p_value or 0) < 0.05
    assert (found.value, found.low, found.high) == pytest.approx((difference, difference - half, difference + half))
    assert found.other_evaluation_id == seeded_results.evaluations["Oak, seed 0"]
    assert "3 and 3\u00a0training seeds" in found.sentence
    rows = seeded_con.sql(f"select distinct model_name, seed_count from ({found.query}) order by 1").fetchall()
    assert rows == [("Fir", 3), ("Oak", 3)]


def test_of_a_model_without_other_runs_checkpoints_are_compared(
    seeded_findings: list[Finding], seeded_results: Synthetic
) -> None:
    _, *found = of_kind(seeded_findings, "better_model")
    ids = seeded_results.evaluations
    runs = np.mean([corrupted(seeded_results, run) for run in RUNS["Fir"]], axis=0)
    each = np.append(runs - corrupted(seeded_results, "Loner"), [1, -1])
    half = stats.norm.ppf(0.975) * stats.sem(each, ddof=0)
    (fir,) = [f for f in found if "Fir" in f.sentence]
    sign = 1 if fir.evaluation_id == ids["Fir, seed 0"] else -1
    assert sign * fir.value == pytest.approx(each[:-2].mean())
    assert (sign * fir.low + sign * fir.high) / 2 == pytest.approx(each.mean())
    assert fir.high - fir.low == pytest.approx(2 * half)
    assert "checkpoints only" in fir.sentence


def test_the_table_of_models_has_the_spread_between_seeds_above_the_runs(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection, seeded_results: Synthetic
) -> None:
    summary, over_seeds, *_ = tables(seeded_con, seeded)
    names = [row[0].text for row in summary.rows]
    assert names == ["Fir (3\u00a0seeds)", *RUNS["Fir"], "Loner", "Oak (3\u00a0seeds)", *RUNS["Oak"]]
    means = [100 * corrupted(seeded_results, run).mean() for run in RUNS["Fir"]]
    cell = summary.rows[0][2]
    assert (cell.text, cell.small) == (f"{np.mean(means):.1f}", f"\u00b1 {np.std(means, ddof=1):.1f}")
    assert [row[2].text for row in summary.rows[1:4]] == [f"{mean:.1f}" for mean in means]
    assert over_seeds.caption == "Accuracy of Fir (3\u00a0seeds)"
