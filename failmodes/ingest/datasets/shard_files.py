"""The files that a dataset is split into, such as Parquet files or tar shards, in their order."""

import re
from pathlib import Path
from typing import NamedTuple

from failmodes.ingest.data_files import list_entries
from failmodes.ingest.datasets.layout import Request, refuse_other_split
from failmodes.runtime.errors import DataError, StudyError, counted, listed, printable

SPLITS = {"val": "validation", "valid": "validation", "dev": "validation"}
SPLIT_WORD = re.compile(r"(?<![a-z])(train|test|validation|valid|val|dev)(?:ing)?(?![a-z])")
DATA_FOLDER = "data"  # of repositories on the Hugging Face hub
PATTERN_SIGNS = ("*", "?", "[")


class Shards(NamedTuple):
    """The files of a split.

    Attributes:
        files: in their order.
        label: name of the dataset: that of its folder, or of its only file.
        is_whole: whether no file's name says of which split it is.
    """

    files: list[Path]
    label: str
    is_whole: bool = False


def shard_files(request: Request, suffixes: tuple[str, ...]) -> Shards:
    """The files of a split, in the order of their names, where numbers count as numbers: 2 before 10.

    `path` is a file, a pattern of file names, or a folder that holds the files itself or in `data` or the split's
    folder. Of a folder, the files of a split are those with its name in theirs, as in test-00000-of-00002.parquet.

    Args:
        request: which split of which dataset.
        suffixes: of the files, in lower case.

    Raises:
        StudyError: there are none.
        DataError: they are of other splits.
    """
    path = request.path
    files = files_at(path, suffixes, request.split)
    if not files:
        state = "does not exist" if not path.exists() and not _is_pattern(path) else f"holds no {suffixes[0]} file"
        expected = (
            f"expected such a file, a folder of them (or of {DATA_FOLDER}/ with them), or a pattern of their names"
        )
        raise StudyError(f"{path} {state}: {expected}")
    if path.is_dir():
        return Shards(*_of_split(files, request))
    refuse_other_split(request)
    return Shards(files, printable(path.stem if path.is_file() else path.parent.name, 100))


def files_at(path: Path, suffixes: tuple[str, ...], split: str = "test") -> list[Path]:
    """The files with a suffix at a path, in their order: itself, those that match a pattern, or those in a folder.

    Args:
        path: of a file or folder, or a pattern of file names.
        suffixes: of the files, in lower case.
        split: name of a folder that may hold them.
    """
    if path.is_dir():
        return _in_folder(path, split, suffixes)
    matching = path.parent.glob(path.name) if _is_pattern(path) and path.parent.is_dir() else [path]
    files = [file for file in matching if file.is_file() and file.name.lower().endswith(suffixes)]
    return sorted(files, key=_numbers_as_numbers)


def _is_pattern(path: Path) -> bool:
    return any(sign in path.name for sign in PATTERN_SIGNS)


def _in_folder(path: Path, split: str, suffixes: tuple[str, ...]) -> list[Path]:
    for folder in (path, path / split, path / DATA_FOLDER):
        if folder.is_dir():
            names = [name for name in list_entries(folder).files if name.lower().endswith(suffixes)]
            if names:
                return sorted((folder / name for name in names), key=_numbers_as_numbers)
    return []


def _of_split(files: list[Path], request: Request) -> tuple[list[Path], str, bool]:
    label = printable(request.path.name, 100)
    if files[0].parent.name == request.split and files[0].parent != request.path:
        return files, label, False
    split_of = {
        file: SPLITS.get(match[1], match[1]) for file in files if (match := SPLIT_WORD.search(file.name.lower()))
    }
    if not split_of:
        refuse_other_split(request)
        return files, label, True
    chosen = [file for file in files if split_of.get(file) == request.split]
    if not chosen:
        splits = listed(sorted(set(split_of.values())), 5)
        raise DataError(
            f"{request.path} has {counted(len(files), 'file')} of the split {splits}, none of {request.split}: set "
            "`split`, or name the files by a pattern as the path"
        )
    return chosen, label, False


def _numbers_as_numbers(file: Path) -> list[tuple[int, str]]:
    """Parts of a name: those of digits are in the order of their numbers."""
    parts = re.split(r"(\d+)", file.name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]
