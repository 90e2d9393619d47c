"""A restricted unpickler for the CIFAR python batches: a pickle is a program, and this one may only build arrays."""

import pickle
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from warehouse.errors import DataError

# What NumPy's own arrays pickle to, under the module names of NumPy 1 (as the published files carry) and of NumPy 2
_ARRAY_MODULES = ("numpy.core.multiarray", "numpy._core.multiarray")
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    **{(module, "_reconstruct"): np.empty(0).__reduce__()[0] for module in _ARRAY_MODULES},
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ALLOWED:
            return _ALLOWED[module, name]
        if (module, name) == ("_codecs", "encode"):  # how Python 3 writes bytes to old protocols
            return _latin1_bytes
        raise DataError(f"it asks for {module}.{name}, which no data batch needs; it may be hostile and was not opened")


def read_pickle(path: Path) -> dict[bytes, Any]:
    """Read a batch: a dict with bytes as keys.

    Raises:
        DataError: it is missing, truncated, no dict, or names anything but NumPy arrays; no code in it is run.
    """
    try:
        with path.open("rb") as file:
            content = _load(file)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing: fetch the data set again") from error
    except DataError as error:
        raise DataError(f"{path} is refused: {error}") from error
    except (pickle.UnpicklingError, EOFError, OSError, ValueError, TypeError, KeyError, IndexError, AttributeError,
            UnicodeDecodeError, MemoryError, OverflowError) as error:  # fmt: skip
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DataError(f"{path} is truncated or no pickle ({reason}): fetch the data set again") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} holds a {type(content).__name__}: expected a dict of data and labels")
    return {key.encode() if isinstance(key, str) else key: value for key, value in content.items()}


def _load(file: BinaryIO) -> Any:
    return _ArraysOnly(file, encoding="bytes").load()


def _latin1_bytes(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise DataError(f"it encodes text as {encoding!r}: only bytes written as latin1 are expected")
    return text.encode("latin1")
