"""The part of a report that judges what the study claims: a table of claims, models, verdicts and numbers."""

from collections.abc import Iterable
from typing import NamedTuple

import duckdb

from failmodes.analysis.judging.claims import ClaimRow
from failmodes.analysis.judging.claims_result import claim_groups, counts_sentence, counts_text, number_text
from failmodes.analysis.judging.stored import judged_claims
from failmodes.analysis.judging.wording import MARKS
from failmodes.analysis.render.blocks import EMPTY
from failmodes.analysis.render.formatting import MAX_LISTED
from failmodes.analysis.selection import Selection


class ReportRow(NamedTuple):
    """A claim on one model or pair: texts of its cells, and behind them the sentence and the query."""

    model: str
    verdict: str
    mark: str
    number: str
    reason: str
    images: str
    sentence: str
    query: str


class ReportClaim(NamedTuple):
    """A claim as stated, with a row a model; of many models `tally` says how often it is supported, else empty."""

    claim: str
    tally: str
    rows: list[ReportRow]


class ClaimsSection(NamedTuple):
    """The claims of a part of a report, and what they come to."""

    counts: str
    claims: list[ReportClaim]


def claims_section(con: duckdb.DuckDBPyConnection, selection: Selection, *, is_first: bool) -> ClaimsSection | None:
    """The claims about a selection's evaluations; None where there are none.

    Args:
        con: the warehouse, with current claims.
        selection: the part of the report.
        is_first: whether claims about no evaluation are told of here.
    """
    rows = [row for row in judged_claims(con) if row.evaluation_id in (*selection.ids, *_none(is_first))]
    if not rows:
        return None
    groups = [
        ReportClaim(group[0].claim, counts_text(group) if len(group) > MAX_LISTED else "", list(map(_row, group)))
        for group in claim_groups(rows)
    ]
    return ClaimsSection(counts_sentence(rows), groups)


def _none(is_first: bool) -> Iterable[None]:
    return [None] if is_first else []


def _row(row: ClaimRow) -> ReportRow:
    return ReportRow(
        model=row.model_label or EMPTY,
        verdict=row.verdict.replace("_", " "),
        mark=MARKS[row.verdict],
        number=number_text(row),
        reason=row.reason or "",
        images=EMPTY if row.n is None else f"{row.n:,}",
        sentence=row.sentence,
        query=row.query,
    )
