"""Models on the images of a natural shift, for statements about it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.judging.cells import OnRecord
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.selection import EvaluationInfo
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.run_rows import ModelRows, read_run
from failmodes.analysis.statistics.shifts import classes_note
from failmodes.ingest.statements import Statement
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.errors import StudyError, did_you_mean
from failmodes.warehouse.metrics.metric import Metric

# Of the shifted evaluations of a model, the one that is compared with the evaluation itself, else the latest
_SHIFTED = """
select shifts.evaluation_id, shifts.clean_evaluation_id, shifted.dataset_id, shifted.source_id, clean.dataset_id,
    clean.source_id, shifts.class_count, shifts.clean_class_count, shifts.restricted
from shifts
inner join evaluations as shifted on shifts.evaluation_id = shifted.evaluation_id
inner join evaluations as clean on shifts.clean_evaluation_id = clean.evaluation_id
inner join evaluations as own
    on shifts.dataset_id = own.dataset_id and shifted.model_id = own.model_id and shifted.precision = own.precision
inner join shards on shifts.evaluation_id = shards.evaluation_id and shards.table_name = 'prediction_facts'
where own.evaluation_id = $1 and shifts.shift = $2
order by shifts.clean_evaluation_id = $1 desc, shards.created_at desc, shifts.evaluation_id
limit 1
"""


class Runs(NamedTuple):
    """The training runs of a model, and the warehouse that holds them."""

    con: duckdb.DuckDBPyConnection
    runs: Sequence[EvaluationInfo]


class ShiftedRows(NamedTuple):
    """A model on the images of a shift, and on the clean images that these are compared with.

    Attributes:
        shifted: on the images of the shift.
        clean: on the clean images.
        classes: restriction of the predictions or images to some classes, in words; empty without one.
    """

    shifted: ModelRows
    clean: ModelRows
    classes: str

    def note(self, *, is_gap: bool) -> str:
        """Number of images, and the restriction to some classes."""
        images = format_count(self.shifted.image_count, "image")
        if is_gap:
            images = f"{images} and {format_count(self.clean.image_count, 'clean image')}"
        return ", ".join(filter(None, [images, self.classes]))


class ShiftedModels(NamedTuple):
    """The metrics of a statement about a shift, and what its models lack.

    Attributes:
        models: of the shift; the candidate's other metrics if it lacks the shift, which no question then asks for.
        record: its cells.
    """

    models: ModelMetrics
    record: OnRecord


def shifted_models(
    statement: Statement, candidate: Runs, baseline: Runs | None, models: ModelMetrics, metrics: Mapping[str, Metric],
    place: str,
) -> ShiftedModels:  # fmt: skip
    """The models of a statement about a shift: under the shift, or for a gap on clean and on shifted images.

    Args:
        statement: with a shift.
        candidate: the model that it is about.
        baseline: the model that it is compared with.
        models: of statements about corruptions.
        metrics: that it may name.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: no model of the candidate's warehouse was evaluated under the shift.
    """
    assert statement.shift is not None
    own = rows_under(candidate, statement.shift)
    if own is None:
        _refuse_unknown(candidate.con, statement.shift, place)
    other = None if baseline is None or not statement.is_relative else rows_under(baseline, statement.shift)
    lacking = ["candidate"] * (own is None)
    lacking += ["baseline"] * (statement.is_relative and baseline is not None and other is None)
    if lacking:
        has_baseline = statement.is_relative and baseline is not None
        record = OnRecord([], [] if has_baseline else None, (), "both" if len(lacking) > 1 else lacking[0])
        return ShiftedModels(models, record)
    assert own is not None
    if statement.is_gap:
        measured = ModelMetrics(own.clean, own.shifted, metrics=metrics)
        return ShiftedModels(measured, OnRecord(own.clean.cells, note=own.note(is_gap=True)))
    measured = ModelMetrics(own.shifted, other and other.shifted, metrics=metrics)
    note = own.note(is_gap=False)
    return ShiftedModels(measured, OnRecord(own.shifted.cells, other and other.shifted.cells, note=note))


def rows_under(model: Runs, shift: str) -> ShiftedRows | None:
    """The rows of a model under a shift; None unless each of its runs was evaluated under it."""
    found = [fetch_first(model.con, _SHIFTED, [run.evaluation_id, shift]) for run in model.runs]
    rows = [row for row in found if row]
    if len(rows) < len(found):
        return None
    runs, clean = (tuple(read_run(model.con, row[place]) for row in rows) for place in (0, 1))
    count, of, is_restricted = rows[0][6:]
    classes = classes_note(count, of, is_restricted=is_restricted)
    return ShiftedRows(ModelRows(runs, *rows[0][2:4]), ModelRows(clean, *rows[0][4:6]), classes)


def _refuse_unknown(con: duckdb.DuckDBPyConnection, shift: str, place: str) -> None:
    known = [name for (name,) in con.execute("select distinct shift from shifts order by shift").fetchall()]
    if shift not in known:
        hint = (
            "the warehouse has none: add a [[shifts]] table to the study" if not known else did_you_mean(shift, known)
        )
        raise StudyError(f"{place}.shift: unknown shift {shift[:100]!r}: {hint}")
