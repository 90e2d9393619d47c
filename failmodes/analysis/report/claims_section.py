"""The sections of a report about what the study claims: a table of verdicts, and behind it each sentence and query."""

from collections.abc import Sequence

import duckdb

from failmodes.analysis.judging.claims import ClaimRow
from failmodes.analysis.judging.claims_result import claim_groups, claim_table, counts_sentence, counts_text
from failmodes.analysis.judging.stored import judged_claims
from failmodes.analysis.render.blocks import Block, Cell, Section, Sentence, Table
from failmodes.analysis.render.formatting import MAX_LISTED
from failmodes.analysis.selection import Selection


def claims_sections(con: duckdb.DuckDBPyConnection, selection: Selection, number: int = 1) -> list[Section]:
    """The claims about a selection's evaluations: the section, and what Details have of it; empty without claims.

    Args:
        con: the warehouse, with current claims.
        selection: the part of the report.
        number: of the part: the first also has the claims about no evaluation.
    """
    ids = [*selection.ids, *([None] if number == 1 else [])]
    rows = [row for row in judged_claims(con) if row.evaluation_id in ids]
    if not rows:
        return []
    groups, whole = claim_groups(rows), claim_table(rows)
    is_short = max(map(len, groups)) <= MAX_LISTED
    table = whole if is_short else _tallies(groups, whole.note)
    behind: list[Block] = [] if is_short else [whole]
    behind += [Sentence(row.sentence, "item", row.query) for row in rows]
    return [
        Section("Claims", (Sentence(counts_sentence(rows)), table), anchor=f"claims-{number}"),
        Section("Claims: sentences and queries", tuple(behind), is_folded=True),
    ]


def _tallies(groups: Sequence[Sequence[ClaimRow]], note: str) -> Table:
    """A row a claim: how often it has each verdict."""
    rows = ((Cell(group[0].claim), Cell(counts_text(group))) for group in groups)
    return Table("Claims", note, ("Claim", "Verdicts"), tuple(rows), texts=("Verdicts",))
