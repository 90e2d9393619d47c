"""Shapes in the warehouse: known curves come out as what they are, once, and anew only when something changed."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from synthetic_results import CURVES, Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.statistics import shape_tables
from failmodes.analysis.statistics.curve_shape import SHAPES, ShapeSettings
from failmodes.analysis.statistics.shape_tables import MOST_P, open_current, stored_settings
from failmodes.analysis.statistics.sufficiency import chance_of, non_finite_cells
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

EXPECTED = {
    "fog": "abrupt", "contrast": "near_linear", "motion_blur": "inconclusive", "brightness": "inconclusive",
    "gaussian_noise": "up_and_down",
}  # fmt: skip

QUICK = ShapeSettings(resamples=2000)


def shapes_of(warehouse: Path, label: str = "Alpha") -> dict[str, dict]:
    """Rows of `shapes` of a model by corruption."""
    query = "select shapes.* from shapes join evaluation_labels using (evaluation_id) where model_label = ?"
    with open_warehouse(warehouse) as con:
        return {row["corruption"]: row for row in con.sql(query, params=[label]).pl().rows(named=True)}


def test_known_curves_get_their_word(shaped_warehouse: Path) -> None:
    with open_warehouse(shaped_warehouse) as con:
        rows = con.execute("select corruption, shape, stability, reason from shapes").fetchall()
    assert {(corruption, shape) for corruption, shape, *_ in rows} == set(EXPECTED.items())
    assert len(rows) == 2 * len(CURVES)
    assert all(stability >= 1 - MOST_P or shape == "inconclusive" for _, shape, stability, _ in rows)
    assert all((shape == "inconclusive") == (reason is not None) for _, shape, _, reason in rows)


def test_stored_figures_agree_with_correctness(shaped_warehouse: Path, synthetic: Synthetic) -> None:
    correct = synthetic.correct["Alpha", "fog"].mean(axis=1)
    row = shapes_of(shaped_warehouse)["fog"]
    with open_warehouse(shaped_warehouse) as con:
        steps = con.execute(
            "select accuracy_change from steps where evaluation_id = ? and corruption = 'fog' order by severity_from",
            [synthetic.evaluations["Alpha"]],
        ).fetchall()
    assert (row["total_drop"], row["largest_step"]) == pytest.approx((correct[0] - correct[5], correct[4] - correct[5]))
    assert (row["largest_step_from"], row["largest_step_to"], row["largest_change_at"]) == (4, 5, 5)
    assert [change for (change,) in steps] == pytest.approx(np.diff(correct).tolist())
    assert sum(row[f"share_{name}"] for name in SHAPES) == pytest.approx(1)
    assert (row["image_count"], row["reason"], row["chance_from"]) == (400, None, None)


@pytest.mark.parametrize("change", ["delete from shapes", "update shapes set shape = 'round'"])
def test_shapes_that_are_not_stored_hold_for_one_connection(
    shaped_warehouse: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    path = Path(shutil.copy(shaped_warehouse, tmp_path / "w.duckdb"))
    expected = shapes_of(path)
    with duckdb.connect(str(path)) as writer:
        writer.execute(change)
    content = path.read_bytes()
    with open_current(path) as con:
        assert sorted(con.execute("select shape from shapes").fetchall()) == sorted(
            [(row["shape"],) for row in expected.values()] * 2
        )
    assert capsys.readouterr().err.count("\n") == 1
    assert path.read_bytes() == content


def test_a_load_computes_only_those_of_what_is_new(warehouse_copy: Path, tmp_path: Path, monkeypatch) -> None:
    asked = []
    rows = shape_tables.shape_rows
    monkeypatch.setattr(shape_tables, "shape_rows", lambda con, name, _: asked.append(name) or rows(con, name, QUICK))
    assert ensure_shapes(warehouse_copy, QUICK)
    assert len(asked) == 2
    more = write_synthetic(tmp_path / "more", images=40, models=("Gamma",))
    load([more.output], warehouse_copy)
    assert ensure_shapes(warehouse_copy)
    assert asked[2:] == [more.evaluations["Gamma"]]
    assert len(shapes_of(warehouse_copy)) == len(CURVES)
    assert not ensure_shapes(warehouse_copy)
    monkeypatch.setattr(shape_tables, "source_hash", lambda *_: "another")
    assert ensure_shapes(warehouse_copy)
    assert len(asked) == 6


def test_computed_once_and_again_only_after_a_change(shaped_warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    shutil.copy(shaped_warehouse, path)
    assert not ensure_shapes(path, QUICK)
    assert not ensure_shapes(path)  # no settings: those of the stored shapes
    assert ensure_shapes(path, ShapeSettings(resamples=2000, curvature_threshold=0.5))
    with open_warehouse(path) as con:
        assert stored_settings(con) == ShapeSettings(resamples=2000, curvature_threshold=0.5)
        assert con.execute("select count(*) from shapes where shape in ('late', 'early')").fetchall() == [(0,)]


def test_chance_is_among_all_that_the_model_may_predict() -> None:
    with duckdb.connect() as con:
        con.execute("create table models as select 'm' as model_id, 10 as class_count, 1000 as output_count")
        con.execute(
            "create table evaluations as select unnest(['own', 'all', 'subset']) as evaluation_id, 'm' as model_id, "
            "unnest([null, 'all', 'subset']) as class_protocol"
        )
        assert [chance_of(con, name) for name in ("own", "all", "subset", "nobody")] == [0.1, 0.001, 0.1, None]
        con.execute("update models set output_count = null")
        assert chance_of(con, "all") is None


def test_more_than_one_in_a_hundred_rows_without_finite_numbers_is_too_many() -> None:
    rows = pl.DataFrame(
        {"evaluation_id": "e", "corruption": ["fog", "fog", "snow", "none"], "severity": [1, 2, 1, 0],
         "metric": "non_finite_share", "value": [0.01, 0.02, 1 / 99, 0.0]}
    )  # fmt: skip
    with duckdb.connect() as con:
        con.register("cell_metrics", rows)
        assert non_finite_cells(con, "e") == [("fog", 2.0), ("snow", 1.0)]
        assert non_finite_cells(con, "another") == []
