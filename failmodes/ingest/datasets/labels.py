"""Class names: of labels in a column, which are names or whole numbers from 0, and lists of them."""

from pathlib import Path
from typing import Any

import polars as pl

from failmodes.ingest.datasets.dataset import MAX_CLASSES
from failmodes.ingest.study_types import first_duplicate
from failmodes.runtime.errors import DataError


def classes_of(labels: pl.Series, location: str) -> tuple[tuple[str, ...], pl.Series]:
    """The class names, and the index of each image's class.

    Classes are the names, sorted, or the numbers from 0 to the largest.

    Args:
        labels: (N,) text, none of it null.
        location: their file, for errors.

    Raises:
        DataError: a number is too large.
    """
    if labels.str.contains(r"^[0-9]{1,9}$").all():
        indices = labels.cast(pl.Int64)
        largest = int(indices.to_numpy().max())
        if largest >= MAX_CLASSES:
            raise DataError(
                f"{location} has the label {largest:,}: expected class indices from 0 to {MAX_CLASSES - 1:,}"
            )
        return tuple(map(str, range(largest + 1))), indices
    names = sorted(labels.unique())
    return tuple(names), labels.replace_strict(names, range(len(names)), return_dtype=pl.Int64)


def checked_class_names(names: Any, path: Path) -> tuple[str, ...]:
    """The class names of a file, in the order of the class indices.

    Raises:
        DataError: they are no list of different names.
    """
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f'{path} must hold a list of class names, such as ["cat", "dog"]')
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"{path} names the class {twice!r} twice: names must be unique")
    return tuple(names)
