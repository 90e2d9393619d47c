"""Metadata of images: further columns of a list or dataset, as text, whole numbers, numbers, booleans or dates.

Missing values, empty texts and NaN are null.
"""

from collections.abc import Mapping

import polars as pl
import pyarrow as pa
import pyarrow.compute

from failmodes.runtime.errors import DataError, printable
from failmodes.warehouse.schema import CHOOSE_COLUMNS, MAX_LABEL_LETTERS, metadata_problem

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

# A number as programs write it: 007 is a name
_WHOLE = r"^-?(0|[1-9][0-9]{0,18})$"
_NUMBER = r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(inf|nan|Inf|NaN|INF|NAN)$"
_BOOLEAN = r"^(true|false|True|False|TRUE|FALSE)$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def typed_metadata(columns: Mapping[str, pa.Array | pa.ChunkedArray], location: object) -> dict[str, pa.Array]:
    """Columns of the types of metadata, each of one value per image; those without any value are left out.

    Args:
        columns: Arrow columns by name, of any type.
        location: the file or dataset, for errors.

    Raises:
        DataError: a name is that of a column of ours or invalid, there are too many columns, or one holds nested or
            binary values, or too long texts.
    """
    if problem := metadata_problem([*columns]):
        raise DataError(f"{location} has {problem}")
    typed = {name: _typed(name, values, location) for name, values in columns.items()}
    return {name: values for name, values in typed.items() if values.null_count < len(values)}


def parsed_texts(values: pa.Array) -> pa.Array:
    """Texts of a CSV file as whole numbers, numbers, booleans or dates, if all of them can be read so."""
    texts = pl.Series(values, dtype=pl.String).str.strip_chars()
    texts = texts.set(texts == "", None)
    for pattern, kind in ((_WHOLE, pl.Int64), (_NUMBER, pl.Float64), (_BOOLEAN, pl.Boolean), (_DATE, pl.Date)):
        if texts.str.contains(pattern).all() and (read := _read_as(texts, kind)) is not None:
            return read.to_arrow()
    return texts.to_arrow()
