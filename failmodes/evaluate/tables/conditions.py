"""Corruption and severity of each row: from its corruption, severity, value or condition."""

import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.evaluate.tables.checking import compiled, extracted, occurring, refuse
from failmodes.evaluate.tables.reading import NO_TEXT, PredictionTable, Texts
from failmodes.ingest.axes import Axis, default_axis, level_rows, rank_levels
from failmodes.ingest.corruptions.catalog import add_corruption_of_set, find_corruption_name, name_in_set
from failmodes.runtime.errors import StudyError, listed, shown
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse.schema import CLEAN, MAX_SEVERITY, OF_TABLE
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell

CLEAN_NAMES = (CLEAN, "clean")  # in a column of corruptions
THOUSANDTHS = 1000
SHOWN = 5


class Conditions(NamedTuple):
    """The cells of a table.

    Attributes:
        cells: each cell once, by corruption and severity, the clean one first if there is one.
        codes: (N,) the cell of each row.
        axes: axis of each corruption whose levels have values, with the severity of each value.
    """

    cells: tuple[Cell, ...]
    codes: NDArray[np.int64]
    axes: dict[str, tuple[Axis, dict[float, int]]]

    @property
    def source_id(self) -> str:
        """Identity of the source: tables whose levels have the same values share it."""
        facts = {
            name: [axis.name, axis.unit, axis.scale, [[_exact(value), rank] for value, rank in ranks.items()]]
            for name, (axis, ranks) in self.axes.items()
        }
        return identity_of({"table": facts})

    def source_row(self) -> dict[str, Any]:
        """The row of `sources`."""
        return {"source_id": self.source_id, "source_kind": OF_TABLE, "source_label": "table of predictions"}

    def level_rows(self) -> list[dict[str, Any]]:
        """The rows of `levels`."""
        source_id = self.source_id
        return [row for axis, ranks in self.axes.values() for row in level_rows(source_id, axis, ranks)]


def find_conditions(
    table: PredictionTable, axes: Mapping[str, Axis], level_pattern: str | None, reference: str | None
) -> Conditions:
    """Find the corruption and severity of each row.

    Args:
        table: the rows.
        axes: axes that the user states, by corruption.
        level_pattern: regular expression of the level in a text such as c30.
        reference: word of the reference level, which is stored as corruption `none`.

    Raises:
        StudyError: the options do not fit the columns.
        DataError: a row has no level, or one that is not on its axis.
    """
    texts = table.texts
    _check_options(table, axes, level_pattern, reference)
    if "value" in texts and level_pattern is None and "corruption" not in texts and not axes:
        return _of_words(table, texts["value"], reference)
    if "value" in texts or "severity" in texts:
        names, corruptions = _corruptions(table, axes, reference)
        if "severity" in texts:
            return _of_severities(table, names, corruptions)
        return _of_values(table, names, corruptions, axes, level_pattern)
    if "corruption" in texts:
        return _of_words(table, texts["corruption"], reference)
    return Conditions((CLEAN_CELL,), np.zeros(len(table), np.int64), {})


def _check_options(
    table: PredictionTable, axes: Mapping[str, Axis], level_pattern: str | None, reference: str | None
) -> None:
    columns = table.texts
    if level_pattern is not None and "value" not in columns:
        raise StudyError("--level-pattern needs a column of levels: name it with --columns value=COLUMN")
    if axes and "value" not in columns:
        raise StudyError("--axis needs a column of levels: name it with --columns value=COLUMN")
    if "value" in columns and "severity" in columns:
        raise StudyError(
            "the table has severities and values of levels: leave one out with --columns severity= or --columns value="
        )
    if reference is not None and "corruption" not in columns and "value" not in columns:
        raise StudyError("--reference needs a column of corruptions: name it with --columns corruption=COLUMN")


def _of_words(table: PredictionTable, column: Texts, reference: str | None) -> Conditions:
    """Each word is a corruption at severity 1, the reference the clean images."""
    numbers = [text for text in occurring(column) if _as_number(text) is not None]
    if table.columns.roles.get("corruption") is None and numbers:
        name = shown(table.columns.roles["value"])
        raise StudyError(
            f"the levels in {name} are numbers ({listed(numbers, SHOWN)}): state their corruption and axis, such as "
            '--axis contrast="%,100..1", or leave the column out with --columns value='
        )
    refuse(table, column.codes == NO_TEXT, lambda _: "no corruption: expected a name, or none for clean images")
    names, codes = _named(table, column, reference)
    severity = np.array([0 if name == CLEAN else THOUSANDTHS for name in names], np.int64)
    return _conditions(names, codes, severity[codes], {})


def _corruptions(
    table: PredictionTable, axes: Mapping[str, Axis], reference: str | None
) -> tuple[list[str], NDArray[np.int64]]:
    """The names of corruptions and the (N,) one of each row; without their column that of the only axis."""
    if "corruption" in table.texts:
        column = table.texts["corruption"]
        refuse(table, column.codes == NO_TEXT, lambda _: "no corruption: expected a name, or none for clean images")
        return _named(table, column, reference)
    if len(axes) != 1:
        raise StudyError(
            "the table has levels but no column of corruptions: state one axis, such as "
            '--axis contrast="%,100..1", or name the column with --columns corruption=COLUMN'
        )
    (name,) = axes
    add_corruption_of_set(name)
    return [name], np.zeros(len(table), np.int64)


