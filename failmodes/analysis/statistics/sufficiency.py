"""Which data suffice for a statement: images enough, and predictions that are finite numbers."""

import duckdb

MOST_NON_FINITE = 0.01  # share of a cell's rows; beyond it nothing is said of a shape or a cost
FEWEST_IMAGES = 30  # of fewer there are figures but no findings


def non_finite_cells(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> list[tuple[str, float]]:
    """Cells, as corruption and severity, of which more than MOST_NON_FINITE of the rows are no finite numbers."""
    return con.execute(
        "select corruption, severity::double from cell_metrics where evaluation_id = ? "
        "and metric = 'non_finite_share' and value > ? order by all",
        [evaluation_id, MOST_NON_FINITE],
    ).fetchall()
