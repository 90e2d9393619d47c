"""Where a command writes its result: stdout, or a file that the user names, and what such a file never replaces."""

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated

import typer

from failmodes.warehouse.errors import StorageError, StudyError
from failmodes.warehouse.storage.files import atomic_write, kind_of, reason_of

STDOUT = Path("-")  # in the place of an output file
TEXT_SUFFIXES = {  # of what --json, --junit and --markdown write; GitHub's file of a job summary has none
    "json": (".json", ""),
    "junit": (".xml", ""),
    "markdown": (".md", ""),
}
WIDTH_OF_FILES = 1000  # letters of a line where output goes to a file
NO_SUFFIX = ""  # among suffixes: where an option states the format, a name may leave it out

_HEAD_BYTES, _FOOTER_BYTES = 1 << 16, 1 << 22
_URL = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # as a path keeps it: with one stroke
# A pattern, since a damaged study is one too, and the parser of TOML may take minutes
_OF_STUDY = re.compile(rb"""^\s*(?:\[{1,2}\s*)?["']?(?:dataset|models|corruptions|gate)["']?\s*[\].=]""", re.MULTILINE)

ForceOption = Annotated[
    bool,
    typer.Option("--force", help="Replace even a warehouse, study or results shard of that file name."),
]


def check_result(output: Path | None, suffixes: Collection[str], *, force: bool = False) -> None:
    """Refuse a file that a command must not write its answer to; stdout is always fine.

    Raises:
        StudyError, StorageError: see `check_output`.
    """
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
    for name, output in outputs.items():
        if output is not None:
            with result_file(output, name) as file:
                write_output(file, texts[name]().encode(), TEXT_SUFFIXES[name], force=force)
    return printed_option(outputs) is not None


def line_width() -> int:
    """Letters of a line: those of the terminal, or as COLUMNS says; many where output goes to a file."""
    is_known = sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit()
    return get_terminal_size().columns if is_known else WIDTH_OF_FILES


def check_output(path: Path, suffixes: Collection[str], *, force: bool = False) -> None:
    """Refuse to write a file where something else is, or would be taken for something else.

    Call it before long work. A file of the user's own with one of the suffixes is fine: it will be replaced.

    Args:
        path: the file, as the user named it; folders above it may be links.
        suffixes: those of the formats that are written, in lower case; NO_SUFFIX for a name without any.
        force: replace a warehouse, a study or a results shard that has one of the suffixes.

    Raises:
        StudyError: `path` is a URL, no regular file, has another suffix, or is a file that only `force` replaces.
        StorageError: the file that is there cannot be read.
    """
    if _URL.match(str(path)):
        raise StudyError(f"cannot write {path}: it is a URL, expected a local file: write one, and upload that")
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
            f"cannot write {path}: it is a {kind}, expected a regular file or a new name: name a file "
            "(a command prints to stdout with -)"
        )
    precious = None if mode is None else _precious_kind(path)
    suffix = path.suffix.lower()
    if suffix not in suffixes:
        there = f"it is {precious}" if precious else f"it ends in {suffix}" if suffix else "it has no suffix"
        raise StudyError(f"cannot write {path}: {there}, expected a file name that ends in {_listed(suffixes)}")
    if precious and not force:
        raise StudyError(
            f"cannot write {path}: it is {precious}, expected a new name or a former output: name another file, or "
            "replace it with --force (in Python force=True)"
        )


@contextmanager
def atomic_output(path: Path, suffixes: Collection[str], *, force: bool = False) -> Iterator[Path]:
    """`atomic_write` of a file that the user named, which is checked before, and again just before it is replaced.

    Raises:
        StudyError: see `check_output`.
        StorageError: the file could not be written.
    """
    check_output(path, suffixes, force=force)
    with atomic_write(path) as temporary:
        yield temporary
        check_output(path, suffixes, force=force)


def write_output(path: Path, content: bytes, suffixes: Collection[str], *, force: bool = False) -> None:
    """Write the whole content of a file that the user named, or none of it; see `atomic_output`."""
    with atomic_output(path, suffixes, force=force) as temporary:
        temporary.write_bytes(content)


def _precious_kind(path: Path) -> str | None:
    """What an existing file is, in words, if a command might be pointed at it by mistake: a warehouse, shard or study.

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
        return "a file that may not be read"
    except OSError as error:
        raise StorageError(f"cannot write {path}: {reason_of(error)}") from error
    if tail:
        from failmodes.warehouse.shards.format import FOOTER_HASH_KEY

        return "a results shard (Parquet)" if FOOTER_HASH_KEY in tail else None  # as bytes: a damaged shard is one too
    if head[8:12] == b"DUCK":
        return "a DuckDB database"
    return "a study or a file of gate rules" if _OF_STUDY.search(head) else None


def _listed(suffixes: Collection[str]) -> str:
    *others, last = [suffix for suffix in suffixes if suffix != NO_SUFFIX]
    return f"{', '.join(others)} or {last}" if others else last
