"""All kinds of finding, declared in the files of this folder, and their findings about a selection."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import duckdb

from failmodes.analysis.judging import findings as package
from failmodes.analysis.judging.findings.correction import corrected
from failmodes.analysis.judging.findings.kind import KINDS, Finding, Kind
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.warehouse.plugins import import_modules
from failmodes.warehouse.progress import counted


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
    kinds = [kind for kind in proposed() if kind.is_condition]
    found = pair_findings(con, selection, kinds)
    found += [
        one for evaluation in selection.evaluations for one in evaluation_findings(con, selection, evaluation, kinds)
    ]
    return [finding for finding in corrected(in_order(found)) if finding.verdict == "supported"]


def evaluation_findings(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, kinds: Sequence[Kind] = ()
) -> list[Finding]:
    """All findings about one evaluation of a selection, or those of some kinds; needs shapes.

    They depend on no other evaluation of the selection, and are not corrected for multiple testing.
    """
    own = [kind for kind in kinds or proposed() if not kind.is_of_pairs]
    return [finding for kind in own for finding in kind.of_evaluation(con, selection, evaluation)]


def pair_findings(con: duckdb.DuckDBPyConnection, selection: Selection, kinds: Sequence[Kind] = ()) -> list[Finding]:
    """All findings about pairs of a selection's models, likewise."""
    own = [kind for kind in kinds or proposed() if kind.is_of_pairs]
    return [finding for kind in own for finding in kind.of_all_pairs(con, selection)]


def selection_findings(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Finding]:
    """All findings about a selection, corrected, in the order of a report; needs shapes."""
    evaluations = counted("findings", selection.evaluations)
    found = [finding for one in evaluations for finding in evaluation_findings(con, selection, one)]
    return corrected(in_order(found + pair_findings(con, selection)))


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by kind in the order of a report; those of one kind stay in theirs."""
    places = {name: place for place, name in enumerate(all_kinds())}
    return sorted(findings, key=lambda finding: places[finding.kind])
