"""Cells that averages and comparisons of several evaluations are over, and what these leave out, with the reason."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    format_count,
    format_severity,
    join_names,
    lower_label,
)

CellKey = tuple[str, float]  # corruption and severity
Cells = Mapping[str, Collection[CellKey]]  # corrupted ones by evaluation ID
Names = Mapping[str, str]  # label by corruption


class LeftOut(NamedTuple):
    """An evaluation of the same images that a selection leaves out.

    Attributes:
        label: its label.
        reason: why, as a clause.
        is_of_other_severities: whether it has no severity that the others have.
    """

    label: str
    reason: str
    is_of_other_severities: bool = False

    @property
    def sentence(self) -> str:
        """That it is left out, and why."""
        return f"{self.label} is left out: {self.reason}."


def covered(cells: Collection[CellKey], shared: Iterable[CellKey]) -> list[CellKey]:
    """The shared cells under each corruption of which `cells` has all."""
    wanted = list(shared)
    lacking = {corruption for corruption, severity in wanted if (corruption, severity) not in cells}
    return [cell for cell in wanted if cell[0] not in lacking]


def shared_cells(cells: Cells, averaged: Collection[str]) -> set[CellKey]:
    """The cells that averages over some evaluations are over, empty only without cells.

    They are those at the severities that all evaluations have, under any corruption. An evaluation without a severity
    in common with larger ones does not limit these; nor does one of a single corruption where others have several,
    which may have ended early. An evaluation that then has no corruption at all of these severities counts no more.

    Args:
        cells: corrupted ones by evaluation ID.
        averaged: corruptions of averages.
    """
    counts = {key: len({corruption for corruption, _ in own if corruption in averaged}) for key, own in cells.items()}
    most = max(counts.values(), default=0)
    limiting = sorted((key for key in cells if counts[key] in {most, *range(2, most)}), key=lambda k: -len(cells[k]))
    severities: set[float] = set()
    for key in limiting:
        own = {severity for _, severity in cells[key]}
        severities = (severities & own) or severities or own
    shared = {cell for own in cells.values() for cell in own if cell[1] in severities}
    kept = [key for key, own in cells.items() if any(cell[0] in averaged for cell in covered(own, shared))]
    if len(kept) == len(cells) or not shared:
        return shared
    return shared_cells({key: cells[key] for key in kept or limiting[:1]}, averaged)


def excluded(cells: Cells, has_clean: Collection[str], averaged: Collection[str], names: Names) -> dict[str, str]:
    """Evaluations that have no cell to compare, by ID, with the reason as a clause.

    Args:
        cells: corrupted ones by evaluation ID.
        has_clean: IDs of the evaluations with a clean cell.
        averaged: corruptions of averages.
        names: label by corruption.
    """
    whole = {key: own for key, own in cells.items() if own and key in has_clean}
    shared = shared_cells(whole, averaged)
    reasons = {}
    for key, own in cells.items():
        if key not in has_clean:
            reasons[key] = "it was not evaluated on clean images"
        elif not own:
            reasons[key] = "it was not evaluated under any of these corruptions"
        elif not any(corruption in averaged for corruption, _ in covered(own, shared)):
            reasons[key] = _no_shared_cell(own, shared, averaged, names)
    return reasons


def uneven(
    cells: Cells, shared: Collection[CellKey], averaged: Sequence[str], names: Names, labels: Mapping[str, str]
) -> tuple[str, ...]:
    """Which severities averages leave out, and which models have no average, in sentences.

    Args:
        cells: corrupted ones by evaluation ID.
        shared: those that averages are over.
        averaged: corruptions of averages.
        names: label by corruption.
        labels: label by evaluation ID.
    """
    theirs = {severity for _, severity in shared}
    drawn: dict[tuple[float, ...], list[str]] = {}
    lacking: dict[str, list[str]] = {}
    for key, own in cells.items():
        if others := sorted({severity for _, severity in own} - theirs):
            drawn.setdefault(tuple(others), []).append(labels[key])
        whole = {corruption for corruption, _ in covered(own, shared)}
        missing = [corruption for corruption in averaged if corruption not in whole]
        partly = {cell for cell in own if cell[0] in missing and cell[1] in theirs}
        without = [corruption for corruption in missing if corruption not in {name for name, _ in partly}]
        reasons = [f"not evaluated under {_named(without, names)}"] if without else []
        reasons += [f"evaluated {_where(partly, names)} only"] if partly else []
        if reasons:
            lacking.setdefault(" and ".join(reasons), []).append(labels[key])
    sentences = []
    if drawn:
        beside = join_names(f"{_severities(own)} of {_models(those)}" for own, those in drawn.items())
        sentences.append(
            f"Averages and comparisons are over {_severities(theirs)}, which all models share; {beside} are in "
            "charts and tables only."
        )
    sentences += [f"No average over all corruptions for {_models(those)}: {why}." for why, those in lacking.items()]
    return tuple(sentences)


def _no_shared_cell(
    own: Collection[CellKey], shared: Collection[CellKey], averaged: Collection[str], names: Names
) -> str:
    """Why an evaluation has no corruption at all severities that the others share."""
    theirs = {severity for _, severity in shared}
    if theirs.isdisjoint(severity for _, severity in own):
        return f"it was evaluated {_at({severity for _, severity in own})}, the other models {_at(theirs)}"
    if not any(corruption in averaged for corruption, _ in own):
        return f"it was evaluated under {_named({corruption for corruption, _ in own}, names)} only, which is extra"
    return f"it was evaluated {_where(own, names)} only, the other models {_at(theirs)}"


def _models(labels: Sequence[str]) -> str:
    return join_names(labels) if len(labels) <= MAX_LISTED else format_count(len(labels), "model")


def _named(corruptions: Collection[str], names: Names) -> str:
    """Corruptions by name; of many, their number."""
    if len(corruptions) > MAX_LISTED:
        return format_count(len(corruptions), "corruption")
    return join_names(lower_label(names.get(corruption, corruption)) for corruption in corruptions)


def _where(cells: Collection[CellKey], names: Names) -> str:
    """Some cells in words: under fog at severities 1 and 2."""
    grids: dict[tuple[float, ...], list[str]] = {}
    for corruption in sorted({corruption for corruption, _ in cells}):
        grids.setdefault(tuple(sorted(s for name, s in cells if name == corruption)), []).append(corruption)
    return join_names(f"under {_named(those, names)} {_at(grid)}" for grid, those in grids.items())


def _at(severities: Collection[float]) -> str:
    return f"at {_severities(severities)}"


def _severities(severities: Collection[float]) -> str:
    return (
        f"{'severity' if len(severities) == 1 else 'severities'} {join_names(map(format_severity, sorted(severities)))}"
    )
