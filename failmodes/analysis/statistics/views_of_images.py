"""Views of metrics for some of the images: the stored tables that they read are computed again, of these images alone.

Metrics, their intervals and the SQL of the views are those of a load.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa

from failmodes.analysis.evaluations.selection import Selection, read_for_selection, rows_for_selection
from failmodes.analysis.statistics.attributes import MISSING, AttributeGroups, attribute_groups
from failmodes.analysis.statistics.filters import check_text, filtered_run
from failmodes.analysis.statistics.run_rows import RunRows
from failmodes.runtime.errors import QueryError, StudyError
from failmodes.warehouse.database.connection import fetch_first, open_warehouse, read_once
from failmodes.warehouse.database.query import matching_rows
from failmodes.warehouse.database.stored_metrics import OF_CELLS, metric_rows
from failmodes.warehouse.database.tables import keyed_rows
from failmodes.warehouse.database.views import check_known, view_definitions, with_sources
from failmodes.warehouse.database_schema import CELL_METRICS
from failmodes.warehouse.metrics.cell_rows import NotStored
from failmodes.warehouse.metrics.metric import Metric, all_metrics
from failmodes.warehouse.schema import CLEAN, Table

# Views whose rows depend on the cells of one evaluation alone
VIEWS = (
    "accuracy_by_severity", "accuracy_by_class", "calibration_by_severity", "confusion_by_severity",
    "distortion_by_severity", "failure_prediction", "predictions_by_severity", "reliability_bins",
    "temperature_by_severity", "transitions_against_clean",
)  # fmt: skip
NEEDED = (
    "attention", "cell_predictions", "classes", "evaluation_labels", "evaluations", "images", "prediction_facts",
    "sources",
)  # fmt: skip
# Columns of a view that choose what is computed for it
KEYS = ("evaluation_id", "model_label", "dataset_label", "corruption", "corruption_group")
MAX_GROUPS = 200
_TEXTS = re.compile(r"'(\w+)'")


@read_once
def read_view(con: duckdb.DuckDBPyConnection, view: str, selection: Selection) -> pl.DataFrame:
    """Rows of one of VIEWS for a selection, as `read_for_selection`; on the images of its filter if it has one."""
    if not selection.filter:
        return read_for_selection(con, view, selection)
    runs = [filtered_run(con, evaluation_id, selection.filter) for evaluation_id in selection.ids]
    with _computed(con, view, runs, [*selection.corruptions, CLEAN]):
        return rows_for_selection(con, view, selection)


def rows_of_images(
    path: Path, view: str, filters: Mapping[str, object], *, by: str | None = None, condition: str = ""
) -> pl.DataFrame:
    """The rows of a view for some of the images, or for each of several groups of them.

    Args:
        path: the DuckDB file.
        view: one of VIEWS.
        filters: as of `read_rows`.
        by: an attribute of images (see `attribute_groups`), whose groups are named in a further first column, null for
            images without a value; quartiles are those of the images of each evaluation.
        condition: only images that this filter keeps (see `filtered_run`).

    Raises:
        QueryError: a view that is not of single cells, a filter that is no condition on images, or as of `read_rows`.
        StudyError: an unknown attribute, or one with more than MAX_GROUPS groups; or no image matches the filter.
    """
    check_known(view)
    if view not in VIEWS:
        raise QueryError(f"{view} is not computed for some of the images: expected one of {', '.join(VIEWS)}")
    with open_warehouse(path, [view, *NEEDED]) as con:
        empty = matching_rows(con, view, filters).clear()  # says which filter is wrong
        if by in empty.columns:
            raise StudyError(f"{view} has the column {by} itself: leave out by={by!r}")
        keys = {name: value for name, value in filters.items() if name in KEYS}
        whole = matching_rows(con, view, keys)
        corruptions = [*whole["corruption"].unique(), CLEAN]
        runs = _filtered_runs(con, sorted(set(whole["evaluation_id"])), condition)
        parts = [empty if by is None else empty.select(pl.lit(None, pl.String).alias(by), pl.all())]
        for names, chosen in [(None, runs)] if by is None else _by_group(con, runs, by):
            with _computed(con, view, chosen, corruptions):
                rows = matching_rows(con, view, filters)
            if by is not None:
                name = pl.col("evaluation_id").replace_strict(names, default=None, return_dtype=pl.String)
                rows = rows.select(name.alias(by), pl.all())
            parts.append(rows)
    order = [name for name in ("model_label", "corruption", "severity") if name in whole.columns]
    return pl.concat(parts).sort(order, maintain_order=True)


def _filtered_runs(con: duckdb.DuckDBPyConnection, ids: Sequence[str], condition: str) -> list[RunRows]:
    """Those evaluations that have images which a filter keeps.

    Raises:
        StudyError: none has.
    """
    check_text(condition)
    runs = []
    refused: StudyError | None = None
    for evaluation_id in ids:
        try:
            runs.append(filtered_run(con, evaluation_id, condition))
        except StudyError as error:
            refused = error
    if refused and not runs:
        raise refused
    return runs


def _by_group(
    con: duckdb.DuckDBPyConnection, runs: Sequence[RunRows], by: str
) -> Iterator[tuple[dict[str, str | None], list[RunRows]]]:
    """The evaluations on the images of each group, with its name by evaluation; None for images without a value."""
    groups = [_groups(con, run, by) for run in runs]
    for code in [*range(max((len(one.names) for one in groups), default=0)), MISSING]:
        names: dict[str, str | None] = {}
        chosen = []
        for run, one in zip(runs, groups, strict=True):
            if len(images := one.images(code)):
                chosen.append(run.of_images(images))
                names[run.evaluation_id] = None if code == MISSING else one.names[code]
        if chosen:
            yield names, chosen


def _groups(con: duckdb.DuckDBPyConnection, run: RunRows, by: str) -> AttributeGroups:
    """The groups of the images of an evaluation."""
    dataset_of = "select dataset_id from evaluations where evaluation_id = ?"
    (dataset_id,) = fetch_first(con, dataset_of, [run.evaluation_id]) or ("",)
    groups = attribute_groups(con, dataset_id, by, run.every_image)
    if len(groups.names) > MAX_GROUPS:
        raise StudyError(
            f"{by} has {len(groups.names):,} values, expected at most {MAX_GROUPS}: group by a column with fewer"
        )
    return groups


@contextmanager
def _computed(
    con: duckdb.DuckDBPyConnection, view: str, runs: Sequence[RunRows], corruptions: Collection[str]
) -> Iterator[None]:
    """Within it, a view reads tables that are computed from `runs`, of cells of some corruptions, and no others."""
    sources = with_sources(con, [view])
    tables = [table for table in (CELL_METRICS, *OF_CELLS) if table.name in sources]
    sql = " ".join(view_definitions()[name] for name in sources if name in view_definitions())
    metrics = [metric for name, metric in all_metrics().items() if name in _TEXTS.findall(sql)]
    rows = _table_rows(runs, tables, metrics, corruptions)
    for table in tables:
        kinds = con.execute(f"select column_name, column_type from (describe {table.name})").fetchall()
        con.register(f"computed_{table.name}", rows[table])
        con.execute(f"alter view {table.name} rename to stored_{table.name}")
        columns = ", ".join(f"{name}::{kind} as {name}" for name, kind in kinds)
        con.execute(f"create view {table.name} as select {columns} from computed_{table.name}")
    try:
        yield
    finally:
        for table in tables:
            con.execute(f"drop view {table.name}")
            con.execute(f"alter view stored_{table.name} rename to {table.name}")
            con.unregister(f"computed_{table.name}")


def _table_rows(
    runs: Sequence[RunRows], tables: Sequence[Table], metrics: Sequence[Metric], corruptions: Collection[str]
) -> dict[Table, pa.Table]:
    """The rows of tables of cells, as a load computes them."""
    parts: dict[Table, list[pa.Table]] = {table: [table.arrow().empty_table()] for table in tables}
    columns = {name for metric in metrics for score in metric.scores or (None,) for name in metric.columns_of(score)}
    for run in runs:
        with suppress(NotStored):  # the metrics that need it are left out
            run.read(sorted(columns))
        for key in run.cells:
            if key[0] not in corruptions:
                continue
            cell = run.cell(key)
            stored_key = {
                "evaluation_id": run.evaluation_id, "corruption": key[0], "severity": Decimal(f"{key[1]:.3f}")
            }  # fmt: skip
            for table in tables:
                parts[table].append(
                    metric_rows(stored_key, cell, metrics, cell.rows)
                    if table is CELL_METRICS
                    else keyed_rows(table, stored_key, OF_CELLS[table](cell.rows))
                )
    return {table: pa.concat_tables(of_table) for table, of_table in parts.items()}
