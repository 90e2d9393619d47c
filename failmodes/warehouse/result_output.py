"""How a command gives its answer: rows as a table or in a format that programs and papers take; a file, or stdout."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.stages import stages_shown
from failmodes.warehouse.terminal import note, say

if TYPE_CHECKING:
    import polars as pl

STDOUT = Path("-")  # in the place of an output file
TEXT_SUFFIXES = {  # of what --json, --junit and --markdown write; GitHub's file of a job summary has none
    "json": (".json", ""),
    "junit": (".xml", ""),
    "markdown": (".md", ""),
}
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
    typer.Option(
        "--output",
        "-o",
        help="Write to this .csv, .json, .md, .parquet or .tex file; - prints CSV, or the --format, to stdout.",
    ),
]
ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace even a warehouse, study or results shard of that file name."),
]
VerticalOption = Annotated[
    bool | None,
    typer.Option(
        "--vertical/--horizontal",
        help="A line a column, a block a row; by default where a table is too wide for the terminal.",
        show_default=False,
    ),
]


def check_result(output: Path | None, suffixes: Collection[str], *, force: bool = False) -> None:
    """Refuse a file that a command must not write its answer to; stdout is always fine.

    Raises:
        StudyError, StorageError: see `check_output`.
    """
    from failmodes.warehouse.output_files import check_output

    if output not in (None, STDOUT):
        check_output(output, suffixes, force=force)


@contextmanager
def result_file(output: Path, name: str) -> Iterator[Path]:
    """The file that a command writes its answer to: `output`, or a temporary one whose content goes to stdout.

    Args:
        output: as the user gave it; STDOUT for stdout.
        name: of the temporary file, whose suffix is the format that is printed.
    """
    if output != STDOUT:
        yield output
        return
    with tempfile.TemporaryDirectory(prefix="failmodes-") as folder:
        yield (file := Path(folder, name))
        sys.stdout.flush()
        with file.open("rb") as content:
            shutil.copyfileobj(content, sys.stdout.buffer)


def printed_option(outputs: Mapping[str, Path | None]) -> str | None:
    """The option, by name, whose file is stdout.

    Raises:
        StudyError: there are several.
    """
    printed = [name for name, file in outputs.items() if file == STDOUT]
    if len(printed) > 1:
        raise StudyError(f"--{printed[0]} and --{printed[1]} are both -: print one, and name a file for the other")
    return printed[0] if printed else None


def check_texts(outputs: Mapping[str, Path | None], *, force: bool = False) -> None:
    """Refuse what `write_texts` could not write, before anything is computed.

    Raises:
        StudyError: two options print to stdout, or name one file, or one names what must not be replaced.
    """
    printed_option(outputs)
    named: dict[Path, str] = {}
    for name, output in outputs.items():
        check_result(output, TEXT_SUFFIXES[name], force=force)
        if output not in (None, STDOUT) and (other := named.setdefault(output.absolute(), name)) != name:
            raise StudyError(f"--{other} and --{name} are both {output}: name a file for each")


def write_texts(
    texts: Mapping[str, Callable[[], str]], outputs: Mapping[str, Path | None], *, force: bool = False
) -> bool:
    """Write each text to the file that its option names, or to stdout; returns whether one went to stdout."""
    from failmodes.warehouse.output_files import write_output

    for name, output in outputs.items():
        if output is not None:
            with result_file(output, name) as file:
                write_output(file, texts[name]().encode(), TEXT_SUFFIXES[name], force=force)
    return printed_option(outputs) is not None


def line_width() -> int:
    """Letters of a line: those of the terminal, or as COLUMNS says; many where output goes to a file."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return get_terminal_size().columns if is_known else WIDTH_OF_FILES


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
    from failmodes.warehouse.database.results import suffixes_of

    if output_format == "table":
        raise StudyError("--format table is for the terminal: for a file take csv, json, markdown, parquet or latex")
    check_result(output, suffixes_of(output_format), force=force)


def give_batches(
    batches: Iterable["pl.DataFrame"], output_format: Format | None, output: Path | None, *, force: bool = False
) -> int:
    """Write rows to a file, and say so, or print them in another format than a table; how many there were."""
    from failmodes.warehouse.database.results import print_rows, write_rows

    if output is None or (output == STDOUT and output_format != "parquet"):
        return print_rows(batches, sys.stdout, output_format or "csv")
    with stages_shown("query"), result_file(output, "rows.parquet") as file:
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
        from failmodes.warehouse.database.query import FirstRows
        from failmodes.warehouse.database.terminal_table import format_table

        first = FirstRows(list(columns), list(rows), len(rows))
        say(format_table(first, line_width(), vertical=vertical), end="")
        return
    import polars as pl

    frame = pl.DataFrame([tuple(row) for row in rows], list(columns), orient="row", infer_schema_length=None)
    give_batches([frame], output_format, output, force=force)


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
