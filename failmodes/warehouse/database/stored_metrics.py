"""Metrics and other tables that a load computes from facts, updated one evaluation at a time.

With each table a hash of the evaluation's shards is stored, and one of the definitions' source. If both are current,
nothing is computed. A changed shard recomputes its evaluation, whose curves it may change, and its pairs; a changed
metric of a user recomputes that metric.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from functools import partial
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from failmodes.runtime.hashing import identity_of
from failmodes.runtime.progress import counted
from failmodes.runtime.storage.files import StorePath
from failmodes.warehouse import database_schema as tables
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.database.tables import insert_rows, keyed_rows, upsert
from failmodes.warehouse.database_schema import COMPUTED, THRESHOLDS
from failmodes.warehouse.metrics import cell_tables
from failmodes.warehouse.metrics.abstention import OF_THRESHOLD, Aim, Threshold, checked_aim, choose_threshold
from failmodes.warehouse.metrics.cell_rows import (
    CellRows,
    ComparedCell,
    NotStored,
    column_of,
    paired_cell,
)
from failmodes.warehouse.metrics.duplicates import Copies, read_copies
from failmodes.warehouse.metrics.intervals import kept_weights
from failmodes.warehouse.metrics.metric import RESAMPLES, SEED, Metric, all_metrics, definitions_hash, evaluate
from failmodes.warehouse.schema import ATTENTION, CLEAN, LOGITS, PREDICTION_FACTS, TARGETS, Table
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

Array = NDArray[Any]
OF_USERS = "metric "  # before the name of a user's metric in `computed`


CellKey = tuple[str, Any]  # corruption and severity
BATCH_ROWS = 100  # predictions of cells in memory at a time


def update_metrics(
    con: duckdb.DuckDBPyConnection, users: Sequence[Metric] | None = None, outputs: Sequence[StorePath] = ()
) -> list[str]:
    """Update all computed tables, after the facts are inserted.

    Args:
        con: a connection that may write.
        users: metrics of the study, in place of the stored ones; None keeps their values.
        outputs: folders with results, whose logits of all classes are used.

    Returns:
        The evaluations for which something was computed.
    """
    _list_metrics(con, users)
    is_paired = dict(con.execute("select evaluation_id, paired from evaluations").fetchall())
    definitions = {table.name: definitions_hash() for table in tables.COMPUTED_TABLES}
    definitions |= {f"{OF_USERS}{metric.name}": metric.version for metric in users or ()}
    names = ("name", "evaluation_id", "definition", "input_hash")
    current = set(con.execute(f"select {', '.join(names)} from computed").fetchall())
    due = [
        row
        for evaluation_id, inputs in read_inputs(con).items()
        for name, definition in definitions.items()
        if (row := (name, evaluation_id, definition, inputs)) not in current
    ]
    whole = {evaluation_id for name, evaluation_id, *_ in due if not name.startswith(OF_USERS)}
    measured = sorted({evaluation_id for _, evaluation_id, *_ in due})
    for evaluation_id in counted("computing metrics", measured):
        is_whole = evaluation_id in whole
        own = {name for name, one, *_ in due if one == evaluation_id}
        metrics = [metric for metric in users or () if is_whole or f"{OF_USERS}{metric.name}" in own]
        aim = read_aim(con, evaluation_id) if is_whole else None
        if is_whole:
            metrics = [*all_metrics().values(), *metrics]
            for table in tables.OF_EVALUATION:
                con.execute(f"delete from {table.name} where evaluation_id = ?", [evaluation_id])
        pairs = is_paired.get(evaluation_id, False)
        _compute(con, evaluation_id, metrics, aim, outputs, is_paired=pairs, is_whole=is_whole)
    if users is None:
        con.execute("delete from computed where starts_with(name, ?) and evaluation_id = any(?)", [OF_USERS, measured])
    con.execute("delete from pair_cells where evaluation_id_a = any($1) or evaluation_id_b = any($1)", [list(whole)])
    con.execute(_COUNT_PAIRS, [list(whole)])
    rows = [dict(zip(names, row, strict=True)) for row in due]
    upsert(con, COMPUTED, pa.Table.from_pylist(rows, schema=COMPUTED.arrow()))
    return measured


def read_aim(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> Aim:
    """What the stored threshold of an evaluation was chosen for; the default without one, or if its row is invalid."""
    columns = ", ".join(Aim._fields)
    row = fetch_first(con, f"select {columns} from thresholds where evaluation_id = ?", [evaluation_id])
    try:
        return checked_aim(*row) if row else Aim()
    except ValueError:
        return Aim()


def set_aim(con: duckdb.DuckDBPyConnection, evaluation_id: str, aim: Aim) -> None:
    """Choose and store the threshold of an evaluation, and its metrics there; `con` may write."""
    _compute(con, evaluation_id, OF_THRESHOLD, aim, is_paired=False, is_whole=False)


_INPUTS = """
with files as (
    select evaluation_id, concat_ws(' ', table_name, corruption, severity, content_hash) as file_hash from shards
    union all
    select evaluation_id, concat_ws(' ', table_name, content_hash)
    from evaluations
    inner join loaded_dimensions
        on (table_name = 'evaluations' and file_key = evaluation_id)
        or (table_name in ('images', 'datasets') and file_key = dataset_id)
)
select evaluation_id, list(file_hash order by file_hash) from files
where evaluation_id in (select evaluation_id from shards) group by evaluation_id order by evaluation_id
"""

# Every pair with an evaluation of $1, of the same images and source; cells and evaluations are joined by their numbers,
# which is five times as fast as by their names
_COUNT_PAIRS = """
insert into pair_cells by name
with cells as (
    select
        shards.evaluation_id, shards.corruption, shards.severity, shards.evaluation_id = any($1) as is_due,
        row_number() over (order by shards.evaluation_id, shards.corruption, shards.severity) as number,
        dense_rank() over (order by dataset_id, source_id, subset_id, shards.corruption, shards.severity) as cell
    from shards
    inner join evaluations on shards.evaluation_id = evaluations.evaluation_id
    where shards.table_name = 'prediction_facts'
),

