"""A comparison as HTML for a notebook: sentences and tables, all text escaped."""

from collections.abc import Iterable
from html import escape

from failmodes.analysis.comparison.tables import comparison_tables, side_names
from failmodes.analysis.judging.comparison_sentences import comparison_sentences, crossover_sentences
from failmodes.analysis.statistics.model_comparison import Comparison
from failmodes.analysis.text_tables import TextTable

LONGEST_HEADING = 24
SHOWN = 1  # tables that are not folded


def as_html(comparison: Comparison) -> str:
    """The first in bold, the other sentences, the table by corruption, and the others folded."""
    first, *rest = (*comparison_sentences(comparison), *crossover_sentences(comparison))
    sides = side_names(comparison, LONGEST_HEADING)
    tables = comparison_tables(comparison, sides)
    parts = [f"<p><b>{escape(first)}</b></p>", *(f"<p>{escape(sentence)}</p>" for sentence in rest)]
    if sides.a != comparison.a.label:
        parts.append(f"<p>A: {escape(comparison.a.label)}; B: {escape(comparison.b.label)}</p>")
    for place, table in enumerate(tables):
        is_open = " open" if place < SHOWN else ""
        parts.append(f"<details{is_open}><summary>{escape(table.caption)}</summary>{table_html(table)}</details>")
    return f"<div>{''.join(parts)}</div>"


def table_html(table: TextTable) -> str:
    """A table with its note beneath."""
    head = _row((escape(name) for name in table.columns), "th")
    rows = (
        _row((f"{escape(cell.text)} <small>{escape(cell.small)}</small>" if cell.small else escape(cell.text)
              for cell in row), "td")
        for row in table.rows
    )  # fmt: skip
    return f"<table>{head}{''.join(rows)}</table><p><small>{escape(table.note)}</small></p>"


def _row(cells: Iterable[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"
