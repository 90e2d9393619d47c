"""How a command gives rows: a table fitted to the terminal, or a format that programs and papers take."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.stages import stages_shown
from failmodes.warehouse.terminal import remark

if TYPE_CHECKING:
    import polars as pl

WIDTH_OF_FILES = 1000  # letters of a line where output goes to a file
Format = Literal["table", "csv", "json", "markdown", "parquet", "latex"]

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="How to print the answer: table by default; with --output, what the file's name says."
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write to this .csv, .json, .md, .parquet or .tex file instead."),
]
VerticalOption = Annotated[
    bool | None,
    typer.Option(
        "--vertical/--horizontal",
        help="A line a column, a block a row; by default where a table is too wide for the terminal.",
        show_default=False,
    ),
]


def line_width() -> int:
    """Letters of a line: those of the terminal, or as COLUMNS says; many where output goes to a file."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return get_terminal_size().columns if is_known else WIDTH_OF_FILES


def check_format(output_format: Format | None, output: Path | None) -> None:
    """Refuse what has no answer: Parquet to the terminal, a table for the eye in a file, a suffix of another format.

    Raises:
        StudyError, QueryError: saying what to give instead.
    """
    if output is None:
        if output_format == "parquet":
            raise StudyError("--format parquet is no text: name a file with --output FILE.parquet")
        return
    from failmodes.warehouse.database.answers import format_of

    if output_format == "table":
        raise StudyError("--format table is for the terminal: for a file take csv, json, markdown, parquet or latex")
    format_of(output, output_format)


def give_batches(batches: Iterable["pl.DataFrame"], output_format: Format | None, output: Path | None) -> int:
    """Write rows to a file, and say so, or print them in another format than a table; how many there were."""
    from failmodes.warehouse.database.answers import print_rows, write_rows

    if output is None:
        return print_rows(batches, sys.stdout, output_format or "csv")
    with stages_shown("query"):
        count = write_rows(batches, output, output_format)
    remark(f"{count:,} rows in {output}")
    return count


def give_rows(
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    output_format: Format | None,
    output: Path | None,
    *,
    vertical: bool | None = None,
) -> None:
    """Give rows that are there already: all of them, in the format asked for."""
    check_format(output_format, output)
    if output is None and output_format in (None, "table"):
        from failmodes.warehouse.database.query import FirstRows
        from failmodes.warehouse.database.terminal_table import format_table

        first = FirstRows(list(columns), list(rows), len(rows))
        sys.stdout.write(format_table(first, line_width(), vertical=vertical))
        return
    import polars as pl

    frame = pl.DataFrame([tuple(row) for row in rows], list(columns), orient="row", infer_schema_length=None)
    give_batches([frame], output_format, output)


class FirstBatches:
    """The first rows of batches, and afterwards whether there were more."""

    def __init__(self, batches: Iterable["pl.DataFrame"], most: int) -> None:
        """Take `most` rows at the most."""
        self._batches = batches
        self._left = most
        self.has_more = False

    def __iter__(self) -> "Iterator[pl.DataFrame]":
        for rows in self._batches:
            self.has_more = rows.height > self._left
            yield rows.head(self._left)
            self._left -= min(rows.height, self._left)
            if self.has_more:
                return