answers as (
    select number, cell, is_due, image_id, predicted, predicted is not distinct from label as correct
    from prediction_facts
    inner join cells using (evaluation_id, corruption, severity)
),

counts as (
    select
        a.number as number_a, b.number as number_b,
        count(*) as image_count,
        count_if(a.correct and b.correct) as both_correct_count,
        count_if(a.correct and not b.correct) as only_a_correct_count,
        count_if(b.correct and not a.correct) as only_b_correct_count,
        count_if(not a.correct and not b.correct) as both_incorrect_count,
        count_if(a.predicted = b.predicted) as agree_count
    from answers as a
    inner join answers as b using (cell, image_id)
    where a.number < b.number and (a.is_due or b.is_due)
    group by all
)

select
    a.evaluation_id as evaluation_id_a, b.evaluation_id as evaluation_id_b, a.corruption, a.severity,
    counts.* exclude (number_a, number_b)
from counts
inner join cells as a on counts.number_a = a.number
inner join cells as b on counts.number_b = b.number
"""


def read_inputs(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Hash of what is computed and checked, by evaluation with shards: its shards, and its rows of the dimensions."""
    return {evaluation_id: identity_of(files) for evaluation_id, files in con.execute(_INPUTS).fetchall()}


def _list_metrics(con: duckdb.DuckDBPyConnection, users: Sequence[Metric] | None) -> None:
    """List all metrics in `metrics`, with the given or the stored ones of users, and remove all others."""
    con.execute("delete from metrics where defined_by = 'failmodes' or ?", [users is not None])
    rows = [metric_row(metric) for metric in (*all_metrics().values(), *(users or ()))]
    insert_rows(con, tables.METRICS, pa.Table.from_pylist(rows, schema=tables.METRICS.arrow()))
    con.execute("delete from cell_metrics where metric not in (select metric from metrics)")
    con.execute(
        "delete from computed where starts_with(name, $1) and name not in (select $1 || metric from metrics)",
        [OF_USERS],
    )


