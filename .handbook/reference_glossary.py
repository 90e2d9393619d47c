"""The page of terms, from the project's own list."""

from markdown_text import code, table

from failmodes.warehouse.glossary import Term, glossary

INTRODUCTION = """# Glossary

What the terms of reports, charts and tables mean. A column is written `view.column`; `failmodes schema VIEW` shows its
unit and range. [Metrics](metrics.md) have a page of their own. A report ends with the same list.
"""


def glossary_page() -> str:
    """Markdown: a row a term, in the order in which they build on one another."""
    return f"{INTRODUCTION}\n{table(('term', 'meaning'), [(term.term, _meaning(term)) for term in glossary()])}"


def _meaning(term: Term) -> str:
    """Meaning, formula, source, column and metric, each where there is one."""
    relation = term.column.partition(".")[0]
    source = f" ({term.source})" if term.source else ""
    parts = [
        f"{term.meaning[0].upper()}{term.meaning[1:]}{source}.",
        f"{code(term.formula)}." if term.formula else "",
        f"Column: [{code(term.column)}](schema.md#{relation})." if term.column else "",
        f"Metric: [{code(term.metric)}](metrics.md)." if term.metric else "",
    ]
    return " ".join(filter(None, parts))
