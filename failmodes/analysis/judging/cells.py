"""The cells that a statement is about, and the missing ones.

A statement about a natural shift is about the evaluations of its models on the images of that shift.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, averaged_severities
from failmodes.analysis.render.formatting import format_count
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.filters import all_but, filtered, filtered_images
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey, ModelRows, RunRows, read_run
from failmodes.analysis.statistics.shifts import classes_note
from failmodes.ingest.corruptions.catalog import ALIASES, CORRUPTIONS, registered
from failmodes.ingest.statements import (
    NAMES_OF_MANY,
    CellDifference,
    Drop,
    Gap,
    InCells,
    LargestDrop,
    MetricStatement,
    ModelDifference,
    RestDifference,
    UnderShift,
)
from failmodes.runtime.errors import QueryError, StudyError, did_you_mean, translated
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.schema import CLEAN

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
order by shifts.clean_evaluation_id = $1 desc, shards.created_utc desc, shifts.evaluation_id
limit 1
"""


class MissingCell(NamedTuple):
    """A cell of a statement that a model lacks.

    Attributes:
        corruption: its name.
        severity: of the cell; None if the statement takes all severities and there is none.
        lacked_by: 'candidate', 'baseline' or 'both'; 'candidate' if the statement does not compare.
    """

    corruption: str
    severity: float | None
    lacked_by: str = "candidate"


class EvaluatedCells(NamedTuple):
    """The cells of a candidate, and of a baseline if there is one; averages exclude the extras.

    `lacks_shift` says which of them was not evaluated under the shift of a statement, as `MissingCell.lacked_by`;
    `note` states the images and classes of the shift.
    """

    candidate: Collection[CellKey]
    baseline: Collection[CellKey] | None = None
    extras: Collection[str] = ()
    lacks_shift: str = ""
    note: str = ""

    @property
    def cells(self) -> list[CellKey]:
        """The cells that any of them has."""
        return sorted({*self.candidate, *(self.baseline or ())})

    def lacking(self, corruption: str, severity: float | None, *, is_relative: bool) -> str:
        """Which of the models of a statement lack a cell; '' if none does."""
        models = {"candidate": self.candidate}
        if is_relative and self.baseline is not None:
            models["baseline"] = self.baseline
        lacking = [name for name, cells in models.items() if (corruption, severity) not in cells]
        return "both" if len(lacking) > 1 else "".join(lacking)


class StatementCells(NamedTuple):
    """The cells of a statement.

    Attributes:
        stated: by corruption.
        other: cells that these are compared with, by corruption.
        missing: cells that a model lacks.
        lacks_other: whether any of these is one that it compares with.
    """

    stated: dict[str, list[CellKey]]
    other: dict[str, list[CellKey]]
    missing: list[MissingCell]
    lacks_other: bool = False


def find_cells(statement: MetricStatement, evaluated: EvaluatedCells, place: str) -> StatementCells:
    """Find the cells of a statement about a metric.

    By default it is about all evaluated corruptions (a mean excludes the extras unless there are no others), and about
    the whole severities that all of them have (about all severities if none is whole).

    Args:
        statement: with or without corruptions and severities.
        evaluated: cells of the models.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: a corruption that neither the catalog nor a model knows.
    """
    if isinstance(statement, UnderShift):
        missing = [MissingCell(f"shift {statement.shift}", None, evaluated.lacks_shift)] * bool(evaluated.lacks_shift)
        return StatementCells({} if missing else {CLEAN: [CLEAN_CELL]}, {}, missing)
    assert isinstance(statement, InCells)
    is_mean = not statement.is_over_each
    compares = isinstance(statement, ModelDifference)
    names = named_corruptions(statement.corruptions, evaluated, place, is_mean=is_mean)
    other_names, other_severities = _compared_with(statement, names, evaluated, place)
    missing = [] if names else [MissingCell("any corruption", None, "both" if compares else "candidate")]

    def cells_of(corruption: str, severities: object, compared: Sequence[str]) -> list[CellKey]:
        cells = []
        for severity in _severities(corruption, severities, evaluated, compared):
            lacked_by = evaluated.lacking(corruption, severity, is_relative=compares)
            if lacked_by:
                missing.append(MissingCell(corruption, severity, lacked_by))
            elif severity is not None:
                cells.append((corruption, severity))
        return cells

    alike = other_names if other_severities is None else []  # with the severities of the statement
    both = [*names, *alike] if alike and is_mean else []
    stated = {name: cells_of(name, statement.severities, both or [name, *alike]) for name in names}
    missing_stated = len(missing)
    others = {
        name: cells_of(name, other_severities or statement.severities, both if alike else [name])
        for name in other_names
    }
    lacked_by = evaluated.lacking(*CLEAN_CELL, is_relative=False)
    if lacked_by and isinstance(statement, Drop | LargestDrop):
        missing.append(MissingCell(*CLEAN_CELL, lacked_by))
    return StatementCells(stated, others, missing, len(missing) > missing_stated)


