"""Reference page of all kinds of finding, from their registry."""

from markdown_text import code, table

from failmodes.analysis.judging.findings.kind import all_kinds

INTRODUCTION = """# Kinds of finding

Failmodes judges these statements for every evaluation or pair of models, in the order of a report. The table `findings`
has one row per statement; the last column names the table or view of its figures. Kinds marked "if claimed" are judged
only for the [claims](../claims.md) of a study. See [findings](../concepts/findings.md) for the method and error rates.
"""
HEADER = ("kind", "statement", "about", "unit", "figures")


def findings_page() -> str:
    """Return Markdown with one row per kind."""
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
