"""The cells that a rule is about, and those of them that a model lacks."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from failmodes.analysis.statistics.run_rows import CellKey
from failmodes.ingest.corruptions.catalog import ALIASES, CORRUPTIONS, registered
from failmodes.ingest.statements import Statement
from failmodes.warehouse.errors import StudyError, did_you_mean
from failmodes.warehouse.schema import CLEAN

NAMES_OF_MANY = ("headline", "all")


class MissingCell(NamedTuple):
    """A cell that a rule is about and a model lacks.

    Attributes:
        corruption: its name.
        severity: of the cell; None where the rule takes all severities and none is on record.
        lacked_by: 'candidate', 'baseline' or 'both'; 'candidate' where the rule does not compare.
    """

    corruption: str
    severity: float | None
    lacked_by: str


class RuleCells(NamedTuple):
    """The cells of a rule that all models have, and those that one of them lacks."""

    present: tuple[CellKey, ...]
    missing: tuple[MissingCell, ...]


def find_rule_cells(
    rule: Statement, candidate: Collection[CellKey], baseline: Collection[CellKey] | None, place: str
) -> RuleCells:
    """The cells that a rule is about: corruptions and severities that it leaves out are those on record of any model.

    Args:
        rule: names corruptions and severities, or leaves them out.
        candidate: its cells.
        baseline: its cells, where there is one. A rule that does not compare needs none of them.
        place: of the rule in its file, for errors.

    Raises:
        StudyError: a corruption that neither the catalog nor a model knows.
    """
    stored = sorted({*candidate, *(baseline or ())})
    corruptions = _corruptions(rule, {corruption for corruption, _ in stored}, place)
    models = {"candidate": candidate} | ({"baseline": baseline} if rule.is_relative and baseline is not None else {})
    present: list[CellKey] = []
    missing: list[MissingCell] = []
    for corruption in corruptions:
        for severity in _severities(rule, corruption, stored):
            lacking = [name for name, cells in models.items() if (corruption, severity) not in cells]
            if lacking:
                missing.append(MissingCell(corruption, severity, "both" if len(lacking) > 1 else lacking[0]))
            elif severity is not None:
                present.append((corruption, severity))
    return RuleCells(tuple(present), tuple(missing))


def _corruptions(rule: Statement, stored: set[str], place: str) -> list[str]:
    """Names of the rule's corruptions, each once; all on record but clean where it leaves them out."""
    if rule.corruptions is None:
        published = [name for name in (*CORRUPTIONS, *registered()) if name in stored]
        return published + sorted(stored - {*published, CLEAN})
    found: list[str] = []
    for name in rule.corruptions:
        if name in NAMES_OF_MANY and name not in stored:
            found += [known.name for known in CORRUPTIONS.values() if known.headline or name == "all"]
        else:
            found.append(_known_name(name, stored, place))
    return list(dict.fromkeys(found))


def _known_name(given: str, stored: Iterable[str], place: str) -> str:
    name = given if given in stored else ALIASES.get(given, given)
    known = list(dict.fromkeys([CLEAN, *NAMES_OF_MANY, *CORRUPTIONS, *registered(), *sorted(stored)]))
    if name not in known:
        spelt = given.lower().replace("-", "_").replace(" ", "_")
        hint = did_you_mean(spelt, known, f"known are {', '.join(known)}")
        raise StudyError(f"{place}.corruptions: unknown corruption {given[:100]!r}: {hint}")
    return name


def _severities(rule: Statement, corruption: str, stored: Iterable[CellKey]) -> list[float] | list[None]:
    """Severities of one corruption; [None] where the rule takes all and none is on record."""
    if corruption == CLEAN:
        return [0.0]
    if rule.severities is not None:
        return sorted(float(severity) for severity in rule.severities)
    return [severity for name, severity in stored if name == corruption] or [None]