def _compared_with(
    statement: InCells, names: list[str], evaluated: EvaluatedCells, place: str
) -> tuple[list[str], object]:
    """The corruptions that those of a statement are compared with, and their own severities."""
    if isinstance(statement, LargestDrop):
        return [name for name in named_corruptions(None, evaluated, place) if name not in names], None
    if not isinstance(statement, CellDifference):
        return [], None
    other = statement.other
    of_itself = other.corruptions is None
    return (names if of_itself else named_corruptions(other.corruptions, evaluated, place)), other.severities


def named_corruptions(
    stated: list[str] | None, evaluated: EvaluatedCells, place: str, *, is_mean: bool = True
) -> list[str]:
    """Names of corruptions as in the warehouse, each once.

    Args:
        stated: in a statement; None for all evaluated ones.
        evaluated: cells of the models.
        place: of the statement in its file, for errors.
        is_mean: whether extras are excluded by default.

    Raises:
        StudyError: a corruption that neither the catalog nor a model knows.
    """
    stored = {corruption for corruption, _ in evaluated.cells}
    if stated is None:
        known = [name for name in (*CORRUPTIONS, *registered()) if name in stored]
        known += sorted(stored - {*known, CLEAN})
        return [name for name in known if not is_mean or name not in evaluated.extras] or known
    names: list[str] = []
    for name in stated:
        if name in NAMES_OF_MANY and name not in stored:
            names += [known.name for known in CORRUPTIONS.values() if known.headline or name == "all"]
        else:
            names.append(_known_name(name, stored, place))
    return list(dict.fromkeys(names))


def _known_name(stated: str, stored: Iterable[str], place: str) -> str:
    name = stated if stated in stored else ALIASES.get(stated, stated)
    known = list(dict.fromkeys([CLEAN, *NAMES_OF_MANY, *CORRUPTIONS, *registered(), *sorted(stored)]))
    if name not in known:
        spelled = stated.replace("-", "_").replace(" ", "_")
        hint = did_you_mean(spelled, known)
        raise StudyError(f"{place}.corruptions: unknown corruption {stated[:100]!r}: {hint}")
    return name


def _severities(
    corruption: str, stated: object, evaluated: EvaluatedCells, compared: Sequence[str]
) -> list[float] | list[None]:
    """Severities of one corruption; [None] if the compared corruptions have none in common."""
    if corruption == CLEAN:
        return [0.0]
    if isinstance(stated, list):
        return sorted(float(severity) for severity in stated)
    grids = [
        {severity for name, severity in evaluated.cells if name == other}
        for other in compared
        if other not in (CLEAN, corruption)
    ]
    grid = {severity for name, severity in evaluated.cells if name == corruption}
    shared = sorted(grid.intersection(*filter(None, grids)))
    if not shared:
        return [None]
    return shared[-1:] if stated == "last" else averaged_severities(shared)


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

    def filtered(self, statement: UnderShift, place: str) -> "ShiftedRows":
        """The same on the images of a statement's filter; the clean ones only if it compares with them."""
        clean = _filtered(self.clean, statement, place) if isinstance(statement, Gap) else self.clean
        return self._replace(shifted=_filtered(self.shifted, statement, place), clean=clean)

    def note(self, *, is_gap: bool) -> str:
        """Number of images, and the restriction to some classes."""
        images = format_count(self.shifted.image_count, "image")
        if is_gap:
            images = f"{images} and {format_count(self.clean.image_count, 'clean image')}"
        return ", ".join(filter(None, [images, self.classes]))


