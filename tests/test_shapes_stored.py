"""Shapes in the warehouse: known curves come out as what they are, once, and anew only when something changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from failmodes.analysis.selection import select, select_one
from failmodes.analysis.statistics.correctness import read_correctness
from failmodes.analysis.statistics.corruption_cost import rank_costs
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import ensure_shapes, stored_settings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import StudyError, WarehouseError
from tests.synthetic_record import CURVES, Synthetic, write_synthetic

EXPECTED = {
    "fog": "late_collapse", "contrast": "near_linear", "motion_blur": "early_drop", "brightness": "flat",
    "gaussian_noise": "non_monotone",
}  # fmt: skip

QUICK = ShapeSettings(resamples=200)


@pytest.fixture(scope="module")
def warehouse(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shapes") / "warehouse.duckdb"
    load([synthetic.output], path)
    ensure_shapes(path, QUICK)
    return path


def test_known_curves_get_their_class(warehouse: Path) -> None:
    with open_warehouse(warehouse) as con:
        rows = con.execute("select corruption, shape, stability from shapes").fetchall()
    assert {(corruption, shape) for corruption, shape, _ in rows} == set(EXPECTED.items())
    assert len(rows) == 2 * len(CURVES)
    assert all(stability > 0.8 for *_, stability in rows)


def test_stored_figures_agree_with_correctness(warehouse: Path, synthetic: Synthetic) -> None:
    right = synthetic.correct["Alpha", "fog"].mean(axis=1)
    with open_warehouse(warehouse) as con:
        row = con.sql(
            "from shapes where evaluation_id = ? and corruption = 'fog'", params=[synthetic.evaluations["Alpha"]]
        ).pl().row(0, named=True)  # fmt: skip
        steps = con.execute(
            "select accuracy_change from steps where evaluation_id = ? and corruption = 'fog' order by severity_from",
            [synthetic.evaluations["Alpha"]],
        ).fetchall()
    assert row["total_drop"] == pytest.approx(right[0] - right[-1])
    assert row["total_drop_low"] < row["total_drop"] < row["total_drop_high"]
    assert (row["largest_step_from"], row["largest_step_to"]) == (4, 5)
    assert [change for (change,) in steps] == pytest.approx(np.diff(right).tolist())
    shares = [row[f"share_{name}"] for name in ("flat", "non_monotone", "late_collapse", "early_drop", "near_linear")]
    assert sum(shares) == pytest.approx(1)


def test_sweep_covers_the_settings_themselves(warehouse: Path) -> None:
    with open_warehouse(warehouse) as con:
        disagree = con.execute(
            "select count(*) from shapes join shape_sweep using (evaluation_id, corruption, flat_below, bow_threshold) "
            "where shapes.shape <> shape_sweep.shape"
        ).fetchall()
        swept = con.execute("select count(*) from shape_sweep").fetchall()
    assert disagree == [(0,)]
    assert swept == [(2 * len(CURVES) * 9,)]


def test_computed_once_and_again_only_after_a_change(warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    shutil.copy(warehouse, path)
    assert not ensure_shapes(path, QUICK)
    assert not ensure_shapes(path)  # no settings: those of the stored shapes
    assert ensure_shapes(path, ShapeSettings(resamples=200, bow_threshold=0.5))
    with open_warehouse(path) as con:
        assert stored_settings(con) == ShapeSettings(resamples=200, bow_threshold=0.5)
        assert con.execute("select count(*) from shapes where shape = 'late_collapse'").fetchall() == [(0,)]


def test_unpaired_evaluations_are_resampled_cell_by_cell(tmp_path: Path) -> None:
    written = write_synthetic(tmp_path, paired=False, models=("Alpha",), images=200)
    path = tmp_path / "warehouse.duckdb"
    load([tmp_path], path)
    assert ensure_shapes(path, QUICK)
    with open_warehouse(path) as con:
        correctness = read_correctness(con, written.evaluations["Alpha"])
        assert con.execute("select count(*) from shapes").fetchall() == [(len(CURVES),)]
    draws = correctness.resampled(400, 0)
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.2


def test_a_cell_that_is_not_whole_is_named(warehouse: Path, tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "warehouse.duckdb"
    shutil.copy(warehouse, path)
    with duckdb.connect(str(path)) as con:
        con.execute("delete from predictions where corruption = 'fog' and severity = 3 and image_id < 7")
        evaluation_id = con.execute("select min(evaluation_id) from evaluations").fetchall()[0][0]
        with pytest.raises(WarehouseError, match="fog at severity 3 has 393 rows"):
            read_correctness(con, evaluation_id)


def test_ranking_is_paired_and_by_the_last_severity(warehouse: Path, synthetic: Synthetic) -> None:
    with open_warehouse(warehouse) as con:
        selection = select_one(con)
        ranking = rank_costs(con, selection, selection.evaluations[0], QUICK)
    drops = {c: float(r[0].mean() - r[-1].mean()) for (m, c), r in synthetic.correct.items() if m == "Alpha"}
    by_hand = sorted(drops.values(), reverse=True)
    assert [cost.at_last.value for cost in ranking.costs] == pytest.approx(by_hand)
    assert ranking.costs[0].corruption == "gaussian_noise"
    assert ranking.lead is not None
    assert ranking.lead.value == pytest.approx(by_hand[0] - by_hand[1])
    assert ranking.average_order[0] == "motion_blur"


def test_selection_filters_and_refuses_what_is_not_there(warehouse: Path) -> None:
    with open_warehouse(warehouse) as con:
        (selection,) = select(con, models=["Beta"], corruptions=["fog", "contrast"])
        assert list(selection.labels.values()) == ["Beta"]
        assert selection.corruptions == ("fog", "contrast")
        with pytest.raises(StudyError, match="no model 'Gamma'.*Alpha and Beta"):
            select(con, models=["Gamma"])
        with pytest.raises(StudyError, match="no corruption 'snow'"):
            select(con, corruptions=["snow"])


def test_evaluations_of_other_images_do_not_share_a_chart(synthetic: Synthetic, tmp_path: Path) -> None:
    write_synthetic(tmp_path / "other", images=100, models=("Alpha",))
    path = tmp_path / "warehouse.duckdb"
    load([synthetic.output, tmp_path / "other"], path)
    with open_warehouse(path) as con:
        assert [selection.image_count for selection in select(con)] == [400, 100]
        with pytest.raises(StudyError, match="name one with --evaluation"):
            select_one(con)
