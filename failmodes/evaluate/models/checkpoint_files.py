"""Reading files of weights that anyone may have made: nothing in them is run, and nothing is unpacked.

`torch.load(weights_only=True)` runs no code, but it unpacks whatever an archive holds, and 50 kB may hold 50 GB. What
torch.save writes is never compressed: an archive of another kind is refused by its directory, unread, and the tensors
of one that is let in are views of the file itself, which no claim about their length can leave.
"""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from failmodes.warehouse.errors import ModelError, StudyError, first_line
from failmodes.warehouse.storage.regular_files import check_regular

Tensors = dict[str, torch.Tensor]
MOST_TENSORS = 100_000  # models have a few thousand
ARCHIVE_MAGIC, PICKLE_MAGIC = b"PK\x03\x04", b"\x80"  # of what torch.save writes, and wrote before version 1.6


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors by name, and the metadata, of a `.safetensors` file.

    Raises:
        StudyError: no such file.
        ModelError: no safetensors: its header must say of each byte whose it is.
        StorageError: it is no regular file, or may not be read.
    """
    _check_there(path)
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()  # noqa: SIM118  # it is no dictionary
            _check_count(len(names), path)
            return {name: file.get_tensor(name) for name in names}, file.metadata() or {}
    except (ModelError, MemoryError):
        raise
    except Exception as error:  # safetensors has errors of its own, and torch others for types that it lacks
        raise _unreadable(path, first_line(error)) from error


def read_pickled(path: Path, device: torch.device | str = "cpu") -> Any:
    """Content of a file that torch.save wrote: tensors, numbers and texts in containers.

    Raises:
        StudyError: no such file.
        ModelError: a compressed archive, or one that holds more than that.
        StorageError: it is no regular file, or may not be read.
    """
    size = _check_there(path)
    if path.suffix == ".onnx":
        raise ModelError(
            f"{path.name} is an ONNX graph, not weights: run it with ONNX Runtime, and bring its predictions in with "
            "`failmodes import`"
        )
    with path.open("rb") as file:
        magic = file.read(len(ARCHIVE_MAGIC))
    is_archive = magic == ARCHIVE_MAGIC
    if is_archive:
        _check_archive(path, size)
    elif not magic.startswith(PICKLE_MAGIC):
        raise _unreadable(path, "it does not begin as what torch.save writes" if magic else "it is empty")
    try:
        with warnings.catch_warnings():  # of what is then refused in one line
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location=device, weights_only=True, mmap=is_archive)
    except MemoryError:
        raise
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path.name} holds more than tensors, which could run code when loaded: save the state_dict alone, "
            "best as .safetensors"
        ) from error
    except Exception as error:  # whatever a damaged pickle makes torch raise
        raise _unreadable(path, first_line(error)) from error


def _check_there(path: Path) -> int:
    try:
        return check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"no checkpoint at {path}") from error


def _check_archive(path: Path, size: int) -> None:
    """Refuse a program, and an archive that holds more than its own size: by its directory, unpacking nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # besides BadZipFile whatever a damaged directory makes zipfile raise
        raise _unreadable(path, first_line(error)) from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise ModelError(
            f"{path.name} is a TorchScript program, not weights: write a function that returns torch.jit.load(…) of it,"
            ' and name that as `architecture = "module:function"`, without `checkpoint`'
        )
    _check_count(len(entries), path)
    compressed = next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
    unpacked = sum(entry.file_size for entry in entries)
    if compressed is not None or unpacked > size:
        sizes = f"{size / 1e6:,.1f} MB that would unpack to {unpacked / 1e6:,.1f} MB"
        hint = "save the state_dict with torch.save, which compresses nothing, or as .safetensors"
        raise _unreadable(path, f"it is a compressed archive of {sizes}: {hint}")


def _check_count(count: int, path: Path) -> None:
    if count > MOST_TENSORS:
        raise _unreadable(path, f"{count:,} tensors, more than {MOST_TENSORS:,}")


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path.name} is not a readable checkpoint: {why}")
