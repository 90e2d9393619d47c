"""Metrics and other tables that a load computes from facts, updated one evaluation at a time.

With each table a hash of the evaluation's shards is stored, and one of the definitions' source. If both are current,
nothing is computed. A changed shard recomputes its evaluation, whose curves it may change, and its pairs; a changed
metric of a user recomputes that metric.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from decimal import Decimal
from functools import partial
from itertools import combinations, groupby
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from failmodes.warehouse import database_schema as tables
from failmodes.warehouse.database.connection import arrow_reader
from failmodes.warehouse.database.tables import insert_rows, keyed_rows, upsert
from failmodes.warehouse.database_schema import COMPUTED
from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.metrics import cell_tables
from failmodes.warehouse.metrics.cell_rows import (
    OTHER,
    Cell,
    CellRows,
    NotStored,
    column_of,
    decode_pattern,
    paired_cell,
)
from failmodes.warehouse.metrics.duplicates import read_copies
from failmodes.warehouse.metrics.intervals import kept_weights
from failmodes.warehouse.metrics.metric import RESAMPLES, SEED, Metric, all_metrics, definitions_hash, ends_of, evaluate
from failmodes.warehouse.progress import counted
from failmodes.warehouse.schema import ATTENTION, CLEAN, PREDICTION_FACTS, TARGETS, Table

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

Array = NDArray[Any]
OF_USERS = "metric "  # before the name of a user's metric in `computed`


CellKey = tuple[str, Any]  # corruption and severity
BATCH_ROWS = 100  # predictions of cells in memory at a time


class ComputedEvaluation(NamedTuple):
    """Facts about an evaluation from the computation of its tables.

    Attributes:
        repeating: tables of facts in which a key has several rows.
        has_same_images: whether all cells have the images of the clean one, once each and with its labels.
    """

    repeating: frozenset[str]
    has_same_images: bool


class Inputs(NamedTuple):
    """The inputs of the tables of an evaluation: a hash, and whether images pair."""

    hash: str
    paired: bool


class CellPredictions(NamedTuple):
    """The predictions of one evaluation in one cell, by image_id.

    Attributes:
        correct: (N,) bool.
        predicted: (N,) int16; OTHER for no class of the dataset.
    """

    correct: NDArray[np.bool_]
    predicted: NDArray[np.int16]


def update_metrics(
    con: duckdb.DuckDBPyConnection, users: Sequence[Metric] | None = None
) -> dict[str, ComputedEvaluation]:
    """Update all computed tables, after the facts are inserted.

    Args:
        con: a connection that may write.
        users: metrics of the study, in place of the stored ones; None keeps their values.

    Returns:
        The evaluations for which something was computed.
    """
    inputs = read_inputs(con)
    _list_metrics(con, users)
    found: dict[str, ComputedEvaluation] = {}
    due = due_tables(con, inputs, users or ())
    for evaluation_id in counted("computing metrics", sorted({evaluation_id for _, evaluation_id in due})):
        names = {name for name, own in due if own == evaluation_id}
        own = [metric for metric in users or () if f"{OF_USERS}{metric.name}" in names]
        is_whole = any(not name.startswith(OF_USERS) for name in names)
        if is_whole:
            for table in tables.OF_EVALUATION:
                con.execute(f"delete from {table.name} where evaluation_id = ?", [evaluation_id])
            own = list(users or ())
        else:
            for metric in own:
                condition = "evaluation_id = ? and metric = ?"
                con.execute(f"delete from cell_metrics where {condition}", [evaluation_id, metric.name])
        metrics = [*(all_metrics().values() if is_whole else ()), *own]
        evaluation = _Evaluation(con, evaluation_id, metrics, is_paired=inputs[evaluation_id].paired, is_whole=is_whole)
        computed = evaluation.compute()
        found[evaluation_id] = computed
    if users is None and found:
        con.execute(
            "delete from computed where starts_with(name, ?) and list_contains(?, evaluation_id)",
            [OF_USERS, list(found)],
        )
    _replace_pairs(con, {evaluation_id for name, evaluation_id in due if name == tables.PAIR_CELLS.name}, inputs.keys())
    _record(con, due, inputs, users or ())
    return found


def read_shard_hashes(con: duckdb.DuckDBPyConnection) -> dict[str, dict[str, list[Any]]]:
    """Corruption, severity and content hash of all shards, by evaluation and table, in order."""
    shards: dict[str, dict[str, list[Any]]] = defaultdict(lambda: {PREDICTION_FACTS.name: [], ATTENTION.name: []})
    for evaluation_id, table_name, *shard in con.execute(
        "select evaluation_id, table_name, corruption, severity::varchar, content_hash from shards order by all"
    ).fetchall():
        shards[evaluation_id][table_name].append(shard)
    return shards


def read_inputs(con: duckdb.DuckDBPyConnection) -> dict[str, Inputs]:
    """The inputs of the tables of each evaluation with shards."""
    facts = {
        evaluation_id: row
        for evaluation_id, *row in con.execute(
            "select evaluation_id, paired, dataset_id, source_id, subset_id, loaded_dimensions.content_hash "
            "from evaluations left join loaded_dimensions on table_name = 'images' and file_key = dataset_id"
        ).fetchall()
    }
    found = {}
    for evaluation_id, kinds in read_shard_hashes(con).items():
        paired, *others = facts.get(evaluation_id) or [False, "", "", "", None]
        found[evaluation_id] = Inputs(identity_of([kinds, paired, *others]), paired)
    return found


def due_tables(
    con: duckdb.DuckDBPyConnection, inputs: Mapping[str, Inputs], users: Sequence[Metric] = ()
) -> set[tuple[str, str]]:
    """Tables (and users' metrics) and evaluations that are missing or out of date."""
    current = {
        (name, evaluation_id): (definition, input_hash)
        for name, evaluation_id, definition, input_hash in con.execute(
            "select name, evaluation_id, definition, input_hash from computed"
        ).fetchall()
    }
    wanted = {table.name: definitions_hash() for table in tables.COMPUTED_TABLES}
    wanted |= {f"{OF_USERS}{metric.name}": metric.version for metric in users}
    return {
        (name, evaluation_id)
        for evaluation_id, made_from in inputs.items()
        for name, definition in wanted.items()
        if current.get((name, evaluation_id)) != (definition, made_from.hash)
    }


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


class _Evaluation:
    """An evaluation whose tables are computed, cell by cell along its curves.

    Args:
        con: a connection that may write.
        evaluation_id: its identity.
        metrics: the metrics to compute.
        is_paired: whether its images pair with clean ones.
        is_whole: whether its other tables are computed too.
    """

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        evaluation_id: str,
        metrics: Sequence[Metric],
        *,
        is_paired: bool,
        is_whole: bool,
    ) -> None:
        self.con, self.evaluation_id, self.metrics = con, evaluation_id, metrics
        self.is_paired, self.is_whole = is_paired, is_whole
        self.repeating: set[str] = set()
        self.has_same_images = True
        self._areas, self._copies = mask_areas(con, evaluation_id), read_copies(con, evaluation_id)
        self._columns = _columns_of(metrics)
        self._parts: dict[str, list[pa.Table]] = defaultdict(list)
        self._clean: CellRows | None = None

    def compute(self) -> ComputedEvaluation:
        """Compute and insert all of its tables."""
        corruptions = self.con.execute(
            "select distinct corruption from shards where evaluation_id = ? and table_name = 'prediction_facts' "
            "order by corruption <> ?, corruption",
            [self.evaluation_id, CLEAN],
        ).fetchall()
        for (corruption,) in corruptions:
            cells = self._read(corruption)
            if corruption != CLEAN:
                self._add_curve(corruption, cells)
            elif cells:
                severity, self._clean = cells[0]
                self._add(severity, [self._clean])
        for name, found in self._parts.items():
            insert_rows(self.con, _BY_NAME[name], pa.concat_tables(found))
        same = self.has_same_images and self._clean is not None and PREDICTION_FACTS.name not in self.repeating
        return ComputedEvaluation(frozenset(self.repeating), same)

    def _read(self, corruption: str) -> list[tuple[Decimal, CellRows]]:
        """The cells of a corruption by severity, in memory together."""
        own = self.evaluation_id, corruption
        predictions = _rows_of(self.con, PREDICTION_FACTS, own, self._columns[PREDICTION_FACTS.name])
        maps = _rows_of(self.con, ATTENTION, own, self._columns[ATTENTION.name])
        found = []
        for severity, rows in predictions.items():
            of_cell = CellFacts(rows, maps.get(severity), self._areas)
            self.repeating.update(of_cell.repeating)
            groups = None if self._copies is None else partial(self._copies.groups_of, column_of(rows, "image_id"))
            cell = CellRows(corruption, float(severity), rows.num_rows, of_cell.column, groups=groups)
            found.append((severity, cell))
        return found

    def _add_curve(self, corruption: str, cells: Sequence[tuple[Decimal, CellRows]]) -> None:
        curve = [] if self._clean is None else [self._clean]
        for severity, rows in cells:
            curve.append(rows)
            self._add(severity, curve)
        if self.is_whole and self.is_paired and self._clean is not None and len(curve) > 1:
            whole = paired_cell(curve).curve or ()
            key = {"evaluation_id": self.evaluation_id, "corruption": corruption}
            onsets = keyed_rows(tables.IMAGE_ONSETS, key, cell_tables.image_onsets(whole))
            self._parts[tables.IMAGE_ONSETS.name].append(onsets)

    def _add(self, severity: Any, curve: Sequence[CellRows]) -> None:
        """Compute the last cell of a curve."""
        rows, clean = curve[-1], self._clean
        cell = paired_cell(curve) if self.is_paired and clean is not None else Cell(rows, reference=clean)
        key = {"evaluation_id": self.evaluation_id, "corruption": rows.corruption, "severity": severity}
        self._parts[tables.CELL_METRICS.name].append(metric_rows(key, cell, self.metrics, rows))
        for table, of_cell in _OF_CELLS.items() if self.is_whole else ():
            self._parts[table.name].append(keyed_rows(table, key, of_cell(rows)))
        if clean is None or not all(np.array_equal(rows[name], clean[name]) for name in ("image_id", "label")):
            self.has_same_images = False


