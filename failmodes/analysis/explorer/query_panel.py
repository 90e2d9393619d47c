"""The SQL part of the explorer, and the comparison of two models: what the reader asks, and what is answered."""

from pathlib import Path

import polars as pl

from failmodes.analysis.comparison_result import ComparisonResult
from failmodes.analysis.judging.compare import compare_named
from failmodes.warehouse.database.catalog import list_columns
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.relations import relation_names
from failmodes.warehouse.database.saved_queries import saved_queries, saved_query

FIRST_RELATION = "accuracy_by_severity"
TIMEOUT_S = 60
_FIRST_STATEMENT = """\
select model_label, corruption, severity, accuracy, accuracy_low, accuracy_high
from accuracy_by_severity
order by accuracy
limit 20
"""


def saved_names() -> list[str]:
    """Names of the saved queries."""
    return list(saved_queries())


def statement_of(name: str | None) -> str:
    """The SQL of a saved query, or a first statement where none is chosen."""
    return saved_query(name).sql if name else _FIRST_STATEMENT


def relation_options() -> list[str]:
    """Every table and view."""
    return sorted(relation_names())


def columns_of(path: Path, relation: str) -> pl.DataFrame:
    """The columns of a table or view: column, type and meaning.

    Raises:
        WarehouseError: the warehouse cannot be read.
    """
    return list_columns(path, relation).select("column", "type", "meaning")


def query_rows(path: Path, statement: str) -> pl.DataFrame:
    """The rows of one statement, which can neither change nor leave the warehouse.

    Raises:
        QueryError: it is no valid SQL, or not a reading one.
        LimitError: time or memory ran out.
        WarehouseError: the warehouse cannot be read.
    """
    return run_query(path, statement, timeout_s=TIMEOUT_S)


def compared(path: Path, a: str, b: str, margin: float) -> str:
    """Two evaluations compared, as HTML.

    Raises:
        StudyError: both are the same, or they share no cell.
        WarehouseError: the warehouse cannot be read.
    """
    return ComparisonResult(compare_named(a, b, path, margin=margin))._repr_html_()
