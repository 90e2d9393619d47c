"""All kinds of finding, declared in the files of this folder, and their findings about a selection."""

from collections.abc import Mapping, Sequence
from functools import cache

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.judging import findings as package
from failmodes.analysis.judging.findings.correction import corrected
from failmodes.analysis.judging.findings.kind import KINDS, Finding, Kind
from failmodes.runtime.plugins import import_modules
from failmodes.runtime.progress import counted


@cache
def all_kinds() -> Mapping[str, Kind]:
    """Every kind by name, in the order of a report; each file in this folder may declare more."""
    import_modules(package.__name__)
    return dict(sorted(KINDS.items(), key=lambda item: item[1].order))


def proposed() -> list[Kind]:
    """Kinds that are findings, in the order of a report."""
    return [kind for kind in all_kinds().values() if kind.is_proposed]


def conditions_of(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """The conditions that hold for the evaluations of a selection, such as accuracy at chance."""
    found = selection_findings(con, selection, [kind for kind in proposed() if kind.is_condition])
    return [finding for finding in found if finding.verdict == "supported"]


def selection_findings(
    con: duckdb.DuckDBPyConnection, selection: Selection, kinds: Sequence[Kind] = ()
) -> list[Finding]:
    """All findings about a selection, or those of some kinds, corrected, in the order of a report; needs shapes."""
    every = counted("findings", kinds or proposed())
    return corrected(finding for kind in every for finding in kind.of_selection(con, selection))