_OF_CELLS = {
    tables.CELL_CONFIDENCE_BINS: cell_tables.confidence_bins,
    tables.CELL_CONFUSION: cell_tables.confusion,
    tables.CELL_PREDICTIONS: cell_tables.predictions,
    tables.SELECTIVE_RISKS: cell_tables.risks,
}
_BY_NAME = {table.name: table for table in tables.OF_EVALUATION}


def metric_rows(key: Mapping[str, Any], paired: Cell, metrics: Sequence[Metric], rows: CellRows) -> pa.Table:
    """Rows of cell_metrics of one cell, for the metrics that are defined there.

    Args:
        key: of the cell.
        paired: the cell with those it is compared with.
        metrics: the metrics to compute.
        rows: all images of the cell; `paired` may have fewer.
    """
    alone = paired if paired.rows is rows else Cell(rows, reference=paired.reference)
    found: list[tuple[str, str | None, float, float | None, float | None, int]] = []
    for metric in metrics:
        if metric.needs_pairs and rows.is_clean:
            continue
        cell = paired if metric.needs_pairs else alone
        has_replicates = metric.is_stored_with_interval and metric.interval is None and metric.quantile is None
        weights = None
        if has_replicates and (metric.takes_weights or metric.is_users):
            weights = kept_weights(len(cell.rows), RESAMPLES, SEED, cell.rows.groups)
        for score in metric.scores or (None,):
            measured = evaluate(metric, cell, score, weights)
            if not isinstance(measured, str):
                low, high = ends_of(metric, cell, score, measured) or (None, None)
                found.append((metric.name, score, measured.value, low, high, measured.n))
    names, scores, values, lows, highs, counts = zip(*found, strict=True) if found else [()] * 6
    columns = {"metric": names, "score": scores, "value": values, "low": lows, "high": highs, "n": counts}
    return keyed_rows(tables.CELL_METRICS, key, columns)


