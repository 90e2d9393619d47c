"""Corruptions as claims spell them: by name, label or alias, in any case."""

import re
from collections.abc import Iterable, Mapping

from failmodes.ingest.corruptions.catalog import ALIASES, CORRUPTIONS, registered
from failmodes.warehouse.errors import StudyError, did_you_mean, shown
from failmodes.warehouse.schema import CLEAN


class UnknownCorruptionError(StudyError):
    """A claim is about a corruption that is not known."""


def names_by_spelling(known: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Names by every spelling: a label, an alias, and before these the name itself.

    Args:
        known: corruptions beside the published and registered ones, as name and label.
    """
    own = [(corruption.name, corruption.label) for corruption in (*CORRUPTIONS.values(), *registered().values())]
    pairs = [*own, *known]
    found = {_spelling(label): name for name, label in reversed(pairs)}
    found |= {_spelling(alias): name for alias, name in ALIASES.items()}
    found |= {_spelling(name): name for name, _ in pairs}
    return {spelling: name for spelling, name in found.items() if name != CLEAN}


def find_corruption(name: str, names: Mapping[str, str], subject: str) -> str:
    """The corruption that a claim calls `name`.

    Args:
        name: as it stands there.
        names: by spelling, as `names_by_spelling` has them.
        subject: what the error begins with.

    Raises:
        UnknownCorruptionError: there is none.
    """
    spelling = _spelling(name)
    if spelling not in names:
        known = sorted(set(names.values()))
        hint = did_you_mean(spelling, known, f"known are {', '.join(known)}")
        raise UnknownCorruptionError(f"{subject}: unknown corruption {shown(name)}: {hint}")
    return names[spelling]


def _spelling(name: str) -> str:
    return re.sub(r"[\s_-]+", "_", name).lower()