def metric_row(metric: Metric) -> dict[str, Any]:
    """A row of `metrics`."""
    least, most = (end if np.isfinite(end) else None for end in metric.range)
    return {
        "metric": metric.name,
        "title": metric.title,
        "unit": metric.unit,
        "higher_is_better": metric.higher_is_better,
        "least": least,
        "most": most,
        "formula": metric.formula or None,
        "source": metric.source or None,
        "defined_by": "study" if metric.is_users else "failmodes",
    }


def _compute(
    con: duckdb.DuckDBPyConnection, evaluation_id: str, metrics: Sequence[Metric], aim: Aim | None,
    outputs: Sequence[StorePath] = (), *, is_paired: bool, is_whole: bool,
) -> None:  # fmt: skip
    """Compute and insert the tables of an evaluation, cell by cell along its curves.

    Args:
        con: a connection that may write.
        evaluation_id: its identity.
        metrics: the metrics to compute, in place of stored ones.
        aim: of the threshold that is chosen and stored; None for none.
        outputs: see `update_metrics`.
        is_paired: whether its images pair with clean ones.
        is_whole: whether its other tables are computed too.
    """
    con.execute(
        "delete from cell_metrics where evaluation_id = ? and metric = any(?)",
        [evaluation_id, [metric.name for metric in metrics]],
    )
    corruptions = con.execute(
        "select distinct corruption from shards where evaluation_id = ? and table_name = 'prediction_facts' "
        "order by corruption <> ?, corruption",
        [evaluation_id, CLEAN],
    ).fetchall()
    sql = select_facts(_columns_of(metrics), "evaluation_id = $1 and corruption = $2")
    copies = read_copies(con, evaluation_id)
    parts: dict[Table, list[pa.Table]] = defaultdict(list)
    clean: CellRows | None = None
    threshold: Threshold | None = None
    for (corruption,) in corruptions:
        curve = [] if clean is None else [clean]
        facts = con.sql(sql, params=[evaluation_id, corruption]).to_arrow_table()
        for severity, rows in _cells(facts, evaluation_id, corruption, copies, outputs):
            curve.append(rows)
            clean = rows if corruption == CLEAN else clean
            if aim is not None and threshold is None:  # the clean cell comes first
                threshold = choose_threshold(clean, aim)
                stored = {"evaluation_id": evaluation_id, **asdict(threshold)}
                upsert(con, THRESHOLDS, pa.Table.from_pylist([stored], schema=THRESHOLDS.arrow()))
            cell = paired_cell(curve) if is_paired and clean is not None else ComparedCell(rows, reference=clean)
            if threshold is not None:
                cell = cell._replace(thresholds=threshold.by_score)
            key = {"evaluation_id": evaluation_id, "corruption": corruption, "severity": severity}
            parts[tables.CELL_METRICS].append(metric_rows(key, cell, metrics, rows))
            for table, of_cell in OF_CELLS.items() if is_whole else ():
                parts[table].append(keyed_rows(table, key, of_cell(rows)))
        if is_whole and is_paired and clean is not None and len(curve) > 1:
            key = {"evaluation_id": evaluation_id, "corruption": corruption}
            onsets = cell_tables.image_onsets(paired_cell(curve).curve or ())
            parts[tables.IMAGE_ONSETS].append(keyed_rows(tables.IMAGE_ONSETS, key, onsets))
    for table, found in parts.items():
        insert_rows(con, table, pa.concat_tables(found))


def _cells(
    facts: pa.Table, evaluation_id: str, corruption: str, copies: Copies | None, outputs: Sequence[StorePath]
) -> Iterator[tuple[Decimal, CellRows]]:
    """The cells of a corruption, whose facts are ordered by severity."""
    start = 0
    for level in pc.value_counts(facts["severity"]).to_pylist():
        rows = facts.slice(start, level["counts"])
        start += rows.num_rows
        groups = None if copies is None else partial(copies.groups_of, column_of(rows, "image_id"))
        severity = level["values"]
        key = ShardKey(evaluation_id, Cell(corruption, severity))
        read = partial(_column, rows, [shard_path(output, LOGITS, key) for output in outputs])
        yield severity, CellRows(corruption, float(severity), rows.num_rows, read, groups=groups)