def _columns_of(metrics: Sequence[Metric]) -> dict[str, list[str]]:
    """The columns of each table of facts that metrics and other tables need."""
    names = {"image_id", "label", "predicted", "predicted_output", "finite", "confidence"}
    for metric in metrics:
        for score in metric.scores or (None,):
            names.update(metric.columns_of(score))
    if not names.isdisjoint({"logits", "logit_gap"}):
        names |= {"logits", "logit_classes"}
    columns = {name.rpartition(".")[2] for name in names if "." in name} | {"image_id", "target"}
    return {
        table.name: [column.name for column in table.columns if column.name in own]
        for table, own in ((PREDICTION_FACTS, names), (ATTENTION, columns))
    }


def _rows_of(
    con: duckdb.DuckDBPyConnection, table: Table, own: tuple[str, str], columns: Sequence[str]
) -> dict[Decimal, pa.Table]:
    """The rows of a corruption of an evaluation, by severity, predictions by image_id."""
    rows = con.sql(
        f"select severity, {', '.join(columns)} from {table.name} where evaluation_id = ? and corruption = ?",
        params=own,
    ).to_arrow_table()
    severities = [one for one in pc.unique(rows["severity"]).to_pylist() if one is not None]
    levels, image_ids = np.asarray(rows["severity"].cast(pa.float64())), np.asarray(rows["image_id"])
    steps = np.diff(levels)
    # Attention rows may have any order: maps are assigned to images later
    is_by_image = "target" in columns or (np.diff(image_ids)[steps == 0] >= 0).all()
    if not is_by_image or (steps < 0).any():
        order = np.lexsort((image_ids, levels))
        rows, levels = rows.take(order), levels[order]
    ends = np.searchsorted(levels, [float(one) for one in sorted(severities)], side="right")
    starts = np.append(0, ends)[:-1]
    return {
        severity: rows.slice(start, end - start)
        for severity, start, end in zip(sorted(severities), starts.tolist(), ends.tolist(), strict=True)
    }


