"""Write a command's result to stdout or a file, which never silently replaces a warehouse, study or results."""

import os
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import typer

from failmodes.runtime.errors import StorageError, StudyError
from failmodes.runtime.storage.files import atomic_write, kind_of, reason_of, temporary_folder

STDOUT = Path("-")  # as an output file
TEXT_SUFFIXES = {  # of --json, --junit and --markdown; GitHub's file of a job summary has none
    "json": (".json", ""),
    "junit": (".xml", ""),
    "markdown": (".md", ""),
}
WIDTH_OF_FILES = 1000  # characters per line if output goes to a file
NO_SUFFIX = ""  # among suffixes: allowed if an option states the format

_HEAD_BYTES = 1 << 16
_FOOTER_BYTES = 1 << 22
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # a path keeps only one slash
# A pattern, since a damaged study counts too, and parsing TOML may take minutes
_OF_STUDY = re.compile(rb"""^\s*(?:\[{1,2}\s*)?["']?(?:dataset|models|corruptions|gate)["']?\s*[\].=]""", re.MULTILINE)

ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace even a warehouse, study or results shard of that file name."),
]


def check_result(output: Path | None, suffixes: Collection[str], *, force: bool = False) -> None:
    """Refuse an output file that a command must not write; stdout is always allowed.

    Raises:
        StudyError, StorageError: see `check_output`.
    """
    if output not in (None, STDOUT):
        check_output(output, suffixes, force=force)


@contextmanager
def result_file(output: Path, name: str) -> Iterator[Path]:
    """Yield the file to write the result to: `output`, or a temporary file that is copied to stdout.

    Args:
        output: the user's file; STDOUT for stdout.
        name: of the temporary file, whose suffix is the format.
    """
    if output != STDOUT:
        yield output
        return
    with temporary_folder() as folder:
        yield (file := folder / name)
        sys.stdout.flush()
        with file.open("rb") as content:
            shutil.copyfileobj(content, sys.stdout.buffer)


def printed_option(outputs: Mapping[str, Path | None]) -> str | None:
    """The name of the option whose file is stdout.

    Raises:
        StudyError: several options print to stdout.
    """
    printed = [name for name, file in outputs.items() if file == STDOUT]
    if len(printed) > 1:
        raise StudyError(f"--{printed[0]} and --{printed[1]} are both -: print one, and give a file for the other")
    return printed[0] if printed else None


def check_texts(outputs: Mapping[str, Path | None], *, force: bool = False) -> None:
    """Refuse files that `write_texts` could not write, before anything is computed.

    Raises:
        StudyError: two options print to stdout or name the same file, or one names a file that must not be replaced.
    """
    printed_option(outputs)
    named: dict[Path, str] = {}
    for name, output in outputs.items():
        check_result(output, TEXT_SUFFIXES[name], force=force)
        if output not in (None, STDOUT) and (other := named.setdefault(output.absolute(), name)) != name:
            raise StudyError(f"--{other} and --{name} are both {output}: give a file for each")


def write_texts(
    texts: Mapping[str, Callable[[], str]], outputs: Mapping[str, Path | None], *, force: bool = False
) -> bool:
    """Write each text to the file of its option, or to stdout; returns whether one went to stdout."""
    for name, output in outputs.items():
        if output is not None:
            with result_file(output, name) as file:
                write_output(file, texts[name]().encode(), TEXT_SUFFIXES[name], force=force)
    return printed_option(outputs) is not None


def line_width() -> int:
    """Characters per line: those of the terminal or COLUMNS; many if output goes to a file."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return get_terminal_size().columns if is_known else WIDTH_OF_FILES


def check_output(path: Path, suffixes: Collection[str], *, force: bool = False) -> None:
    """Refuse to write a file that would replace something else, or has the wrong suffix.

    Call it before long work. A file of the user's own with one of the suffixes will be replaced.

    Args:
        path: the user's file; parent folders may be links.
        suffixes: of the formats, in lower case; NO_SUFFIX for a name without one.
        force: replace a warehouse, a study or a results shard that has one of the suffixes.

    Raises:
        StudyError: `path` is a URL or no regular file, has another suffix, or is a file that only `force` replaces.
        StorageError: the existing file cannot be read.
    """
    if _URL.match(str(path)):
        raise StudyError(f"cannot write {path}: it is a URL, expected a local file: write one and upload it")
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = None
    except ValueError as error:  # a null character in its name
        raise StudyError(f"cannot write {str(path)!r}: {error}, expected a path") from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason_of(error)}") from error
    if mode is not None and (kind := kind_of(mode)):
        raise StudyError(
            f"cannot write {path}: it is a {kind}, expected a regular file or a new name (- prints to stdout)"
        )
    precious = None if mode is None else _precious_kind(path)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        there = f"it is {precious}" if precious else f"it ends in {suffix}" if suffix else "it has no suffix"
        raise StudyError(f"cannot write {path}: {there}, expected a file name that ends in {_listed(suffixes)}")
    if precious and not force:
        raise StudyError(
            f"cannot write {path}: it is {precious}, expected a new name or a former output: choose another file, or "
            "replace it with --force (force=True in Python)"
        )


@contextmanager
def atomic_output(path: Path, suffixes: Collection[str], *, force: bool = False) -> Iterator[Path]:
    """`atomic_write` for a user's file, which is checked first, and again just before it is replaced.

    Raises:
        StudyError: see `check_output`.
        StorageError: the file could not be written.
    """
    check_output(path, suffixes, force=force)
    with atomic_write(path) as temporary:
        yield temporary
        check_output(path, suffixes, force=force)


def write_output(path: Path, content: bytes, suffixes: Collection[str], *, force: bool = False) -> None:
    """Write a user's file completely or not at all; see `atomic_output`."""
    with atomic_output(path, suffixes, force=force) as temporary:
        temporary.write_bytes(content)


def _precious_kind(path: Path) -> str | None:
    """Description of an existing file that must not be replaced by mistake: a warehouse, shard or study; else None.

    Checkpoints and other formats have suffixes that no command writes.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _FOOTER_BYTES))
            tail = file.read() if head.startswith(b"PAR1") else b""
    except FileNotFoundError:
        return None
    except PermissionError:
        return "a file without read permission"
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason_of(error)}") from error
    if tail:
        from failmodes.warehouse.shards.format import FOOTER_HASH_KEY

        return "a results shard (Parquet)" if FOOTER_HASH_KEY in tail else None  # as bytes: damaged shards count too
    if head[8:12] == b"DUCK":
        return "a DuckDB database"
    return "a study or a file of gate rules" if _OF_STUDY.search(head) else None


def _listed(suffixes: Collection[str]) -> str:
    *others, last = [suffix for suffix in suffixes if suffix != NO_SUFFIX]
    return f"{', '.join(others)} or {last}" if others else last
