"""Shapes in the warehouse: known curves come out as what they are, once, and anew only when something changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_record import CURVES, Synthetic

from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import ensure_shapes, open_with_shapes, stored_settings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import StorageError

EXPECTED = {
    "fog": "late_collapse", "contrast": "near_linear", "motion_blur": "early_drop", "brightness": "flat",
    "gaussian_noise": "non_monotone",
}  # fmt: skip

QUICK = ShapeSettings(resamples=200)


def test_known_curves_get_their_class(shaped_warehouse: Path) -> None:
    with open_warehouse(shaped_warehouse) as con:
        rows = con.execute("select corruption, shape, stability from shapes").fetchall()
    assert {(corruption, shape) for corruption, shape, _ in rows} == set(EXPECTED.items())
    assert len(rows) == 2 * len(CURVES)
    assert all(stability > 0.8 for *_, stability in rows)


def test_stored_figures_agree_with_correctness(shaped_warehouse: Path, synthetic: Synthetic) -> None:
    right = synthetic.correct["Alpha", "fog"].mean(axis=1)
    with open_warehouse(shaped_warehouse) as con:
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


@pytest.mark.parametrize("protected", ["file", "folder"])
def test_shapes_that_cannot_be_stored_hold_for_one_connection(
    warehouse_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], protected: str
) -> None:
    content = warehouse_copy.read_bytes()
    columns = "select corruption, shape, largest_step_from, typeof(largest_step_from) from shapes order by all"
    with monkeypatch.context() as patch:
        if protected == "file":
            patch.setattr("failmodes.analysis.statistics.shape_tables.os.access", lambda *_: False)
        else:
            patch.setattr("failmodes.warehouse.database.updates.file_lock", _refused)
        with open_with_shapes(warehouse_copy) as con:
            unstored = con.execute(columns).fetchall()
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "cannot be stored" in said
    assert warehouse_copy.read_bytes() == content
    with open_with_shapes(warehouse_copy) as con:
        assert con.execute(columns).fetchall() == unstored
    assert len(unstored) == 2 * len(CURVES)
    assert warehouse_copy.read_bytes() != content


def _refused(*_: object) -> None:
    raise StorageError("cannot write the lock: permission denied")


def test_sweep_covers_the_settings_themselves(shaped_warehouse: Path) -> None:
    with open_warehouse(shaped_warehouse) as con:
        disagree = con.execute(
            "select count(*) from shapes join shape_sweep using (evaluation_id, corruption, flat_below, bow_threshold) "
            "where shapes.shape <> shape_sweep.shape"
        ).fetchall()
        swept = con.execute("select count(*) from shape_sweep").fetchall()
    assert disagree == [(0,)]
    assert swept == [(2 * len(CURVES) * 9,)]


def test_computed_once_and_again_only_after_a_change(shaped_warehouse: Path, tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    shutil.copy(shaped_warehouse, path)
    assert not ensure_shapes(path, QUICK)
    assert not ensure_shapes(path)  # no settings: those of the stored shapes
    assert ensure_shapes(path, ShapeSettings(resamples=200, bow_threshold=0.5))
    with open_warehouse(path) as con:
        assert stored_settings(con) == ShapeSettings(resamples=200, bow_threshold=0.5)
        assert con.execute("select count(*) from shapes where shape = 'late_collapse'").fetchall() == [(0,)]