class CellFacts:
    """The facts of a cell, and its columns as `CellRows` names them.

    Attributes:
        repeating: tables of facts in which a key has several rows.

    Args:
        predictions: of the cell, by image_id.
        maps: of the cell, by image_id; None without maps.
        areas: from `mask_areas`.
    """

    def __init__(self, predictions: pa.Table, maps: pa.Table | None, areas: Mapping[str, Array]) -> None:
        self.repeating: list[str] = []
        self._predictions, self._maps, self._areas = predictions, maps, areas
        self._image_ids = column_of(predictions, "image_id")
        self._of_maps: dict[str, Array] = {}
        self._places: dict[str, tuple[Array, Array | slice]] = {}
        if (self._image_ids[1:] == self._image_ids[:-1]).any():
            self.repeating.append(PREDICTION_FACTS.name)
        if maps is not None:
            self._place_maps(maps)
        if PREDICTION_FACTS.name in self.repeating:  # the image of a map is ambiguous
            self._places.clear()

    def _place_maps(self, maps: pa.Table) -> None:
        """Assign maps to images."""
        map_ids = column_of(maps, "image_id")
        for target in TARGETS:
            chosen = np.flatnonzero(pc.equal(maps["target"], target).to_numpy(zero_copy_only=False))
            own = map_ids[chosen]
            if not self.repeating and np.array_equal(own, self._image_ids):
                self._places[target] = chosen, slice(None)
                continue
            if (own[1:] < own[:-1]).any():
                chosen = chosen[np.argsort(own, kind="stable")]
                own = map_ids[chosen]
            if (own[1:] == own[:-1]).any():
                self.repeating.append(ATTENTION.name)
            place = np.searchsorted(self._image_ids, own).clip(max=len(self._image_ids) - 1)
            is_known = self._image_ids[place] == own
            self._places[target] = chosen[is_known], place[is_known]

    def column(self, name: str) -> Array:
        """A column by its name.

        Raises:
            NotStored: the column does not exist, or is null throughout.
        """
        source, _, column = name.rpartition(".")
        if source == "images":
            return at_images(self._image_ids, self._areas)
        if not source and name == "logit_classes":
            return np.asarray(self._predictions[name].is_valid())
        if not source:
            return column_of(self._predictions, name)
        if source not in self._places or self._maps is None:
            raise NotStored(name)
        chosen, place = self._places[source]
        if column == "has_map":
            found = np.zeros(len(self._image_ids), np.bool_)
            found[place] = True
            return found
        if column not in self._of_maps:
            self._of_maps[column] = column_of(self._maps, column)
        return at_rows(column, self._of_maps[column][chosen], place, self._image_ids.shape)


