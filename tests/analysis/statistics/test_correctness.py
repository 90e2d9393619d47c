"""Shapes in the warehouse: known curves come out as what they are, once, and anew only when something changed."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from synthetic_record import CURVES, write_synthetic

from failmodes.analysis.statistics.correctness import read_correctness
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shape_tables import ensure_shapes
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError

QUICK = ShapeSettings(resamples=200)


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


def test_a_cell_that_is_not_whole_is_named(shaped_warehouse: Path, tmp_path: Path) -> None:
    import duckdb

    path = tmp_path / "warehouse.duckdb"
    shutil.copy(shaped_warehouse, path)
    with duckdb.connect(str(path)) as con:
        con.execute("delete from predictions where corruption = 'fog' and severity = 3 and image_id < 7")
        evaluation_id = con.execute("select min(evaluation_id) from evaluations").fetchall()[0][0]
        with pytest.raises(WarehouseError, match="fog at severity 3 has 393 rows"):
            read_correctness(con, evaluation_id)
