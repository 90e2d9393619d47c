"""Metadata of images: further columns of a list or dataset, as text, whole numbers, numbers, booleans or dates.

Missing values, empty texts and NaN are null.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute

from failmodes.runtime.errors import DataError, first_line, printable
from failmodes.warehouse.schema import (
    CHOOSE_COLUMNS,
    MAX_LABEL_LETTERS,
    METADATA_TYPES,
    metadata_problem,
    metadata_type,
)

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

# Texts that stand for a value of each type; 007 is a name, not a number
_PATTERNS = {
    pa.int64(): r"^-?(0|[1-9][0-9]*)$",
    pa.float64(): r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^(nan|NaN|NAN)$",
    pa.bool_(): r"^(true|false|True|False|TRUE|FALSE)$",
    pa.date32(): r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$",
}


def typed_metadata(
    columns: Mapping[str, Any], location: object, chosen: Sequence[str] | None = None, *, fix: str = CHOOSE_COLUMNS
) -> dict[str, pa.Array]:
    """Columns as metadata of images; those without any value are left out.

    Args:
        columns: Arrow arrays or chunked arrays by name, one value per image.
        location: the file or dataset, for errors.
        chosen: the only columns to keep; default: all.
        fix: how to leave out a column, for errors.

    Returns:
        Arrow arrays of the types string, int64, double, bool or date32.

    Raises:
        DataError: a name is invalid or that of a column of ours, there are too many columns, or one holds nested or
            binary values, too large numbers or too long texts.
    """
    if chosen is not None:
        columns = {name: values for name, values in columns.items() if name in chosen}
    if problem := metadata_problem([*columns], fix):
        raise DataError(f"{location} has {problem}")
    typed = {name: _typed(name, values, location, fix) for name, values in columns.items()}
    return {name: values for name, values in typed.items() if values.null_count < len(values)}


def parsed_texts(values: pa.Array) -> pa.Array:
    """Texts of a file without types as whole numbers, numbers, booleans or dates, where all of them stand for one."""
    texts = _without_empty(pc.utf8_trim_whitespace(values))
    for kind, pattern in _PATTERNS.items():
        if pc.all(pc.match_substring_regex(texts, pattern)).as_py():
            try:
                return texts.cast(kind)
            except pa.ArrowInvalid:  # 2026-02-30, or a whole number beyond 64 bits
                break
    return texts


def check_metadata(metadata: Mapping[str, pa.Array], count: int, location: object) -> None:
    """Check columns of metadata of `count` images.

    Raises:
        DataError: a name is invalid, or a column has another type or length; see `typed_metadata`.
    """
    if problem := metadata_problem([*metadata]):
        raise DataError(f"{location} has {problem}")
    for name, values in metadata.items():
        if len(values) != count:
            raise DataError(f"{location}: {len(values):,} values of {printable(name, 60)!r} for {count:,} images")
    metadata_types(metadata)


def metadata_types(metadata: Mapping[str, pa.Array]) -> dict[str, str]:
    """The type of each column, by its name in the schema.

    Raises:
        DataError: it is not a type of metadata.
    """
    types = {name: metadata_type(values.type) for name, values in metadata.items()}
    for name, kind in types.items():
        if kind is None:
            raise DataError(
                f"{printable(name, 60)!r} holds {metadata[name].type}: expected {', '.join(METADATA_TYPES)}"
            )
    return {name: kind for name, kind in types.items() if kind is not None}


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _typed(name: str, values: Any, location: object, fix: str) -> pa.Array:
    """One column as metadata."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    column = f"{location}: the column {printable(name, 60)!r}"
    try:
        array.validate(full=True)  # texts may be invalid UTF-8
        typed = _of_metadata_type(array)
    except (pa.ArrowException, ValueError) as error:
        raise DataError(f"{column} cannot be read ({first_line(error)}): {fix}") from error
    if typed is None:
        raise DataError(f"{column} holds {array.type}: expected text, numbers, booleans or dates; {fix}")
    if pa.types.is_string(typed.type):
        if pc.any(pc.match_substring(typed, "\0")).as_py():
            raise DataError(f"{column} has a text with a null character: {fix}")
        longest = pc.max(pc.utf8_length(typed)).as_py() or 0
        if longest > MAX_LABEL_LETTERS:
            raise DataError(
                f"{column} has a text of {longest:,} characters, expected at most {MAX_LABEL_LETTERS:,}: {fix}"
            )
    return typed


def _of_metadata_type(array: pa.Array) -> pa.Array | None:
    """Values of any flat type as one of the types of metadata; None for other types."""
    types = pa.types
    kind = array.type
    if types.is_dictionary(kind):
        array = array.dictionary_decode()
        kind = array.type
    if types.is_boolean(kind):
        return array
    if types.is_integer(kind):
        return array.cast(pa.int64())
    if types.is_floating(kind) or types.is_decimal(kind):
        numbers = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(numbers), None, numbers)
    if types.is_timestamp(kind):  # pandas has no other dates
        days = array.cast(pa.date32(), safe=False)
        is_midnight = pc.all(pc.equal(days.cast(kind), array)).as_py()
        return days if is_midnight is not False else _without_empty(array.cast(pa.string()))
    if types.is_date(kind):
        return array.cast(pa.date32())
    if types.is_null(kind) or is_text(kind):
        return _without_empty(array.cast(pa.string()))
    return None


def _without_empty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), None, texts)