def at_rows(column: str, values: Array, places: Any, shape: tuple[int, ...]) -> Array:
    """A column of maps at the positions of their images; NaN, -1 or False for images without a map."""
    if values.dtype.kind == "b" and column != "empty":
        values = values.astype(np.float32)
    filler = {"f": np.nan, "b": False}.get(values.dtype.kind, OTHER)
    found = np.full(shape, filler, values.dtype)
    found[places] = values
    return found


def mask_areas(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[str, Array]:
    """`image_id` and `mask_area` of the clean images with a mask, by ascending image_id."""
    found = con.execute(
        "select image_id, mask_area from images inner join evaluations using (dataset_id) "
        "where evaluation_id = ? and mask_area is not null order by image_id",
        [evaluation_id],
    ).fetchnumpy()
    return {name: np.asarray(values) for name, values in found.items()}


def at_images(image_ids: Array, areas: Mapping[str, Array]) -> Array:
    """Mask areas of some images; NaN for images without a mask.

    Raises:
        NotStored: no image has a mask.
    """
    known_ids, values = np.asarray(areas["image_id"]), np.asarray(areas["mask_area"], np.float32)
    if not len(known_ids):
        raise NotStored("images.mask_area")
    place = np.searchsorted(known_ids, image_ids).clip(max=len(known_ids) - 1)
    return np.where(known_ids[place] == image_ids, values[place], np.float32(np.nan))


def _record(
    con: duckdb.DuckDBPyConnection,
    due: Set[tuple[str, str]],
    inputs: Mapping[str, Inputs],
    users: Sequence[Metric],
) -> None:
    versions = {f"{OF_USERS}{metric.name}": metric.version for metric in users}
    rows = [
        {
            "name": name,
            "evaluation_id": evaluation_id,
            "definition": versions.get(name, definitions_hash()),
            "input_hash": inputs[evaluation_id].hash,
        }
        for name, evaluation_id in sorted(due | {(name, one) for name in versions for one in inputs})
    ]
    upsert(con, COMPUTED, pa.Table.from_pylist(rows, schema=COMPUTED.arrow()))


def _replace_pairs(con: duckdb.DuckDBPyConnection, due: Set[str], evaluations: Collection[str]) -> None:
    """Recount every pair with a due evaluation, of evaluations of the same images and source.

    Args:
        con: a connection that may write; `cell_predictions` is up to date.
        due: evaluations whose predictions are new.
        evaluations: all that have shards.
    """
    if not due:
        return
    con.execute("delete from pair_cells where evaluation_id_a = any($1) or evaluation_id_b = any($1)", [list(due)])
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for evaluation_id, *group in con.execute(
        "select evaluation_id, dataset_id, source_id, subset_id from evaluations order by evaluation_id"
    ).fetchall():
        if evaluation_id in evaluations:
            groups[tuple(group)].append(evaluation_id)
    for members in groups.values():
        if len(members) > 1 and not due.isdisjoint(members):
            _count_group(con, members, due)


def _count_group(con: duckdb.DuckDBPyConnection, members: list[str], due: Set[str]) -> None:
    counted: list[pa.Table] = []
    others: list[CellKey] = []  # after the stream has ended, since a connection has one at a time
    for cell, predictions in _read_predictions(con, members):
        if predictions is None:
            others.append(cell)
        else:
            counted.append(_pairs_of_cell(cell, predictions, due))
    for cell in others:
        for pair in combinations(members, 2):  # not of the same images: by their image_id
            if not due.isdisjoint(pair) and (shared := _shared_predictions(con, pair, cell)):
                counted.append(_pairs_of_cell(cell, shared, due))
    if counted:
        insert_rows(con, tables.PAIR_CELLS, pa.concat_tables(counted))


def _pairs_of_cell(cell: CellKey, predictions: Mapping[str, CellPredictions], due: Set[str]) -> pa.Table:
    """Rows of pair_cells of one cell, for every pair of evaluations with a due one."""
    pairs = [pair for pair in combinations(sorted(predictions), 2) if not due.isdisjoint(pair)]
    names = ("image_count", "both_correct_count", "only_a_correct_count", "only_b_correct_count",
             "both_incorrect_count", "agree_count")  # fmt: skip
    counts = np.array([_counts(predictions[a], predictions[b]) for a, b in pairs], np.int64).reshape(-1, len(names))
    columns = {"evaluation_id_a": [a for a, _ in pairs], "evaluation_id_b": [b for _, b in pairs]}
    key = {"corruption": cell[0], "severity": cell[1]}
    return keyed_rows(tables.PAIR_CELLS, key, columns | dict(zip(names, counts.T, strict=True)))


def _counts(one: CellPredictions, other: CellPredictions) -> tuple[int, ...]:
    both_correct = one.correct & other.correct
    do_agree = (one.predicted == other.predicted) & (one.predicted != OTHER)
    a, b, both, agree = (int(np.count_nonzero(flags)) for flags in (one.correct, other.correct, both_correct, do_agree))
    return len(one.correct), both, a - both, b - both, len(one.correct) - a - b + both, agree


def _shared_predictions(
    con: duckdb.DuckDBPyConnection, pair: tuple[str, str], cell: CellKey
) -> dict[str, CellPredictions]:
    """Predictions of two evaluations for their common images of a cell; empty if there are none."""
    found = con.execute(
        "select image_id, one.label, one.predicted, other.predicted as others from prediction_facts as one "
        "inner join prediction_facts as other using (corruption, severity, image_id) "
        "where one.evaluation_id = ? and other.evaluation_id = ? and corruption = ? and severity = ?",
        [*pair, *cell],
    ).fetchnumpy()
    if not len(found["image_id"]):
        return {}
    predicted = (np.ma.filled(found[name], OTHER).astype(np.int16) for name in ("predicted", "others"))
    return {name: CellPredictions(own == found["label"], own) for name, own in zip(pair, predicted, strict=True)}


def _read_predictions(
    con: duckdb.DuckDBPyConnection, members: list[str]
) -> Iterator[tuple[CellKey, dict[str, CellPredictions] | None]]:
    """Predictions of evaluations, by cell; None if their images differ or repeat.

    One query, since DuckDB decodes the predictions of many cells for each that it returns.
    """
    predictions_by_cell = con.sql(
        "select corruption, severity, evaluation_id, row_count = image_count, image_ids_md5, correct_images, "
        "predictions from cell_predictions where evaluation_id = any(?) order by corruption, severity, evaluation_id",
        params=[members],
    )
    rows = (row for batch in arrow_reader(predictions_by_cell, BATCH_ROWS) for row in zip(*batch.columns, strict=True))
    for cell, of_cell in groupby(rows, lambda row: (row[0].as_py(), row[1].as_py())):
        predictions, images = dict[str, CellPredictions](), set()
        for _, _, evaluation_id, is_whole, ids_hash, pattern, given in of_cell:
            predicted = np.asarray(given.values.fill_null(OTHER), dtype=np.int16)
            predictions[evaluation_id.as_py()] = CellPredictions(decode_pattern(pattern.as_py()), predicted)
            images.add((ids_hash.as_py(), is_whole.as_py()))
        yield cell, predictions if len(images) == 1 and all(is_whole for _, is_whole in images) else None
