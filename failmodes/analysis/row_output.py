"""How `query` and `schema` print rows: as a table, or in a format for programs and papers; to a file, or stdout."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.output_files import STDOUT, check_result, line_width, result_file
from failmodes.warehouse.terminal import note, say

if TYPE_CHECKING:
    import polars as pl

Format = Literal["table", "csv", "json", "markdown", "parquet", "latex"]

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="How to print the answer: table by default; with --output, what the file's name says."
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write to this .csv, .json, .md, .parquet or .tex file; - prints CSV, or the --format, to stdout.",
    ),
]
VerticalOption = Annotated[
    bool | None,
    typer.Option(
        "--vertical/--horizontal",
        help="A line a column, a block a row; by default where a table is too wide for the terminal.",
        show_default=False,
    ),
]


def check_format(output_format: Format | None, output: Path | None, *, force: bool = False) -> None:
    """Refuse what has no answer: Parquet to the terminal, a table for the eye in a file, a file that must stay.

    Raises:
        StudyError, StorageError: saying what to give instead.
    """
    if output is None:
        if output_format == "parquet":
            raise StudyError(
                "--format parquet is no text: name a file with --output FILE.parquet, or pipe it with --output -"
            )
        return
    from failmodes.analysis.render.row_formats import suffixes_of

    if output_format == "table":
        raise StudyError("--format table is for the terminal: for a file take csv, json, markdown, parquet or latex")
    check_result(output, suffixes_of(output_format), force=force)


def give_batches(
    batches: Iterable["pl.DataFrame"], output_format: Format | None, output: Path | None, *, force: bool = False
) -> int:
    """Write rows to a file, and say so, or print them in another format than a table; how many there were."""
    from failmodes.analysis.render.row_formats import print_rows, write_rows

    if output is None or (output == STDOUT and output_format != "parquet"):
        return print_rows(batches, sys.stdout, output_format or "csv")
    with result_file(output, "rows.parquet") as file:
        count = write_rows(batches, file, output_format, force=force)
    if output != STDOUT:
        note(f"{count:,} rows in {output}")
    return count


def give_rows(
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    output_format: Format | None,
    output: Path | None,
    *,
    vertical: bool | None = None,
    force: bool = False,
) -> None:
    """Give rows that are there already: all of them, in the format asked for."""
    check_format(output_format, output, force=force)
    if output is None and output_format in (None, "table"):
        print_table(columns, rows, vertical=vertical)
        return
    import polars as pl

    frame = pl.DataFrame([tuple(row) for row in rows], list(columns), orient="row", infer_schema_length=None)
    give_batches([frame], output_format, output, force=force)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, vertical: bool | None) -> None:
    """Print rows to stdout as a table, or a record a row; see `format_rows`."""
    from failmodes.analysis.render.row_table import format_rows

    say(format_rows(columns, rows, line_width(), vertical=vertical), end="")


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
