"""Reference page of terms, from the glossary in the code."""

from markdown_text import code, table

from failmodes.warehouse.glossary import Term, glossary

INTRODUCTION = """# Glossary

The terms of reports, charts and tables; every report ends with the same list. A column is written `view.column`, and
`failmodes schema VIEW` shows its unit and range. See also [metrics](metrics.md).
"""


def glossary_page() -> str:
    """Return Markdown with one row per term; later terms build on earlier ones."""
    return f"{INTRODUCTION}\n{table(('term', 'meaning'), [(term.term, _meaning(term)) for term in glossary()])}"


def _meaning(term: Term) -> str:
    """Join meaning, source, formula, column and metric, if present."""
    relation = term.column.partition(".")[0]
    source = f" ({term.source})" if term.source else ""
    parts = [
        f"{term.meaning[0].upper()}{term.meaning[1:]}{source}.",
        f"{code(term.formula)}." if term.formula else "",
        f"Column: [{code(term.column)}](schema.md#{relation})." if term.column else "",
        f"Metric: [{code(term.metric)}](metrics.md)." if term.metric else "",
    ]
    return " ".join(filter(None, parts))
