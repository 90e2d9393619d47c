"""Accuracy under natural shifts of the models of a selection, beside their clean accuracy."""

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import Selection
from failmodes.warehouse.database.connection import read_once

FEWEST_MODELS = 5  # of a line of effective robustness, as in the view

# Of several evaluations of a model under one shift, the one that is compared with the selection, else the latest
_ROWS = """
select accuracy_by_shift.*, own.evaluation_id as own_evaluation_id
from accuracy_by_shift
inner join evaluations as own
    on accuracy_by_shift.dataset_id = own.dataset_id
        and accuracy_by_shift.model_id = own.model_id
        and accuracy_by_shift.precision = own.precision
inner join shards on accuracy_by_shift.evaluation_id = shards.evaluation_id and shards.table_name = 'prediction_facts'
where own.evaluation_id = any($1)
qualify row_number() over (
    partition by shift, own_evaluation_id
    order by (clean_evaluation_id = own_evaluation_id) desc, shards.created_utc desc, accuracy_by_shift.evaluation_id
) = 1
order by shift_order, shift
"""


@read_once
def shift_rows(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Rows of accuracy_by_shift with `label` (of the evaluation), by shift and in the order of the selection."""
    rows: pl.DataFrame = con.sql(_ROWS, params=[selection.ids]).pl()
    labels = pl.DataFrame(
        {
            "own_evaluation_id": selection.ids,
            "label": list(selection.labels.values()),
            "place": range(len(selection.ids)),
        }
    )
    ordered = rows.join(labels, on="own_evaluation_id", how="inner").sort("shift_order", "shift", "place")
    return ordered.drop("place")


def classes_note(count: int, of: int, *, is_restricted: bool) -> str:
    """The classes of a shift in words, and whether predictions are restricted to them; empty for all classes."""
    if is_restricted:
        return f"{count:,} of {of:,} classes, predictions among these only"
    return "" if count == of else f"{count:,} of {of:,} classes"
