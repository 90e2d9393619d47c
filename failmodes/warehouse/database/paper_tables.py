"""The answer to a query as a table of Markdown or of LaTeX, for a page or a paper."""

import re
from typing import TYPE_CHECKING, Any

from failmodes.warehouse.database.terminal_table import cell_text
from failmodes.warehouse.errors import printable

if TYPE_CHECKING:
    import polars as pl

_OF_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
}  # fmt: skip
_OF_MARKDOWN = re.compile(r"[\\`*\[\]<|]|(?<![0-9A-Za-z])_|_(?![0-9A-Za-z])")  # _ within a word means nothing
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
        names = " & ".join(map(_latex, rows.columns))
        head = f"% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n{names} \\\\\n\\midrule\n"
    return head + "".join(f"{' & '.join(map(_latex, row))} \\\\\n" for row in rows.iter_rows())


def _are_numbers(rows: "pl.DataFrame") -> list[bool]:
    return [kind.is_numeric() for kind in rows.dtypes]


def _markdown(value: Any) -> str:
    return _OF_MARKDOWN.sub(r"\\\g<0>", _text(value))


def _latex(value: Any) -> str:
    return "".join(_OF_LATEX.get(letter, letter) for letter in _text(value))


def _text(value: Any) -> str:
    """A value on one line, whole; nothing for a null."""
    text = "" if value is None else cell_text(value, is_whole=True)
    return printable(text, len(text))
