"""The answer to a query as a table of Markdown or of LaTeX, for a page or a paper."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from failmodes.warehouse.database.terminal_table import cell_text
from failmodes.warehouse.errors import printable
from failmodes.warehouse.markdown import as_code
from failmodes.warehouse.runner_commands import without_commands

if TYPE_CHECKING:
    import polars as pl

_OF_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
}  # fmt: skip
_OF_MARKDOWN = re.compile(r"[\\`*\[\]<|]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")  # _ within a word means nothing
# What GitHub links or replaces even behind a backslash: mentions, issues, addresses, entities, emoji, formulas
_OF_GITHUB = re.compile(r"[@&$~]|#\d|\bgh-\d|www\.|[a-z]:\S|:[\w+-]+:|::|##", re.IGNORECASE)
LATEX_END = "\\bottomrule\n\\end{tabular}\n"


def markdown_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    """Rows of a pipe table (GitHub's Markdown); before the first the names of the columns, numbers to the right."""
    lines = [[_markdown(value) for value in row] for row in rows.iter_rows()]
    if is_first:
        rule = ["---:" if is_number else "---" for is_number in _are_numbers(rows)]
        lines = [[_markdown(name) for name in rows.columns], rule, *lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def latex_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    r"""Rows of a LaTeX tabular with the rules of booktabs, which `LATEX_END` ends; numbers to the right."""
    head = ""
    if is_first:
        columns = "".join("r" if is_number else "l" for is_number in _are_numbers(rows))
        names = _latex_row(rows.columns)
        head = f"% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{names} \\\\\n\\midrule\n"
    return head + "".join(f"{_latex_row(row)} \\\\\n" for row in rows.iter_rows())


def _are_numbers(rows: "pl.DataFrame") -> list[bool]:
    return [kind.is_numeric() for kind in rows.dtypes]


def _markdown(value: Any) -> str:
    text = _text(value)
    if isinstance(value, str) and _OF_GITHUB.search(text):
        return as_code(text).replace("|", "\\|")
    return _OF_MARKDOWN.sub(r"\\\g<0>", text)


def _latex_row(values: Iterable[Any]) -> str:
    r"""The cells of a row; before it stands `\\` or `\midrule`, which would take its beginning for an option."""
    row = " & ".join("".join(_OF_LATEX.get(letter, letter) for letter in _text(value)) for value in values)
    return f"{{}}{row}" if row.lstrip().startswith(("[", "*")) or without_commands(row) != row else row


def _text(value: Any) -> str:
    """A value on one line, whole; nothing for a null."""
    text = "" if value is None else cell_text(value, is_whole=True)
    return printable(text, len(text))
