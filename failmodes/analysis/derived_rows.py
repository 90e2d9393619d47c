"""Rows of the tables that are derived from a record, as Arrow."""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl
import pyarrow as pa

from failmodes.warehouse.schema import Table


def derived_rows(rows: Iterable[Mapping[str, Any]], table: Table) -> pa.Table:
    """The rows in the columns of a table, null where a row lacks one.

    Arrow's own way from Python's values imports pandas where that is installed, which takes as long as all shapes of a
    model.
    """
    schema = table.arrow()
    made = pl.DataFrame(list(rows), schema=pl.DataFrame(schema.empty_table()).schema).to_arrow()
    columns = [values.cast(field.type) for values, field in zip(made.columns, schema, strict=True)]
    return pa.Table.from_arrays(columns, schema=schema)
