"""Rows of a query as a terminal table, or in batches as CSV, JSON, Markdown, LaTeX or Parquet."""

import math
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich import box
from rich.console import RenderableType
from rich.measure import Measurement
from rich.table import Table

from failmodes.analysis.render.formats import markdown
from failmodes.analysis.render.formats.json import as_json, plain
from failmodes.analysis.render.formats.text import lay_out, plain_console
from failmodes.runtime.errors import QueryError, printable, spelt_out
from failmodes.runtime.terminal import without_commands
from failmodes.warehouse.database.query import unshowable_values
from failmodes.warehouse.output_files import NO_SUFFIX, atomic_output

if TYPE_CHECKING:
    import polars as pl

NO_ROWS = "no rows"
MAX_CELL_CHARACTERS, MAX_ITEMS = 1000, 10  # of a text and of a list in a terminal cell
SUFFIXES = {".csv": "csv", ".json": "json", ".md": "markdown", ".parquet": "parquet", ".tex": "latex"}
_OF_LATEX = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}",
})  # fmt: skip
_SIGNS_OF_LATEX = str.maketrans(
    {"\u2212": "$-$", "\u03ba": r"$\kappa$", "\u00b1": r"$\pm$", "\u00d7": r"$\times$", "\u00a0": "~", "\u2013": "--"}
)


def format_rows(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], width: int, *, vertical: bool | None = None
) -> str:
    r"""Rows as lines of at most `width` characters, ending in a line break.

    Where a table would break words, columns with the same value in all rows become one line below it.

    Args:
        columns: names.
        rows: values by column.
        width: characters per line.
        vertical: one record per row with one line per column, as `\x` in psql. Default: if a table would break words
            even so.
    """
    names = list(map(printable, columns))
    texts = [[cell_text(value) for value in row] for row in rows]
    if vertical:
        return _vertical(names, texts, width)
    table, below = _table(names, texts), "" if texts else NO_ROWS
    if not (fits := _fits(table, width)) and len(texts) > 1:
        kept = [place for place in range(len(names)) if len({row[place] for row in texts}) > 1]
        shared = [
            f"{name} {text}"
            for place, (name, text) in enumerate(zip(names, texts[0], strict=True))
            if place not in kept
        ]
        if kept and shared:
            names, texts = [names[place] for place in kept], [[row[place] for place in kept] for row in texts]
            below = f"in all rows: {', '.join(shared)}"
            table = _table(names, texts)
            fits = _fits(table, width)
    if vertical is None and not fits:
        return _vertical(names, texts, width) + (lay_out([below], width) if texts and below else "")
    for column, cells in zip(table.columns, zip(names, *texts, strict=True), strict=True):
        column.no_wrap = fits and not any(map(str.isspace, "".join(cells)))  # else rich may break words
    return lay_out([table, *filter(None, [below])], width)


def _table(names: list[str], rows: list[list[str]]) -> Table:
    table = Table(box=box.SQUARE_DOUBLE_HEAD, header_style="")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def _fits(table: Table, width: int) -> bool:
    """Whether a table breaks no word."""
    console = plain_console(sys.maxsize)
    return Measurement.get(console, console.options, table).minimum <= width


def _vertical(names: list[str], rows: list[list[str]], width: int) -> str:
    return lay_out(_records(names, rows), width) if rows else f"{NO_ROWS}\n"


def _records(names: list[str], rows: list[list[str]]) -> Iterable[RenderableType]:
    for number, row in enumerate(rows, 1):
        yield f"── row {number} {'─' * 40}"
        record = Table.grid(padding=(0, 2))
        record.add_column(overflow="fold")
        record.add_column(overflow="fold")
        for pair in zip(names, row, strict=True):
            record.add_row(*pair)
        yield record


def cell_text(value: Any, *, is_whole: bool = False) -> str:
    """A value in a cell: floats with six decimals, control characters other than line breaks escaped.

    Long texts and lists are truncated unless `is_whole`.
    """
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case float() if value and math.isfinite(value) and not 1e-4 <= abs(value) < 1e9:
            return f"{value:.4e}"
        case float() if math.isfinite(value):
            text = f"{value:.6f}".rstrip("0")
            return f"{text}0" if text.endswith(".") else text
        case Decimal():
            return f"{value.normalize():f}"  # severity 3, not 3.000
        case list() | tuple():
            kept = value if is_whole else value[:MAX_ITEMS]
            rest = ", …" if len(value) > len(kept) else ""
            return f"[{', '.join(cell_text(item, is_whole=is_whole) for item in kept)}{rest}]"
        case _:
            text = str(value)
            text = text if is_whole or len(text) <= MAX_CELL_CHARACTERS else f"{text[:MAX_CELL_CHARACTERS]}…"
            return "".join(letter if letter == "\n" else spelt_out(letter) for letter in text)


def suffixes_of(output_format: str | None) -> tuple[str, ...]:
    """The suffixes of a format, or of all formats for None."""
    if output_format is None:
        return tuple(SUFFIXES)
    suffixes = [suffix for suffix in SUFFIXES if SUFFIXES[suffix] == output_format]
    return (*suffixes, NO_SUFFIX) if output_format == "parquet" else (*suffixes, ".txt", NO_SUFFIX)


