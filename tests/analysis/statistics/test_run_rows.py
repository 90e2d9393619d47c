"""Rows of an evaluation of a warehouse, cell by cell: the facts themselves, in the order of cells and images."""

import duckdb

from failmodes.analysis.statistics.run_rows import read_run


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
