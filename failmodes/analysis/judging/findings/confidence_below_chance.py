"""Whether confidence predicts failures worse than chance."""

from collections.abc import Iterator

import duckdb

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.judging.findings.kind import Judged, kind, rows_of, where
from failmodes.analysis.judging.judge import above
from failmodes.analysis.render.formatting import format_number_interval
from failmodes.analysis.statistics.failure_prediction import CHANCE, CellAuroc, auroc_by_cell

RELATION = "failure_prediction"
PHRASES = {
    "supported": "predicts failures worse than chance",
    "contradicted": "predicts failures better than chance",
    "inconclusive": "is not shown to predict failures",
}


@kind(
    "confidence_below_chance",
    order=100,
    section="failure-prediction",
    topic="Failure prediction",
    claims="confidence predicts failures worse than chance",
    unit="AUROC",
    relation=RELATION,
    nothing=0.5,
)
def confidence_below_chance(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The severity of the lowest AUROC of each corruption, the lowest first."""
    lowest: dict[str, CellAuroc] = {}
    for cell in auroc_by_cell(con, selection, evaluation):
        lowest.setdefault(cell.corruption, cell)
    for corruption, cell in lowest.items():
        verdict = above(-cell.auroc, -CHANCE)
        said = f"{where(con, corruption, cell.severity)} confidence of {evaluation.label} {PHRASES[verdict]}"
        said += f": AUROC {format_number_interval(cell.auroc)}"
        query = f"{rows_of(RELATION, evaluation, corruption)} and score = 'confidence'"
        yield Judged(
            verdict,
            said,
            cell.auroc,
            corruption,
            cell.severity,
            query=query,
        )
