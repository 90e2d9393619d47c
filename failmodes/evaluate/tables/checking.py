"""Checks of the rows of a table: an invalid row is named by file and line."""

import re
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from failmodes.evaluate.tables.reading import NO_TEXT, PredictionTable, Texts
from failmodes.runtime.errors import DataError, StudyError, first_line, shown

INDEX = re.compile(r"0|[1-9][0-9]{0,8}")  # of a class


def refuse(table: PredictionTable, wrong: NDArray[np.bool_], message: Callable[[int], str]) -> None:
    """Refuse the first of some rows.

    Raises:
        DataError: the place of the row, and the message about it.
    """
    rows = np.flatnonzero(wrong)
    if len(rows):
        more = f" ({len(rows):,} such rows)" if len(rows) > 1 else ""
        raise DataError(f"{table.place(int(rows[0]))}: {message(int(rows[0]))}{more}")


def compiled(option: str, pattern: str) -> re.Pattern[str]:
    """The regular expression of an option.

    Raises:
        StudyError: it is none, or has several groups.
    """
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise StudyError(f"{option} {shown(pattern)} is no regular expression: {first_line(error)}") from error
    if expression.groups > 1:
        raise StudyError(f"{option} {shown(pattern)} has {expression.groups} groups: expected one, the part to keep")
    return expression


def extracted(expression: re.Pattern[str], texts: Sequence[str]) -> list[str | None]:
    """The group of each text, or all that matches; None for a text that does not match."""
    matches = [expression.search(text) for text in texts]
    return [None if match is None else match[expression.groups] for match in matches]


def are_indices(texts: Sequence[str]) -> bool:
    """Whether all texts are whole numbers from 0, as class indices are."""
    return all(INDEX.fullmatch(text) for text in texts)


def occurring(column: Texts) -> list[str]:
    """The distinct texts of a column, without the empty one."""
    codes = np.unique(column.codes)
    return [column.names[code] for code in codes if code != NO_TEXT]