def models_under(
    statement: MetricStatement,
    models: ModelMetrics,
    candidate: Runs | None,
    baseline: Runs | None,
    extras: Collection[str],
    place: str,
) -> tuple[ModelMetrics, EvaluatedCells]:
    """The models on the images of a statement, those of its shift and filter if it has them, and their cells.

    Args:
        statement: as it was read.
        models: of statements about corruptions.
        candidate: the model that it is about; only statements about shifts need it.
        baseline: the model that it is compared with, likewise.
        extras: corruptions that means exclude.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: no model of the candidate's warehouse was evaluated under the shift; the filter is invalid, or no
            image matches it.
    """
    if not isinstance(statement, UnderShift):
        measured = _on_filtered(models, statement, place)
        note = "" if statement.filter is None else _kept_of(models.candidate.runs[0], statement.filter)
        baseline_cells = measured.baseline and measured.baseline.cells
        return measured, EvaluatedCells(measured.candidate.cells, baseline_cells, extras, note=note)
    assert candidate is not None, "a statement about a shift requires a warehouse"
    return _under_shift(statement, models, candidate, baseline, place)


def _kept_of(run: RunRows, condition: str) -> str:
    """How many images match a filter, in words; empty without a warehouse."""
    return "" if run.con is None else filtered_images(run.con, run.evaluation_id, condition).counts


def _under_shift(
    statement: UnderShift, models: ModelMetrics, candidate: Runs, baseline: Runs | None, place: str
) -> tuple[ModelMetrics, EvaluatedCells]:
    """The models under a shift, or for a gap on clean and on shifted images, and their cells.

    If one lacks the shift, the given models: no contrast then measures them.
    """
    of_candidate = rows_under(candidate, statement.shift)
    if of_candidate is None:
        _refuse_unknown(candidate.con, statement.shift, place)
    compares = baseline is not None and isinstance(statement, ModelDifference)
    of_baseline = rows_under(baseline, statement.shift) if baseline is not None and compares else None
    if of_candidate is None or (compares and of_baseline is None):
        lacking = (
            "both"
            if of_candidate is of_baseline is None and compares
            else "candidate"
            if of_candidate is None
            else "baseline"
        )
        return models, EvaluatedCells([], [] if compares else None, (), lacking)
    of_candidate = of_candidate.filtered(statement, place)
    of_baseline = of_baseline and of_baseline.filtered(statement, place)
    if isinstance(statement, Gap):
        measured = ModelMetrics(of_candidate.clean, of_candidate.shifted, metrics=models.metrics)
        return measured, EvaluatedCells(of_candidate.clean.cells, note=of_candidate.note(is_gap=True))
    measured = ModelMetrics(of_candidate.shifted, of_baseline and of_baseline.shifted, metrics=models.metrics)
    return measured, EvaluatedCells(
        of_candidate.shifted.cells, of_baseline and of_baseline.shifted.cells, note=of_candidate.note(is_gap=False)
    )


def _on_filtered(models: ModelMetrics, statement: MetricStatement, place: str) -> ModelMetrics:
    """The models on the images of a statement's filter; the given ones without a filter."""
    if statement.filter is None:
        return models
    if isinstance(statement, RestDifference):
        rest = statement.model_copy(update={"filter": all_but(statement.filter)})
        sides = (_filtered(models.candidate, one, place) for one in (statement, rest))
        return ModelMetrics(*sides, metrics=models.metrics)
    baseline = models.baseline and _filtered(models.baseline, statement, place)
    return ModelMetrics(_filtered(models.candidate, statement, place), baseline, metrics=models.metrics)


def _filtered(rows: ModelRows, statement: MetricStatement, place: str) -> ModelRows:
    """The rows of a model on the images of a statement's filter."""
    with translated((QueryError, StudyError), lambda error: StudyError(f"{place}: {error}")):
        return filtered(rows, statement.filter or "")


def rows_under(model: Runs, shift: str) -> ShiftedRows | None:
    """The rows of a model under a shift; None unless each of its runs was evaluated under it."""
    shifts = [fetch_first(model.con, _SHIFTED, [run.evaluation_id, shift]) for run in model.runs]
    rows = [row for row in shifts if row]
    if len(rows) < len(shifts):
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
