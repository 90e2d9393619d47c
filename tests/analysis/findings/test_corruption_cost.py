"""Findings on cost: first and lead, undecided where noise could explain them, and tallies of many networks."""

from pathlib import Path

import duckdb
import pytest
from model_comparisons import of_topic
from synthetic_record import Synthetic, write_synthetic

from failmodes.analysis.findings.collection import selection_findings
from failmodes.analysis.findings.corruption_cost import costliest_on_average_sentence, costliest_sentence
from failmodes.analysis.findings.finding import Finding
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


def test_cost_names_first_and_lead(all_findings: list[Finding], synthetic: Synthetic) -> None:
    first = of_topic(all_findings, "Cost")[0]
    right = synthetic.correct["Alpha", "gaussian_noise"].mean(axis=1)
    assert first.headline.startswith("Gaussian noise costs Alpha most")
    assert first.figures["drop"] == pytest.approx(right[0] - right[-1])
    assert first.verdict == "found"
    assert "motion blur" in first.detail  # costliest on average over severities


def test_costs_that_cannot_be_told_apart_are_undecided(con: duckdb.DuckDBPyConnection) -> None:
    close = select_one(con, models=["Alpha"], corruptions=["fog", "contrast"])
    (cost,) = of_topic(selection_findings(con, close), "Cost")
    assert cost.verdict == "undecided"
    assert "cannot be told apart" in cost.headline


def test_noise_makes_no_corruption_costliest(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    told = costliest_sentence(many_con, many_selection)
    assert told.startswith("Costliest corruption at the last severity, among 4 of 6 networks: ")
    assert told.endswith("; the other 2 lose no accuracy beyond sampling noise")
    assert sum(int(word) for word in told.split(": ")[1].split(";")[0].split() if word.isdigit()) == 4
    average = costliest_on_average_sentence(many_con, many_selection)
    assert average.startswith("Costliest corruption on average over severities, among 4 of 6 networks: ")


@pytest.mark.parametrize(
    ("models", "costliest", "average"),
    [
        (["Birch"], "No corruption costs Birch accuracy at severity 5 beyond sampling noise",
         "On average over severities, no corruption costs Birch accuracy beyond sampling noise"),
        (["Aspen", "Birch"], "; No corruption costs Birch accuracy at severity 5 beyond sampling noise",
         "; no corruption costs Birch accuracy beyond sampling noise"),
    ],
    ids=["one", "two"],
)  # fmt: skip
def test_few_networks_say_so_where_nothing_costs(
    many_con: duckdb.DuckDBPyConnection, models: list[str], costliest: str, average: str
) -> None:
    few = select_one(many_con, models=models)
    assert costliest_sentence(many_con, few).endswith(costliest)
    assert costliest_on_average_sentence(many_con, few).endswith(average)
    costs = [finding for finding in selection_findings(many_con, few) if finding.topic == "Cost"]
    assert costs[-1].verdict == "undecided"
    assert costs[-1].headline == "No corruption costs Birch accuracy at severity 5 beyond sampling noise."


@pytest.mark.parametrize(
    ("models", "fall", "start"),
    [
        ("ABC", 0.0, "No corruption costs any of 3 networks accuracy beyond sampling noise"),
        ("ABCDE", 1.0, "Fog costs all 5 networks most: from "),
    ],
    ids=["nothing costs", "one corruption costs all"],
)
def test_titles_where_all_networks_agree(tmp_path: Path, models: str, fall: float, start: str) -> None:
    record = write_synthetic(tmp_path, images=40, models=tuple(models), falls=dict.fromkeys(models, fall),
                             corruptions=("fog",), severities=(5,))  # fmt: skip
    path = tmp_path / "warehouse.duckdb"
    load([record.output], path)
    ensure_shapes(path, ShapeSettings(resamples=50))
    with open_warehouse(path) as con:
        told = costliest_sentence(con, select_one(con))
    assert told.startswith(start)
    if fall:
        right = [record.correct[label, "fog"] for label in models]
        drops = sorted(100 * (rows[0].mean() - rows[1].mean()) for rows in right)
        low, high = told.removeprefix(start).split(" to ")
        assert low.startswith(f"{drops[0]:.1f}\u00a0points [")
        assert high.startswith(f"{drops[-1]:.1f}\u00a0points [")
