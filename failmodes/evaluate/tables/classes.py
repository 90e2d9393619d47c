"""Classes of a table: true and predicted class of each row, by name or index."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.evaluate.tables.checking import are_indices, occurring, refuse
from failmodes.evaluate.tables.columns import VALUE_PREFIXES
from failmodes.evaluate.tables.reading import NO_TEXT, PredictionTable
from failmodes.ingest.data_files import check_names
from failmodes.ingest.datasets.dataset import MAX_CLASSES
from failmodes.runtime.errors import DataError, StudyError, did_you_mean, listed, shown

NO_PREDICTION = -1
SHOWN = 6


class ClassColumns(NamedTuple):
    """Classes of the rows.

    Attributes:
        names: the classes.
        labels: (N,) int64 true class.
        predicted: (N,) int64 predicted class, NO_PREDICTION for none; None if only outputs state it.
        missing: number of rows by the text that stands for no prediction.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int64]
    predicted: NDArray[np.int64] | None
    missing: dict[str, int]


def find_classes(
    table: PredictionTable, missing: Collection[str], *, more_classes: bool, known: Sequence[str] = ()
) -> ClassColumns:
    """Find the classes of a table, and those of each row.

    Args:
        table: the rows.
        missing: texts that stand for no prediction.
        more_classes: whether predicted classes without an image are classes too.
        known: classes of the tables that the output folder holds.

    Raises:
        StudyError: a text of `missing` is a class.
        DataError: a row has no label or an unknown class, or there are fewer than two classes.
    """
    labels = table.texts["label"]
    refuse(table, labels.codes == NO_TEXT, lambda _: "no label")
    names = _names(table, occurring(labels), known)
    if more_classes and "prediction" in table.texts:
        predicted = [text for text in occurring(table.texts["prediction"]) if text not in missing]
        names = _names(table, [*names, *predicted], names)
    if misnamed := [text for text in missing if text in names]:
        raise StudyError(f"--missing {shown(misnamed[0])} is a class of the dataset: name texts that are none")
    if len(names) < 2:
        only = listed(list(map(shown, names)), 1)
        raise DataError(f"{table.parts[0].name} has one class, {only}: expected two or more to predict")
    if len(names) > MAX_CLASSES:
        raise DataError(f"{table.parts[0].name} has {len(names):,} classes: at most {MAX_CLASSES:,} can be stored")
    check_names(names, table.parts[0].name)
    index = {name: place for place, name in enumerate(names)}
    of_rows = labels.recoded(labels.names, index)
    refuse(
        table, of_rows < 0, lambda row: f"label {shown(labels.text(row))} is no class: {_hint(labels.text(row), names)}"
    )
    if "prediction" not in table.texts:
        return ClassColumns(names, of_rows, None, {})
    column = table.texts["prediction"]
    predictions = column.recoded(column.names, index)
    is_missing = np.array([*(text in missing for text in column.names), "" in missing])[column.codes]
    refuse(
        table,
        (column.codes == NO_TEXT) & ~is_missing,
        lambda _: "no prediction: add --missing '' to count it as incorrect",
    )
    refuse(
        table,
        (predictions < 0) & ~is_missing,
        lambda row: (
            f"prediction {shown(column.text(row))} is no class of the labels: "
            f"{_hint(column.text(row), names)} (if it means no prediction, name it with --missing; if it is a class "
            "without images, add --more-classes)"
        ),
    )
    counts = np.bincount(column.codes[is_missing] + 1, minlength=len(column.names) + 1)
    counted = {text: int(count) for text, count in zip(["", *column.names], counts, strict=True) if count}
    return ClassColumns(names, of_rows, np.where(is_missing, NO_PREDICTION, predictions), counted)


def _names(table: PredictionTable, texts: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """The classes: those of the outputs, else known ones, then others by name; indices from 0 to the largest."""
    columns = table.columns
    if columns.kind is not None:
        return _of_outputs(table, texts)
    if are_indices([*texts, *known]):
        most = max(map(int, [*texts, *known]))
        if most >= MAX_CLASSES:
            raise DataError(f"{table.parts[0].name} has class {most:,}: at most {MAX_CLASSES:,} classes can be stored")
        return tuple(map(str, range(most + 1)))
    if known and are_indices(known) and not are_indices(texts):
        raise DataError(
            f"{table.parts[0].name} names its classes ({listed(texts, SHOWN)}), but the tables of this folder number "
            "them: import into another folder, or name the classes alike"
        )
    return (*known, *sorted(set(texts) - set(known)))


def _of_outputs(table: PredictionTable, texts: Sequence[str]) -> tuple[str, ...]:
    """The classes of the outputs, by index or by the names of their columns, in the order of the columns."""
    columns = table.columns
    assert columns.kind is not None
    assert table.outputs is not None
    count = table.outputs.shape[1]
    by_index = tuple(map(str, range(count)))
    if columns.is_list and not are_indices(texts):
        raise DataError(
            f"{table.parts[0].name} names its classes ({listed(texts, SHOWN)}), but its {count} {columns.kind} are a "
            "list without names: use one column per class, such as logit_cat"
        )
    if columns.is_list:
        return by_index
    names = tuple(name.removeprefix(VALUE_PREFIXES[columns.kind]) for name in columns.outputs)
    if are_indices(names) and set(names) != set(by_index):
        raise DataError(f"{table.parts[0].name} has {count} columns {columns.kind}: expected one per class, from 0")
    return names


def _hint(text: str | None, names: Sequence[str]) -> str:
    return did_you_mean(text or "", names[:2000], f"classes are {listed(names, SHOWN)}")
