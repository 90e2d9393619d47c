"""What every column of every table and view means, with its unit and range, for `failmodes schema` and DuckDB's shell.

A column of a table means what the contract says. A column of a view means what the comment behind it says, in the
last select of the view's file (`accuracy, -- share of images that are right, 0-1`; lines of comment beneath go on); a
column without a comment means what the column of that name means in the first of the view's sources that has it.
"""

import re
from functools import cache
from typing import NamedTuple

from failmodes.warehouse.database.relations import TABLES, view_definitions

# A range is written as 0-1, -1 to 1, 0 to infinity or `0 (clean) to 5`; a unit stands behind a comma, or first
_END = r"(-?\d+(?:\.\d+)?|infinity)(?: \([^)]*\))?"
_RANGE = re.compile(rf"(?<![\w./-]){_END}(?:-| to ){_END}(?![\w/])")
_UNITS = (
    "nats", "pixels", "image widths", "image heights", "seconds", "images a second", "accuracy a severity", "logits",
)  # fmt: skip
_POSITIVE = ("count", *(unit for unit in _UNITS if unit != "accuracy a severity"))
_UNIT = re.compile(rf"(?:^|, (?:in )?)({'|'.join(_UNITS)})\b")
_NUMERIC = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL", "UTINYINT",
            "USMALLINT", "UINTEGER", "UBIGINT")  # fmt: skip
_ENDS = re.compile(r"(^|_)(low|high)$")  # of an interval: unit and range are those of the value

_NOTE = re.compile(r"(?:^|[\s.])(\w+),?\s+--\s+(\S.*)$")


@cache
def column_meanings(relation: str) -> dict[str, str]:
    """Meaning of each column of a table or view, by name; of a view also those of its sources that it leaves out."""
    if relation in TABLES:
        return {column.name: column.meaning for column in TABLES[relation].columns}
    meanings: dict[str, str] = {}
    for source in _sources(relation):
        meanings = column_meanings(source) | meanings
    return meanings | _own_meanings(relation)


class Measured(NamedTuple):
    """Unit and range of a column, empty where it has none: texts, flags, identities and lists."""

    unit: str
    range: str


def measured(relation: str, column: str, kind: str) -> Measured:
    """Unit and range of a column, as its meaning states them; of the ends of an interval, those of the value.

    Args:
        relation: a table or view.
        column: one of its columns.
        kind: the column's type in DuckDB.
    """
    if not kind.startswith(_NUMERIC) or kind.endswith("[]"):
        return Measured("", "")
    if kind == "DECIMAL(4,3)":
        return Measured("", "0 to 5")  # a severity
    meanings = column_meanings(relation)
    value = _ENDS.sub("", column) or "value"
    text = meanings[column]
    if value != column and not _RANGE.search(text):
        text = meanings.get(value, text)
    unit = "count" if column.endswith("_count") else found[1] if (found := _UNIT.search(text)) else ""
    found = _RANGE.search(text)
    if found:
        return Measured(unit, f"{found[1]} to {found[2]}")
    if "any number" in text:
        return Measured(unit, "-infinity to infinity")
    is_positive = unit in _POSITIVE or column.endswith("_error") or column.startswith("sd_")
    return Measured(unit, "0 to infinity" if is_positive else "")


def _own_meanings(view: str) -> dict[str, str]:
    """What the view's own file says of its columns."""
    text = view_definitions()[view]
    found: dict[str, str] = {}
    name = ""
    outputs = text[text.rfind("\nselect") :].partition("\nfrom ")[0]
    for line in outputs.splitlines():
        if line.strip().startswith("--"):
            found |= {name: f"{found[name]} {line.strip().removeprefix('--').strip()}"} if name else {}
        elif note := _NOTE.search(line):
            name = note[1]
            found[name] = note[2]
        else:
            name = ""
    return found


def _sources(view: str) -> list[str]:
    """Tables and views that a view is made from: first those that its line `Source:` names, in that order."""
    definition = view_definitions()[view]
    words = re.findall(r"\w+", definition.partition("-- Source:")[2])
    return [
        word for word in dict.fromkeys(words) if word != view and word in (TABLES.keys() | view_definitions().keys())
    ]
