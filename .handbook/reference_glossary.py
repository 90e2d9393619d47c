"""The page of terms, from the project's own list."""

from markdown_text import code, table

from failmodes.warehouse.glossary import GLOSSARY, Term

INTRODUCTION = """# Glossary

What the terms of reports, charts and tables mean. A column is written `view.column`; `failmodes schema VIEW` shows its
unit and range. A report ends with the same list.
"""


def glossary_page() -> str:
    """Markdown: a row a term, in the order in which they build on one another."""
    header = ("term", "meaning", "column", "formula", "source")
    return f"{INTRODUCTION}\n{table(header, [_row(term) for term in GLOSSARY])}"


def _row(term: Term) -> tuple[str, ...]:
    relation = term.column.partition(".")[0]
    column = f"[{code(term.column)}](schema.md#{relation})" if term.column else ""
    return term.term, term.meaning, column, code(term.formula) if term.formula else "", term.source
