"""Derived tables of curves in a warehouse: complete, as computed from the rows, and current."""

from pathlib import Path

import duckdb
import pytest
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.curve_tables import CURVE_TABLES
from failmodes.warehouse.database.load import load

QUICK = ShapeSettings(resamples=2000)


def test_every_curve_has_its_rows(con: duckdb.DuckDBPyConnection) -> None:
    curves = con.execute("select count(*) from shapes").fetchall()[0][0]
    counts = {t.name: con.execute(f"select count(*) from {t.name}").fetchall()[0][0] for t in CURVE_TABLES}
    assert counts["shapes_over_distortion"] == 3 * curves
    assert counts["change_points"] == curves
    assert counts["curve_fits"] == 4 * curves
    assert counts["corruption_ranks"] == 2 * curves
    for table in CURVE_TABLES:
        keys = ", ".join(table.key)
        assert con.execute(f"select {keys} from {table.name} group by all having count(*) > 1").fetchall() == []


def test_axes_are_the_mean_distortion(con: duckdb.DuckDBPyConnection) -> None:
    """The synthetic images lie as far from clean as severity says, so that all axes tell the same curvature."""
    rows = con.execute(
        "select axis, axis_end, curvature_change from shapes_over_distortion where corruption = 'contrast'"
    ).fetchall()
    ends = {axis: end for axis, end, _ in rows}
    assert ends == pytest.approx({"severity": 5, "rmse": 0.1, "1-ssim": 0.5}, abs=1e-5)
    assert [change for *_, change in rows] == pytest.approx([0] * len(rows), abs=1e-5)


def test_p_values_are_corrected_over_the_curves_of_an_evaluation(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.execute("select evaluation_id, p_value, adjusted_p_value from change_points order by p_value").fetchall()
    for evaluation in {row[0] for row in rows}:
        own = [(p, adjusted) for name, p, adjusted in rows if name == evaluation and p is not None]
        running = 0.0
        for place, (p, adjusted) in enumerate(own):
            running = max(running, min(1.0, p * (len(own) - place)))
            assert adjusted == pytest.approx(running)


def test_class_ranks_are_of_the_class_means(con: duckdb.DuckDBPyConnection) -> None:
    expected = dict(
        con.execute(
            """
            with cells as (
                select evaluation_id, class_index, corruption, severity, accuracy from accuracy_by_class
                where severity in (0, 5)
            )
            select (evaluation_id, class_index), avg(clean.accuracy - last.accuracy)
            from cells as clean inner join cells as last using (evaluation_id, class_index, corruption)
            where clean.severity = 0 and last.severity = 5 group by all
            """
        ).fetchall()
    )
    found = con.execute(
        "select (evaluation_id, class_index), accuracy_drop from class_ranks where measure = 'at_last'"
    ).fetchall()
    assert dict(found) == pytest.approx(expected)


@pytest.mark.slow
def test_a_corruption_of_too_many_rows_that_are_no_numbers_is_not_ranked(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path, images=80, models=("Alpha",), corruptions=("fog", "contrast"))
    make_non_finite(made, cell_of(made, "Alpha", "contrast", 3))
    load([made.output], tmp_path / "w.duckdb")
    ensure_shapes(tmp_path / "w.duckdb", QUICK)
    with open_warehouse(tmp_path / "w.duckdb") as con:
        rows = con.execute("select corruption, rank, ranked_count, reason from corruption_ranks").fetchall()
        fits = con.execute("select distinct corruption from curve_fits").fetchall()
    assert {(name, rank, count) for name, rank, count, _ in rows} == {("fog", 1, 1), ("contrast", None, 1)}
    assert all(("predictions are not finite" in str(reason)) == (name == "contrast") for name, _, _, reason in rows)
    assert fits == [("fog",)]
