"""Which columns of a file of predictions hold what."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.ingest.study_types import first_duplicate
from failmodes.warehouse.errors import DataError

KEYS = ("image_id", "corruption", "severity")
LABEL = "label"
COLUMN_PREFIXES: dict[OutputKind, str] = {"logits": "logit_", "probabilities": "probability_"}
COMPARED_NAMES = 2000  # that a hint looks through: a file may have millions of columns

EXPECTED = (
    "expected image_id, corruption, severity, and either a list column 'logits' or 'probabilities' (Parquet) or one "
    "column a class: logit_0, logit_1 … or probability_0 …, or with class names behind the underscore; the predicted "
    "class alone does not do"
)


class PredictionColumns(NamedTuple):
    """Which columns hold a row's numbers.

    Attributes:
        kind: what they are.
        values: one list column, or a column a class in the data set's order of classes.
        as_list: whether it is one list column.
        label: whether there are labels to compare.
    """

    kind: OutputKind
    values: tuple[str, ...]
    as_list: bool
    label: bool


def find_columns(path: Path, names: Sequence[str], class_names: tuple[str, ...], *, csv: bool) -> PredictionColumns:
    """Find the columns; logits are taken where there are probabilities too, for they say more.

    Args:
        path: the file, for messages.
        names: its columns.
        class_names: classes of the data set, in order.
        csv: whether it is a CSV file, which cannot hold lists.

    Raises:
        DataError: a column is missing (with the nearest name), stands twice, or there is not one number a class.
    """
    twice = first_duplicate(names)
    if twice is not None:
        raise DataError(f"{path}: column {twice!r} stands twice: leave one out")
    lacking = [key for key in KEYS if key not in names]
    if lacking:
        raise DataError(f"{path}: no column {lacking[0]!r}{_nearest(lacking[0], names)}; {EXPECTED}")
    for kind, prefix in COLUMN_PREFIXES.items():
        spread = [name for name in names if name.startswith(prefix)]
        if kind in names and not csv:
            return PredictionColumns(kind, (kind,), True, LABEL in names)
        if spread:
            return PredictionColumns(kind, _in_order(path, spread, prefix, class_names), False, LABEL in names)
        if kind in names:
            raise DataError(f"{path}: a CSV file holds no lists: give one column a class, {prefix}0, {prefix}1 …")
    raise DataError(f"{path}: no logits or probabilities{_nearest('probabilities', names)}; {EXPECTED}")


def _in_order(path: Path, spread: list[str], prefix: str, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """The columns in the order of the classes, by index or by class name."""
    count = len(class_names)
    if len(spread) != count:
        raise DataError(
            f"{path} has {len(spread)} columns {prefix}…, but the data set has {count} classes: expected one a class"
        )
    by_index = tuple(f"{prefix}{index}" for index in range(count))
    by_name = tuple(f"{prefix}{name}" for name in class_names)
    fits_index, fits_name = set(by_index) == set(spread), set(by_name) == set(spread)
    if fits_index and fits_name and by_index != by_name:
        raise DataError(
            f"{path}: {prefix}0 … may mean a class's number or its name (classes are called "
            f"{', '.join(class_names[:3])} …): give a list column in Parquet instead"
        )
    if fits_index or fits_name:
        return by_index if fits_index else by_name
    known = by_index if spread[0].removeprefix(prefix).isdigit() else by_name
    foreign = next(name for name in spread if name not in known)
    raise DataError(f"{path}: column {foreign!r} is no class of the data set{_nearest(foreign, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    if len(known) == 1 and any(mark in known[0] for mark in ";\t"):
        return " (columns must be separated by commas)"
    near = difflib.get_close_matches(name, known[:COMPARED_NAMES], n=1, cutoff=0.5)
    return f" (the nearest is {near[0]!r})" if near else f" (there are {', '.join(map(repr, known[:8]))})"