def print_rows(batches: Iterable["pl.DataFrame"], file: TextIO, output_format: str) -> int:
    """Write rows, batch by batch, as csv, json (a list of objects), markdown or latex, ending in a line break.

    Returns:
        The number of rows.

    Raises:
        QueryError: a value that the format cannot represent.
    """
    count = 0
    for position, rows in enumerate(batches):
        with unshowable_values():
            file.write(_TEXTS[output_format](rows, is_first=position == 0))
        count += rows.height
    file.write({"json": "]\n", "latex": "\\bottomrule\n\\end{tabular}\n"}.get(output_format, ""))
    return count


def write_rows(
    batches: Iterable["pl.DataFrame"], path: Path, output_format: str | None = None, *, force: bool = False
) -> int:
    """Write rows, batch by batch, to a file, atomically.

    Args:
        batches: the rows.
        path: the file.
        output_format: csv, json, markdown, parquet or latex. Default: the format of the suffix.
        force: see `check_output`.

    Returns:
        The number of rows.

    Raises:
        StudyError: an unknown suffix; see `check_output`.
        QueryError: a value that the format cannot represent.
        StorageError: the file cannot be written.
    """
    with atomic_output(path, suffixes_of(output_format), force=force) as temporary:
        chosen = output_format or SUFFIXES[path.suffix.lower()]
        if chosen == "parquet":
            return _write_parquet(batches, temporary)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            return print_rows(batches, file, chosen)


def _csv_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    """Rows as CSV; lists, structs and bytes are JSON text, decimals 3 or 2.5."""
    import polars as pl

    lacking = [
        pl.Series(name, [_csv_text(value) for value in rows[name].to_list()], pl.String)
        for name, kind in rows.schema.items()
        if kind.is_nested() or kind.is_decimal() or kind in (pl.Binary, pl.Object)
    ]
    return rows.with_columns(lacking).write_csv(include_header=is_first)


def _csv_text(value: Any) -> str | None:
    simple = plain(value)
    return simple if simple is None or isinstance(simple, str) else as_json(simple)


def _json_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    objects = ", ".join(map(as_json, rows.iter_rows(named=True)))
    return ("[" if is_first else ", " if objects else "") + objects


def _markdown_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    lines = [markdown.table_row(map(_markdown, row)) for row in rows.iter_rows()]
    if is_first:
        lines = markdown.table_head(rows.columns, [not kind.is_numeric() for kind in rows.dtypes]) + lines
    return "".join(f"{line}\n" for line in lines)


def _markdown(value: Any) -> str:
    text = _whole_text(value)
    return text if isinstance(value, int | float | Decimal) else markdown.escape(text, len(text))


def _latex_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    """Rows of a tabular with booktabs rules, numbers aligned right."""
    lines = [latex_row(map(_latex_cell, row)) for row in rows.iter_rows()]
    if is_first:
        columns = "".join("r" if kind.is_numeric() else "l" for kind in rows.dtypes)
        head = f"% \\usepackage{{booktabs}}\n\\begin{{tabular}}{{{columns}}}\n\\toprule\n"
        lines = [head, latex_row(map(_latex_cell, rows.columns)), "\\midrule\n", *lines]
    return "".join(lines)


def _latex_cell(value: Any) -> str:
    return _whole_text(value).translate(_OF_LATEX)


def latex_row(cells: Iterable[str]) -> str:
    r"""A row of a tabular, from escaped cells.

    It follows `\\` or `\midrule`, which would parse a leading bracket as an option.
    """
    row = " & ".join(cells)
    guard = "{}" if row.lstrip().startswith(("[", "*")) or without_commands(row) != row else ""
    return f"{guard}{row} \\\\\n"


def latex_text(text: str) -> str:
    """A text on one line in which LaTeX acts on nothing; typographic signs are those of math mode."""
    return printable(text, len(text)).translate(_OF_LATEX | _SIGNS_OF_LATEX)


def latex_caption(title: str, caption: str) -> str:
    r"""A LaTeX caption with a short form for the list of figures: \caption[TITLE.]{TITLE. CAPTION.}."""
    short, long = (latex_text(text.rstrip(".")) for text in (title, caption))
    return f"\\caption[{{{short}.}}]{{{short}. {long}.}}"


def _whole_text(value: Any) -> str:
    """A complete value on one line; "" for null."""
    text = "" if value is None else cell_text(value, is_whole=True)
    return printable(text, len(text))


_TEXTS = {"csv": _csv_rows, "json": _json_rows, "markdown": _markdown_rows, "latex": _latex_rows}


def _write_parquet(batches: Iterable["pl.DataFrame"], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count = 0
    writer = None
    try:
        for rows in batches:
            with unshowable_values():
                table = rows.to_arrow()
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
            count += rows.height
    except pa.ArrowException as error:
        raise QueryError(f"a column cannot be stored as Parquet; cast it to varchar: {error}") from error
    finally:
        if writer:
            writer.close()
    return count
