"""Which data suffice for a statement: images enough, and predictions that are finite numbers."""

import duckdb
import polars as pl

from failmodes.analysis.selection import read_metrics

MOST_NON_FINITE = 0.01  # share of a cell's rows; beyond it nothing is said of a shape or a cost
FEWEST_IMAGES = 30  # of fewer there are figures but no findings


def non_finite_cells(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> list[tuple[str, float]]:
    """Cells, as corruption and severity, of which more than MOST_NON_FINITE of the rows are no finite numbers."""
    shares = read_metrics(con, [evaluation_id], ["non_finite_share"]).filter(pl.col("value") > MOST_NON_FINITE)
    return shares.select("corruption", "severity").sort("corruption", "severity").rows()
