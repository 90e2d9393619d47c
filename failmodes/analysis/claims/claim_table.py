"""Judged claims as a table whose cells are text: what the report, the terminal and Markdown lay out."""

from collections.abc import Sequence
from typing import NamedTuple

from failmodes.analysis.claims.judged_claim import JudgedClaim
from failmodes.analysis.formatting import (
    format_count,
    format_number_interval,
    format_percent_interval,
    format_points_interval,
    join_names,
)
from failmodes.analysis.judging.findings.kind import Verdict
from failmodes.analysis.text_tables import EMPTY, TableCell, TextTable

MARKS: dict[Verdict, str] = {"supported": "✓", "contradicted": "✗", "inconclusive": "?"}  # beside the word
COLUMNS = ("Claim", "Model", "Verdict", "Number", "Images")
OF_SHARES = ("share of images",)  # units whose values are shares, and no differences of shares


class ClaimGroup(NamedTuple):
    """A claim with all that was judged of it, a row a model or pair of models."""

    claim: str
    rows: list[JudgedClaim]


def claim_groups(claims: Sequence[JudgedClaim]) -> list[ClaimGroup]:
    """Claims in their order, each with its rows."""
    groups: dict[int, ClaimGroup] = {}
    for row in claims:
        groups.setdefault(row.claim_number, ClaimGroup(row.claim, [])).rows.append(row)
    return list(groups.values())


def number_text(row: JudgedClaim) -> str:
    """The number that decides with its interval in its unit, such as 43.1 points [40.1, 45.0]; else an en dash."""
    estimate = row.estimate
    if estimate is None:
        return EMPTY
    if row.unit == "curvature":
        return f"curvature {format_number_interval(estimate, 2)}"
    if row.unit in OF_SHARES or row.form == "accuracy_limit":
        return format_percent_interval(estimate)
    return format_points_interval(estimate)


def verdict_text(row: JudgedClaim) -> str:
    """Mark and word."""
    return f"{MARKS[row.verdict]} {row.verdict}"


def verdict_counts(claims: Sequence[JudgedClaim]) -> dict[Verdict, int]:
    """How many rows have each verdict."""
    return {verdict: sum(row.verdict == verdict for row in claims) for verdict in MARKS}


def counts_sentence(claims: Sequence[JudgedClaim]) -> str:
    """How many claims there are, and how often they are supported, contradicted and inconclusive."""
    if not claims:
        return "No claims are stated."
    counts = join_names(f"{count:,} {verdict}" for verdict, count in verdict_counts(claims).items() if count)
    groups = format_count(len({row.claim_number for row in claims}), "claim")
    return f"{groups}, judged {format_count(len(claims), 'time')}: {counts}."


def claim_table(claims: Sequence[JudgedClaim]) -> TextTable:
    """A row a claim and model; the claim stands in the first of its rows, a reason beneath the number."""
    rows = []
    for group in claim_groups(claims):
        for place, row in enumerate(group.rows):
            cells = (
                TableCell("" if place else row.claim),
                TableCell(row.model_label or EMPTY),
                TableCell(verdict_text(row)),
                TableCell(number_text(row), row.reason or ""),
                TableCell(EMPTY if row.n is None else f"{row.n:,}"),
            )
            rows.append(cells)
    note = (
        "Supported: the whole interval is on the side of the claim; contradicted: on the other side; else "
        "inconclusive. Each claim is judged by itself; a difference is the first that it names minus the other."
    )
    return TextTable("Claims", note, COLUMNS, tuple(rows))
