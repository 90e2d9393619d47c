"""Severities between the published ones, other numbers of them, and all 19 corruptions: charts, views, findings."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from checkpoint_comparisons import of_kind
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.chart_registry import draw_selection, warehouse_charts
from failmodes.analysis.judging.findings.registry import selection_findings
from failmodes.analysis.report.report_tables import tables
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.model_accuracy import drop_rankings
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

pytestmark = pytest.mark.slow
DENSE = [step / 4 for step in range(1, 21)]
UNEVEN = [0.5, 1, 1.5, 2.5, 5]
MILD = [0.25, 0.5, 0.75]


class Opened(NamedTuple):
    made: Synthetic
    con: duckdb.DuckDBPyConnection
    selection: Selection


@contextmanager
def opened(folder: Path, *, models: tuple[str, ...] = ("Alpha",), **settings: object) -> Iterator[Opened]:
    made = write_synthetic(folder, images=120, models=models, **settings)
    load([folder], folder / "warehouse.duckdb")
    ensure_shapes(folder / "warehouse.duckdb", ShapeSettings(resamples=2000))
    with open_warehouse(folder / "warehouse.duckdb") as con:
        yield Opened(made, con, select_one(con))


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(tmp_path_factory.mktemp("dense"), severities=DENSE) as warehouse:
        yield warehouse


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(tmp_path_factory.mktemp("whole")) as warehouse:
        yield warehouse


@pytest.fixture(scope="module")
def every(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(tmp_path_factory.mktemp("every"), corruptions=tuple(CORRUPTIONS)) as warehouse:
        yield warehouse


@pytest.fixture(scope="module")
def every_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(
        tmp_path_factory.mktemp("every-pair"), models=("Alpha", "Beta"), corruptions=tuple(CORRUPTIONS)
    ) as warehouse:
        yield warehouse


def drawn_from(request: pytest.FixtureRequest, grid: str, chart: str) -> Opened:
    """The warehouse of a grid that a chart is drawn from: differences are of two models."""
    found: Opened = request.getfixturevalue(f"{grid}_pair" if chart == "differences" else grid)
    return found


@pytest.mark.parametrize("name", warehouse_charts())
def test_charts_draw_all_corruptions(request: pytest.FixtureRequest, name: str) -> None:
    every = drawn_from(request, "every", name)
    spec = draw_selection(name, every.con, every.selection).to_dict()
    if name in ("curves", "drops", "distortion"):
        text = json.dumps(spec)
        assert all(f"{label} (extra)" in text for label in ("Speckle noise", "Gaussian blur", "Spatter", "Saturate"))
        assert "Fog (extra)" not in text


@pytest.mark.parametrize("severities", [UNEVEN, MILD], ids=["uneven", "mild"])
def test_charts_and_tables_take_any_grid(tmp_path: Path, severities: list[float]) -> None:
    with opened(tmp_path, models=("Alpha", "Beta"), severities=severities) as warehouse:
        alone = select_one(warehouse.con, models=["Alpha"])
        for name in warehouse_charts():
            draw_selection(name, warehouse.con, warehouse.selection if name == "differences" else alone)
        accuracy = next(t for t in tables(warehouse.con, alone) if t.caption.startswith("Accuracy"))
        drop = selection_findings(warehouse.con, alone)[0]
    assert accuracy.columns == ("Corruption", "clean", *(f"{s:g}" for s in severities))
    assert drop.severity == severities[-1]
    assert f"at severity {severities[-1]:g}" in drop.sentence


def test_mean_error_is_over_whole_severities_whatever_lies_between(dense: Opened, whole: Opened) -> None:
    query = "select corruption, severity_count, mean_error from corruption_error_by_model order by corruption"
    for corruption, count, error in dense.con.sql(query).fetchall():
        correct = dense.made.correct["Alpha", corruption][[4, 8, 12, 16, 20]]
        assert count == 5
        assert error == pytest.approx(1 - correct.mean())
    assert {row[1] for row in whole.con.sql(query).fetchall()} == {5}


def test_without_whole_severities_the_mean_error_is_over_all(tmp_path: Path) -> None:
    query = "select mean_error, severity_count from corruption_error_by_model where corruption = 'contrast'"
    with opened(tmp_path, severities=MILD) as mild:
        error, count = mild.con.sql(query).pl().row(0)
    assert error == pytest.approx(1 - mild.made.correct["Alpha", "contrast"][1:].mean())
    assert count == len(MILD)


def test_onset_stands_on_the_fractions(dense: Opened) -> None:
    rows = dense.con.sql("select distinct onset_severity from failure_onset where onset_severity is not null").pl()
    assert any(value % 1 for value in rows["onset_severity"])
    table = dense.con.sql("select severity from onset_by_corruption where corruption = 'fog' order by severity").pl()
    assert table["severity"].to_list() == [Decimal(str(s)) for s in [0, *DENSE]]


def test_a_dense_grid_tells_the_same_shapes_and_collapse(dense: Opened, whole: Opened) -> None:
    query = "select corruption, shape, largest_step_from, largest_step_to from shapes order by corruption"
    assert [row[:2] for row in dense.con.sql(query).fetchall()] == [row[:2] for row in whole.con.sql(query).fetchall()]
    found = {
        grid: of_kind(selection_findings(opened.con, opened.selection), "shape", corruption="fog")[0]
        for grid, opened in (("dense", dense), ("whole", whole))
    }
    assert found["dense"].claim == found["whole"].claim
    assert abs(found["dense"].value - found["whole"].value) < 0.1, "within one severity, whatever the steps"


def test_extras_stand_apart_from_rankings_and_averages(every: Opened) -> None:
    found = selection_findings(every.con, every.selection)
    extras = {name for name, corruption in CORRUPTIONS.items() if not corruption.headline}
    ranked = {finding.corruption for finding in of_kind(found, "largest_drop")}
    assert ranked == set(CORRUPTIONS) - extras
    assert {finding.corruption for finding in of_kind(found, "shape")} == set(CORRUPTIONS), "but they have a shape"
    (ranking,) = drop_rankings(every.con, every.selection).values()
    assert {drop.corruption for drop in ranking.extras} == extras
    summary = tables(every.con, every.selection)[0]
    assert (summary.rows[0][-1].text, summary.rows[0][-1].small) == ("15", "and 4 extra")
