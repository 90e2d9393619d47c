"""Derived tables of curves in a warehouse: complete, and as computed from the rows."""

from pathlib import Path

import duckdb
import pytest
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.analysis.statistics.shares import holm
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.curve_tables import CURVE_TABLES
from failmodes.warehouse.database.load import load


def test_every_curve_has_its_rows(con: duckdb.DuckDBPyConnection) -> None:
    ((curves,),) = con.execute("select count(*) from shapes").fetchall()
    rows_a_curve = {"shapes_over_distortion": 3, "change_points": 1, "curve_fits": 4, "corruption_ranks": 2}
    for table in CURVE_TABLES:
        keys = con.execute(f"select {', '.join(table.key)} from {table.name}").fetchall()
        assert len(keys) == len(set(keys)) == rows_a_curve.get(table.name, len(keys) / curves) * curves


def test_axes_are_the_mean_distortion(con: duckdb.DuckDBPyConnection) -> None:
    """The synthetic images lie as far from clean as severity says, so that all axes tell the same curvature."""
    rows = con.execute(
        "select axis, axis_end, curvature_change from shapes_over_distortion where corruption = 'contrast'"
    ).fetchall()
    assert {axis: end for axis, end, _ in rows} == pytest.approx({"severity": 5, "rmse": 0.1, "1-ssim": 0.5}, abs=1e-5)
    assert [change for *_, change in rows] == pytest.approx([0] * len(rows), abs=1e-5)


def test_p_values_are_corrected_over_the_curves_of_an_evaluation(con: duckdb.DuckDBPyConnection) -> None:
    for (evaluation,) in con.execute("select distinct evaluation_id from change_points").fetchall():
        query = "select p_value, adjusted_p_value from change_points where evaluation_id = ? and p_value is not null"
        raw, adjusted = zip(*con.execute(query, [evaluation]).fetchall(), strict=True)
        assert adjusted == pytest.approx(holm(raw))


def test_class_ranks_are_of_the_class_means(con: duckdb.DuckDBPyConnection) -> None:
    expected = con.execute(
        "select (evaluation_id, class_index), avg(clean.accuracy - last.accuracy) from accuracy_by_class as clean "
        "inner join accuracy_by_class as last using (evaluation_id, class_index, corruption) "
        "where clean.severity = 0 and last.severity = 5 group by all"
    ).fetchall()
    found = con.execute(
        "select (evaluation_id, class_index), accuracy_drop from class_ranks where measure = 'at_last'"
    ).fetchall()
    assert dict(found) == pytest.approx(dict(expected))


def test_what_is_not_ranked_says_why(tmp_path: Path) -> None:
    """Images that do not pair, rows without numbers, an extra; and few images."""
    made = write_synthetic(tmp_path / "a", images=80, models=("Alpha",), corruptions=("fog", "contrast", "spatter"),
                           severities=(1, 3, 5), paired=False)  # fmt: skip
    make_non_finite(made, cell_of(made, "Alpha", "contrast", 3))
    write_synthetic(tmp_path / "b", images=20, models=("Few",), corruptions=("fog",), severities=(1, 3, 5))
    load([tmp_path / "a", tmp_path / "b"], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", ShapeSettings(resamples=200))
    with open_warehouse(tmp_path / "w.duckdb") as con:
        ranks = con.execute(
            "select distinct image_count, corruption, rank, reason from corruption_ranks "
            "join evaluations using (evaluation_id)"
        ).fetchall()
        tested = con.execute("select distinct threshold, reason from change_points where reason like '20%'").fetchall()
        fitted = con.execute("select distinct corruption from curve_fits order by all").fetchall()
        over = con.execute("select reason from shapes_over_distortion where axis = 'rmse'").fetchall()
        assert con.execute("from class_ranks").fetchall() == []
    reasons = {(count, name): (rank, reason or "") for count, name, rank, reason in ranks}
    assert reasons[80, "fog"] == (1, "")
    for key, why in ((80, "contrast"), "not finite"), ((80, "spatter"), "an extra"), ((20, "fog"), "20 images are too"):
        assert reasons[key][0] is None
        assert why in reasons[key][1]
    assert tested == [("inconclusive", "20 images are too few: at least 30 are needed")]
    assert ("contrast",) not in fitted
    assert any("do not pair" in str(reason) for (reason,) in over)
