"""The page of all kinds of finding, from their registry."""

from markdown_text import code, table

from failmodes.analysis.judging.findings.registry import all_kinds

INTRODUCTION = """# Kinds of finding

What `failmodes` judges of every evaluation, or of every pair of models, in the order of a report. The table `findings`
has a row for each statement; the last column is the table or view of its figures. A kind that is no finding is judged
where a study [claims](../claims.md) it. [What a finding is, and how often it is false](../concepts/findings.md).
"""
HEADER = ("kind", "what is claimed", "of", "unit", "figures")


def findings_page() -> str:
    """Markdown: a row a kind."""
    rows = [
        (
            code(kind.name),
            kind.claims,
            ("two models" if kind.is_of_pairs else "an evaluation") + ("" if kind.is_proposed else ", if claimed"),
            kind.unit,
            code(kind.relation),
        )
        for kind in all_kinds().values()
    ]
    return f"{INTRODUCTION}\n{table(HEADER, rows)}"
