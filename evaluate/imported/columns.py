"""Which columns hold what: image, corruption, severity, and a number a class."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa

from warehouse.errors import DataError

Kind = Literal["logits", "probabilities"]

KEYS = ("image_id", "corruption", "severity")
LABEL = "label"
STEMS: dict[Kind, str] = {"logits": "logit_", "probabilities": "probability_"}
EXPECTED = (
    "expected image_id, corruption, severity, and either a list column 'logits' or 'probabilities' (Parquet) or one "
    "column a class: logit_0, logit_1 … or probability_0 …, or with class names behind the underscore"
)


class Layout(NamedTuple):
    """Where a row's numbers stand.

    Attributes:
        kind: what they are.
        values: one list column, or a column a class in the data set's order of classes.
        as_list: whether it is one list column.
        label: whether there are labels to compare.
    """

    kind: Kind
    values: tuple[str, ...]
    as_list: bool
    label: bool

    @property
    def columns(self) -> list[str]:
        """All columns to read."""
        return [*KEYS, *self.values, *([LABEL] if self.label else [])]

    @property
    def csv_types(self) -> dict[str, pa.DataType]:
        """Types of the columns in a CSV file."""
        keys = dict(zip(KEYS, (pa.int64(), pa.string(), pa.float64()), strict=True))
        return keys | dict.fromkeys(self.values, pa.float64())


def find_layout(path: Path, names: Sequence[str], class_names: tuple[str, ...], *, csv: bool) -> Layout:
    """Find the columns; logits are taken where there are probabilities too, for they say more.

    Args:
        path: the file, for messages.
        names: its columns.
        class_names: classes of the data set, in order.
        csv: whether it is a CSV file, which cannot hold lists.

    Raises:
        DataError: a column is missing (with the nearest name), stands twice, or there is not one number a class.
    """
    _check_names(path, names)
    for kind, stem in STEMS.items():
        spread = [name for name in names if name.startswith(stem)]
        if kind in names and not csv:
            return Layout(kind, (kind,), True, LABEL in names)
        if spread:
            return Layout(kind, _in_order(path, spread, stem, class_names), False, LABEL in names)
        if kind in names:
            raise DataError(f"{path}: a CSV file holds no lists: give one column a class, {stem}0, {stem}1 …")
    raise DataError(f"{path}: no logits or probabilities{_nearest('probabilities', names)}; {EXPECTED}")


def _check_names(path: Path, names: Sequence[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"{path}: column {name!r} stands twice: leave one out")
    for key in KEYS:
        if key not in names:
            raise DataError(f"{path}: no column {key!r}{_nearest(key, names)}; {EXPECTED}")


def _in_order(path: Path, spread: list[str], stem: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns in the order of the classes, by index or by class name."""
    count = len(class_names)
    if len(spread) != count:
        raise DataError(
            f"{path} has {len(spread)} columns {stem}…, but the data set has {count} classes: expected one a class"
        )
    by_index = tuple(f"{stem}{index}" for index in range(count))
    by_name = tuple(f"{stem}{name}" for name in class_names)
    fits_index, fits_name = set(by_index) == set(spread), set(by_name) == set(spread)
    if fits_index and fits_name and by_index != by_name:
        raise DataError(
            f"{path}: {stem}0 … may mean a class's number or its name (classes are called {', '.join(class_names[:3])} "
            "…): give a list column in Parquet instead"
        )
    if fits_index or fits_name:
        return by_index if fits_index else by_name
    known = by_index if spread[0].removeprefix(stem).isdigit() else by_name
    foreign = next(name for name in spread if name not in known)
    raise DataError(f"{path}: column {foreign!r} is no class of the data set{_nearest(foreign, known)}")


def _nearest(wanted: str, names: Sequence[str]) -> str:
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        return " (columns must be separated by commas)"
    near = difflib.get_close_matches(wanted, names, n=1, cutoff=0.5)
    return f" (the nearest is {near[0]!r})" if near else f" (there are {', '.join(map(repr, names[:8]))})"