def _column(rows: pa.Table, paths: Sequence[StorePath], name: str) -> Array:
    """A column of facts; `all_logits` from the last file of the results that has those of the same images."""
    if name != "all_logits":
        return column_of(rows, name)
    for path in reversed(paths):
        if path.exists():
            stored = read_verified(path).rows.sort_by("image_id")
            if np.array_equal(column_of(stored, "image_id"), column_of(rows, "image_id")):
                return column_of(stored, "logits")
    raise NotStored(name)


OF_CELLS = {
    tables.CELL_CONFIDENCE_BINS: cell_tables.confidence_bins,
    tables.CELL_CONFUSION: cell_tables.confusion,
    tables.CELL_PREDICTIONS: cell_tables.predictions,
    tables.CLEAN_PREDICTIONS: cell_tables.clean_predictions,
    tables.SELECTIVE_RISKS: cell_tables.risks,
}


def metric_rows(key: Mapping[str, Any], paired: ComparedCell, metrics: Sequence[Metric], rows: CellRows) -> pa.Table:
    """Rows of cell_metrics of one cell, for the metrics that are defined there.

    Args:
        key: of the cell.
        paired: the cell with those it is compared with.
        metrics: the metrics to compute.
        rows: all images of the cell; `paired` may have fewer.
    """
    alone = paired if paired.rows is rows else paired._replace(rows=rows, clean=None, curve=None)
    found: list[tuple[str, str | None, float, float | None, float | None, int]] = []
    for metric in metrics:
        if metric.needs_pairs and rows.is_clean:
            continue
        cell = paired if metric.needs_pairs else alone
        has_replicates = metric.interval.is_stored and not metric.interval.has_formula
        weights = None
        if has_replicates and (metric.takes_weights or metric.is_users):
            weights = kept_weights(len(cell.rows), RESAMPLES, SEED, cell.rows.groups)
        for score in metric.scores or (None,):
            measured = evaluate(metric, cell, score, weights)
            if not isinstance(measured, str):
                low, high = measured.ends() or (None, None)
                found.append((metric.name, score, measured.value, low, high, measured.n))
    names, scores, values, lows, highs, counts = zip(*found, strict=True) if found else [()] * 6
    columns = {"metric": names, "score": scores, "value": values, "low": lows, "high": highs, "n": counts}
    return keyed_rows(tables.CELL_METRICS, key, columns)


def _columns_of(metrics: Sequence[Metric]) -> set[str]:
    """The columns of facts, by the names of `CellRows`, that metrics and other tables need."""
    names = {"severity", "image_id", "label", "predicted", "predicted_output", "finite", "confidence"}
    names.update(f"{target}.has_map" for target in TARGETS)
    for metric in metrics:
        for score in metric.scores or (None,):
            names.update(metric.columns_of(score))
    return names | ({"logits", "logit_classes"} if "logit_gap" in names or "logits" in names else set())


def select_facts(names: Collection[str], condition: str) -> str:
    """SQL of facts of an evaluation, $1, with columns as `CellRows` names them, in the order of cells and images.

    Args:
        names: those that are no column of facts are left out.
        condition: on `prediction_facts` and `attention`.
    """
    known = {column.name: f"facts.{column.name}" for column in PREDICTION_FACTS.columns}
    known |= {"logit_classes": "facts.logit_classes is not null", "images.mask_area": "images.mask_area"}
    joined = ""
    for target in TARGETS:
        if any(name.startswith(f"{target}.") for name in names):
            known |= {f"{target}.{column.name}": f"{target}.{column.name}" for column in ATTENTION.columns}
            known[f"{target}.has_map"] = f"{target}.target = '{target}'"  # null without a map
            joined += (
                f"left join (select distinct on (corruption, severity, image_id) * from attention where {condition} "
                f"and target = '{target}') as {target} using (corruption, severity, image_id) "
            )
    if "images.mask_area" in names:
        joined += (
            "left join (select image_id, mask_area from images inner join evaluations using (dataset_id) "
            "where evaluation_id = $1) as images using (image_id) "
        )
    columns = ", ".join(f'{known[name]} as "{name}"' for name in sorted(known.keys() & set(names)))
    facts = f"(select * from prediction_facts where {condition}) as facts"
    return f"select {columns} from {facts} {joined}order by facts.corruption, facts.severity, image_id"