def _named(table: PredictionTable, column: Texts, reference: str | None) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct names of a column of corruptions, and the (N,) one of each row."""
    if reference is not None and reference not in occurring(column):
        raise StudyError(f"--reference {shown(reference)} is none of {listed(occurring(column), SHOWN)}")
    known = [_name_of(text, reference) for text in column.names]
    invalid = np.array([*(name is None for name in known), False])
    refuse(
        table,
        invalid[column.codes],
        lambda row: f"corruption {shown(column.text(row))}: expected letters, digits and _, at most 60",
    )
    names = sorted({name for name in known if name is not None})
    for name in names:
        if name != CLEAN:
            add_corruption_of_set(name)
    return names, column.recoded(known, {name: code for code, name in enumerate(names)})


def _name_of(text: str, reference: str | None) -> str | None:
    if text == reference or text.lower() in CLEAN_NAMES:
        return CLEAN
    return find_corruption_name(text) or name_in_set(text)


def _of_severities(table: PredictionTable, names: list[str], corruptions: NDArray[np.int64]) -> Conditions:
    column = table.texts["severity"]
    thousandths = [_thousandths(text) for text in column.names]
    lookup = np.array([*(NO_TEXT if value is None else value for value in thousandths), NO_TEXT], np.int64)
    severity = lookup[column.codes]
    is_clean = np.array([name == CLEAN for name in names])[corruptions]
    severity[is_clean & (column.codes == NO_TEXT)] = 0  # clean images need none
    refuse(table, (column.codes == NO_TEXT) & (severity == NO_TEXT), lambda _: "no severity")
    refuse(
        table,
        severity == NO_TEXT,
        lambda row: f"severity {shown(column.text(row))}: expected a number, 0 (clean) to {MAX_SEVERITY}",
    )
    refuse(
        table,
        is_clean & (severity != 0),
        lambda row: f"corruption 'none' at severity {column.text(row)}: clean images have severity 0",
    )
    return _conditions(names, corruptions, severity, {})


def _of_values(
    table: PredictionTable,
    names: list[str],
    corruptions: NDArray[np.int64],
    stated: Mapping[str, Axis],
    level_pattern: str | None,
) -> Conditions:
    """Levels ranked by their values, for each corruption along its axis."""
    column = table.texts["value"]
    parts: list[str | None] = list(column.names)
    if level_pattern is not None:
        parts = extracted(compiled("--level-pattern", level_pattern), column.names)
    numbers = [None if part is None else _as_number(part) for part in parts]
    values = np.array([*(math.nan if value is None else value for value in numbers), math.nan])[column.codes]
    is_clean = np.array([name == CLEAN for name in names])[corruptions]
    expected = "a number" if level_pattern is None else f"a text of a number that {level_pattern} finds"
    refuse(
        table,
        ~is_clean & np.isnan(values),
        lambda row: f"level {shown(column.text(row) or '')}: expected {expected}",
    )
    severity = np.zeros(len(table), np.int64)
    axes = {}
    for code, name in enumerate(names):
        if name == CLEAN:
            continue
        own = corruptions == code
        distinct, places = np.unique(values[own], return_inverse=True)
        axis = stated.get(name) or default_axis(name, distinct.tolist())
        ranks = rank_levels(distinct.tolist(), axis)
        severity[own] = np.array([ranks[value] for value in distinct.tolist()], np.int64)[places] * THOUSANDTHS
        axes[name] = (axis, ranks)
    if unused := [name for name in stated if name not in axes]:
        raise StudyError(f"--axis: the table has no corruption {shown(unused[0])}, but {listed(names, SHOWN)}")
    return _conditions(names, corruptions, severity, axes)


def _conditions(
    names: Iterable[str],
    corruptions: NDArray[np.int64],
    thousandths: NDArray[np.int64],
    axes: dict[str, tuple[Axis, dict[float, int]]],
) -> Conditions:
    """The cells of rows; the reference level of any corruption is that of the clean images."""
    in_order = [CLEAN, *(name for name in names if name != CLEAN)]
    lookup = np.array([in_order.index(name) for name in names], np.int64)
    width = (MAX_SEVERITY + 1) * THOUSANDTHS
    keys, codes = np.unique(
        np.where(thousandths == 0, 0, lookup[corruptions] * width + thousandths), return_inverse=True
    )
    cells = tuple(
        Cell(in_order[key // width], (Decimal(key % width) / THOUSANDTHS).quantize(Decimal("0.001")))
        for key in keys.tolist()
    )
    return Conditions(cells, codes, axes)


def _as_number(text: str) -> float | None:
    """The number of a text, also infinite; None if it is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return None if math.isnan(value) else value


def _thousandths(text: str) -> int | None:
    value = _as_number(text)
    if value is None or not 0 <= value <= MAX_SEVERITY:
        return None
    return round(value * THOUSANDTHS)


def _exact(value: float) -> float | str:
    """A value as JSON can express it."""
    return value if math.isfinite(value) else str(value)
