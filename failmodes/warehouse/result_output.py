"""Where a command writes its result: a file, or stdout."""

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import typer

from failmodes.warehouse.errors import StudyError

STDOUT = Path("-")  # in the place of an output file
TEXT_SUFFIXES = {  # of what --json, --junit and --markdown write; GitHub's file of a job summary has none
    "json": (".json", ""),
    "junit": (".xml", ""),
    "markdown": (".md", ""),
}
WIDTH_OF_FILES = 1000  # letters of a line where output goes to a file

ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace even a warehouse, study or results shard of that file name."),
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
