"""Rows of an evaluation of a warehouse, cell by cell: the facts themselves, in the order of cells and images."""

from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic
from warehouse_files import change_file

from failmodes.analysis.statistics.run_rows import read_run
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import open_warehouse


def test_rows_are_read_in_the_order_of_cells_and_images(con: duckdb.DuckDBPyConnection) -> None:
    evaluation_id = con.execute("select evaluation_id from evaluations order by 1 limit 1").fetchall()[0][0]
    run = read_run(con, evaluation_id)
    assert len(run.cells) > 2
    for corruption, severity in run.cells:
        rows = con.sql(
            "select image_id, correct, confidence, label from outcomes where evaluation_id = ? and corruption = ? "
            "and severity = ? order by image_id", params=[evaluation_id, corruption, severity],
        ).fetchnumpy()  # fmt: skip
        found = run.rows((corruption, severity))
        for name in ("correct", "confidence", "label"):
            assert (found[name] == rows[name]).all()
        assert (run.image_ids == rows["image_id"]).all()


@pytest.mark.test_all
@pytest.mark.parametrize("change", ["select 1", "delete from computed where name = 'cell_predictions'"])
def test_correctness_is_the_results_whether_predictions_are_stored_or_not(
    synthetic: Synthetic, warehouse_copy: Path, change: str
) -> None:
    change_file(warehouse_copy, change)
    with open_warehouse(warehouse_copy) as con:
        for label, evaluation_id in synthetic.evaluations.items():
            found = read_run(con, evaluation_id)
            for corruption, severities in found.curves().items():
                columns = [severities[float(severity)] for severity in range(6)]
                assert (synthetic.correct[label, corruption] == found.correct[:, columns].T).all()


@pytest.mark.parametrize(
    "letters",
    ["'1'", pytest.param("repeat('ä', row_count)", marks=pytest.mark.test_all)],
    ids=["too few", "no digits"],
)
def test_predictions_that_are_no_letter_a_row_are_refused(warehouse_copy: Path, letters: str) -> None:
    with duckdb.connect(str(warehouse_copy)) as writer:
        writer.execute(f"update cell_predictions set correct_images = {letters} where corruption = 'fog'")
        ((evaluation_id,),) = writer.sql("select min(evaluation_id) from evaluations").fetchall()
    with open_warehouse(warehouse_copy) as con, pytest.raises(WarehouseError, match="cell_predictions .* is damaged"):
        read_run(con, evaluation_id)


def test_an_incomplete_cell_is_named(synthetic: Synthetic, warehouse_copy: Path) -> None:
    fog = "corruption = 'fog' and severity = 3"
    change_file(warehouse_copy, f"update cell_predictions set row_count = 393, image_count = 393 where {fog}")
    incomplete = pytest.raises(WarehouseError, match="fog .* 3 has 393 rows")
    with open_warehouse(warehouse_copy) as con, incomplete:
        read_run(con, synthetic.evaluations["Alpha"])
