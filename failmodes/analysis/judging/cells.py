"""The cells that a statement is about, and the missing ones."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from failmodes.analysis.evaluations.selection import averaged_severities
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, CellKey
from failmodes.ingest.corruptions.catalog import ALIASES, CORRUPTIONS, registered
from failmodes.ingest.statements import NAMES_OF_MANY, CellsOf, Statement
from failmodes.runtime.errors import StudyError, did_you_mean
from failmodes.warehouse.schema import CLEAN


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


class OnRecord(NamedTuple):
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


class StatedCells(NamedTuple):
    """The cells of a statement.

    Attributes:
        own: by corruption.
        other: cells that its own are compared with, by corruption.
        missing: cells that a model lacks.
        lacks_other: whether any of these is one that it compares with.
    """

    own: dict[str, list[CellKey]]
    other: dict[str, list[CellKey]]
    missing: list[MissingCell]
    lacks_other: bool = False


def find_cells(statement: Statement, record: OnRecord, place: str) -> StatedCells:
    """Find the cells of a statement about a metric.

    By default it is about all evaluated corruptions (a mean excludes the extras unless there are no others), and about
    the whole severities that all of them have (about all severities if none is whole).

    Args:
        statement: with or without corruptions and severities.
        record: cells of the models.
        place: of the statement in its file, for errors.

    Raises:
        StudyError: a corruption that neither the catalog nor a model knows.
    """
    if statement.shift is not None:
        missing = [MissingCell(f"shift {statement.shift}", None, record.lacks_shift)] * bool(record.lacks_shift)
        return StatedCells({} if missing else {CLEAN: [CLEAN_CELL]}, {}, missing)
    other = statement.other or CellsOf.model_construct(corruptions=[], severities=None)
    names = named_corruptions(statement.corruptions, record, place, is_mean=statement.over == "mean")
    other_names = names if other.corruptions is None else named_corruptions(other.corruptions, record, place)
    if statement.relation == "largest_drop":
        other_names = [name for name in named_corruptions(None, record, place) if name not in names]
    missing = []

    def cells_of(corruption: str, stated: object, compared: Sequence[str]) -> list[CellKey]:
        found = []
        for severity in _severities(corruption, stated, record, compared):
            lacked_by = record.lacking(corruption, severity, is_relative=statement.is_relative)
            if lacked_by:
                missing.append(MissingCell(corruption, severity, lacked_by))
            elif severity is not None:
                found.append((corruption, severity))
        return found

    alike = other_names if other.severities is None else []  # with the severities of the statement
    both = [*names, *alike] if alike and statement.over == "mean" else []
    own = {name: cells_of(name, statement.severities, both or [name, *alike]) for name in names}
    lacking = len(missing)
    stated = other.severities or statement.severities
    others = {name: cells_of(name, stated, both if alike else [name]) for name in other_names}
    if (statement.is_drop or statement.relation == "largest_drop") and (
        lacked_by := record.lacking(*CLEAN_CELL, is_relative=False)
    ):
        missing.append(MissingCell(*CLEAN_CELL, lacked_by))
    return StatedCells(own, others, missing, len(missing) > lacking)


def named_corruptions(given: list[str] | None, record: OnRecord, place: str, *, is_mean: bool = True) -> list[str]:
    """Names of corruptions as in the warehouse, each once.

    Args:
        given: of a statement; None for all evaluated ones.
        record: cells of the models.
        place: of the statement in its file, for errors.
        is_mean: whether extras are excluded by default.

    Raises:
        StudyError: a corruption that neither the catalog nor a model knows.
    """
    stored = {corruption for corruption, _ in record.cells}
    if given is None:
        known = [name for name in (*CORRUPTIONS, *registered()) if name in stored]
        known += sorted(stored - {*known, CLEAN})
        return [name for name in known if not is_mean or name not in record.extras] or known
    found: list[str] = []
    for name in given:
        if name in NAMES_OF_MANY and name not in stored:
            found += [known.name for known in CORRUPTIONS.values() if known.headline or name == "all"]
        else:
            found.append(_known_name(name, stored, place))
    return list(dict.fromkeys(found))


def _known_name(given: str, stored: Iterable[str], place: str) -> str:
    name = given if given in stored else ALIASES.get(given, given)
    known = list(dict.fromkeys([CLEAN, *NAMES_OF_MANY, *CORRUPTIONS, *registered(), *sorted(stored)]))
    if name not in known:
        spelled = given.lower().replace("-", "_").replace(" ", "_")
        hint = did_you_mean(spelled, known)
        raise StudyError(f"{place}.corruptions: unknown corruption {given[:100]!r}: {hint}")
    return name


def _severities(corruption: str, stated: object, record: OnRecord, compared: Sequence[str]) -> list[float] | list[None]:
    """Severities of one corruption; [None] if the compared corruptions have none in common."""
    if corruption == CLEAN:
        return [0.0]
    if isinstance(stated, list):
        return sorted(float(severity) for severity in stated)
    grids = [
        {severity for name, severity in record.cells if name == one}
        for one in compared
        if one not in (CLEAN, corruption)
    ]
    own = {severity for name, severity in record.cells if name == corruption}
    shared = sorted(own.intersection(*(grid for grid in grids if grid)))
    if not shared:
        return [None]
    return shared[-1:] if stated == "last" else averaged_severities(shared)
