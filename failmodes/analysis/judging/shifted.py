"""Statements with the models that they are about: on corrupted images, or on those of a natural shift."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo
from failmodes.analysis.judging.cells import OnRecord
from failmodes.analysis.judging.statement import Plan, plan_statement
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.run_rows import ModelRows, read_run
from failmodes.analysis.statistics.shifts import classes_note
from failmodes.ingest.statements import Statement
from failmodes.runtime.errors import StudyError, did_you_mean
from failmodes.warehouse.database.connection import fetch_first

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


def plan_with_models(
    statement: Statement,
    models: ModelMetrics,
    candidate: Runs | None,
    baseline: Runs | None,
    extras: Collection[str],
    place: str,
) -> tuple[Plan, ModelMetrics]:
    """A statement about a metric, ready to be judged, and the models on its images, those of its shift if it has one.

    Args:
        statement: as it was read.
        models: of statements about corruptions.
        candidate: the model that it is about; only statements about shifts need it.
        baseline: the model that it is compared with, likewise.
        extras: corruptions that means exclude.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: see `plan_statement`; or no model of the candidate's warehouse was evaluated under the shift.
    """
    if statement.shift is None:
        record = OnRecord(models.candidate.cells, models.baseline and models.baseline.cells, extras)
    else:
        assert candidate is not None, "a statement about a shift requires a warehouse"
        models, record = _under_shift(statement, statement.shift, models, candidate, baseline, place)
    return plan_statement(statement, record, models.metrics, place), models


def _under_shift(
    statement: Statement, shift: str, models: ModelMetrics, candidate: Runs, baseline: Runs | None, place: str
) -> tuple[ModelMetrics, OnRecord]:
    """The models under a shift, or for a gap on clean and on shifted images, and their cells.

    If one lacks the shift, the given models: no question then asks for them.
    """
    own = rows_under(candidate, shift)
    if own is None:
        _refuse_unknown(candidate.con, shift, place)
    has_baseline = statement.is_relative and baseline is not None
    other = rows_under(baseline, shift) if baseline is not None and statement.is_relative else None
    if own is None or (has_baseline and other is None):
        lacking = "both" if own is other is None and has_baseline else "candidate" if own is None else "baseline"
        return models, OnRecord([], [] if has_baseline else None, (), lacking)
    if statement.is_gap:
        measured = ModelMetrics(own.clean, own.shifted, metrics=models.metrics)
        return measured, OnRecord(own.clean.cells, note=own.note(is_gap=True))
    measured = ModelMetrics(own.shifted, other and other.shifted, metrics=models.metrics)
    return measured, OnRecord(own.shifted.cells, other and other.shifted.cells, note=own.note(is_gap=False))


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
        hint = did_you_mean(shift, known) if known else "the warehouse has none: add a [[shifts]] table to the study"
        raise StudyError(f"{place}.shift: unknown shift {shift[:100]!r}: {hint}")
