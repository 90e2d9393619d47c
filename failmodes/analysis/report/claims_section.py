"""The sections of a report about what the study claims: a table of verdicts, and behind it each sentence and query."""

import duckdb

from failmodes.analysis.judging.claims import claim_groups, claim_table, counts_sentence
from failmodes.analysis.judging.stored import judged_claims
from failmodes.analysis.judging.wording import tally_verdicts
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
    groups, table = claim_groups(rows), claim_table(rows)
    behind: list[Block] = [Sentence(row.sentence, "item", row.query) for row in rows]
    if max(map(len, groups)) > MAX_LISTED:  # a row a claim, and all rows behind it
        behind.insert(0, table)
        tallies = (Cell(tally_verdicts([row.verdict for row in group])) for group in groups)
        lines = tuple((Cell(group[0].claim), tally) for group, tally in zip(groups, tallies, strict=True))
        table = Table("Claims", table.note, ("Claim", "Verdicts"), lines, texts=("Verdicts",))
    return [
        Section("Claims", (Sentence(counts_sentence(rows)), table), anchor=f"claims-{number}"),
        Section("Claims: sentences and queries", tuple(behind), is_folded=True),
    ]
