"""Groups of images by an attribute: their class, or a column of `images` such as metadata or a measured property."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import duckdb
import numpy as np
import polars as pl
from numpy.typing import NDArray

from failmodes.runtime.errors import StudyError, did_you_mean, shown
from failmodes.sql import sql_identifier, sql_literal

CLASS = "class_name"
KEYS = ("dataset_id", "image_id", "label", "file", "pixel_hash")  # columns of `images` that identify an image or class
MAX_VALUES = 8  # distinct numbers or dates that are groups of their own
QUARTILES = (0.25, 0.5, 0.75)  # of more
TOLERANCE = 0.005  # of their share of images, for bounds of few digits
LONG = 9  # characters of a number
MISSING = -1  # code of images without a value
MISSING_NAME = "missing"

# The columns of `images`, and the name of the class
IMAGES_WITH_CLASS = (
    f"(select images.*, class_name as {CLASS} from images left join classes "
    "on images.dataset_id = classes.dataset_id and images.label = classes.class_index)"
)


@dataclass(frozen=True, eq=False)
class AttributeGroups:
    """Images of a dataset by the value of an attribute.

    Attributes:
        column: `class_name`, or a column of `images`.
        image_ids: (N,) rising.
        codes: (N,) group of each image, from 0; MISSING without a value.
        names: of the groups, in the order of their values: a value, or a quartile with its bounds.
        conditions: the same as SQL over the columns of `images` and `class_name`.
        is_cut: whether the groups are quartiles of the images' values.
    """

    column: str
    image_ids: NDArray[np.int64]
    codes: NDArray[np.int64]
    names: tuple[str, ...]
    conditions: tuple[str, ...]
    is_cut: bool = False

    @property
    def counts(self) -> NDArray[np.int64]:
        """Images of each group, without those that have no value."""
        counts: NDArray[np.int64] = np.bincount(self.codes[self.codes != MISSING], minlength=len(self.names))
        return counts

    @property
    def missing_count(self) -> int:
        """Images without a value."""
        return int((self.codes == MISSING).sum())

    @property
    def missing_condition(self) -> str:
        """SQL of images without a value."""
        return f"{_quoted(self.column)} is null"

    def images(self, code: int) -> NDArray[np.int64]:
        """The image_id of each image of a group, rising; MISSING: of those without a value."""
        chosen: NDArray[np.int64] = self.image_ids[self.codes == code]
        return chosen


def attribute_columns(con: duckdb.DuckDBPyConnection) -> list[str]:
    """The attributes of images, by which they can be grouped: the class and columns of `images`."""
    columns = [name for name, *_ in con.execute("describe images").fetchall()]
    return [CLASS, *(name for name in columns if name not in KEYS)]


def attribute_groups(
    con: duckdb.DuckDBPyConnection, dataset_id: str, column: str, image_ids: NDArray[Any] | None = None
) -> AttributeGroups:
    """Group images by an attribute.

    Numbers and dates with more than MAX_VALUES values are cut into quartiles.

    Args:
        con: the warehouse, with `images` and `classes`.
        dataset_id: of the images.
        column: one of `attribute_columns`.
        image_ids: these images alone, whose quartiles are taken; default: all of the dataset.

    Raises:
        StudyError: an unknown column.
    """
    known = attribute_columns(con)
    if column not in known:
        hint = did_you_mean(column, known, f"expected {', '.join(known)}")
        raise StudyError(f"images have no attribute {shown(column)}: {hint}")
    frame = con.sql(
        f"select image_id::bigint as image_id, {sql_identifier(column)} as value from {IMAGES_WITH_CLASS} as images "
        "where dataset_id = $1 order by image_id",
        params=[dataset_id],
    ).pl()
    if image_ids is not None:
        frame = frame.filter(pl.col("image_id").is_in(np.unique(image_ids).astype(np.int64)))
    ids = frame["image_id"].to_numpy()
    values = frame["value"]
    if values.dtype.is_float():
        values = values.fill_nan(None)
    is_ordered = values.dtype.is_numeric() or values.dtype == pl.Date
    if is_ordered and values.drop_nulls().n_unique() > MAX_VALUES:
        return _quartiles(column, ids, values)
    known_values = values.drop_nulls().unique().sort()
    codes = known_values.search_sorted(values).cast(pl.Int64)
    codes = pl.select(pl.when(values.is_null()).then(MISSING).otherwise(codes)).to_series()
    is_single = known_values.dtype == pl.Float32  # whose shortest text is shorter than that of the same double
    typed = [np.float32(value) if is_single else value for value in known_values]
    names = tuple(map(_text, typed))
    conditions = tuple(f"{_quoted(column)} = {_literal(value)}" for value in typed)
    return AttributeGroups(column, ids, codes.to_numpy(), names, conditions)


def _quartiles(column: str, image_ids: NDArray[np.int64], values: pl.Series) -> AttributeGroups:
    """Images by the quartile of their value; equal values are in one group, so there may be fewer than four."""
    physical = values.to_physical()
    has_value = physical.is_not_null().to_numpy()
    numbers = physical.drop_nulls().to_numpy()
    cuts = sorted({_cut(numbers, quantile) for quantile in QUARTILES})
    codes = np.full(len(image_ids), MISSING, np.int64)
    codes[has_value] = np.searchsorted(np.array(cuts), numbers, side="right")
    is_date = values.dtype == pl.Date

    def end(cut: Any) -> Any:
        return date.fromordinal(int(cut) + date(1970, 1, 1).toordinal()) if is_date else cut

    firsts = [end(cut) for cut in cuts]
    lasts = firsts if values.dtype.is_float() else [end(cut - 1) for cut in cuts]  # 18 to 35, then from 36
    names = [
        f"below {_text(firsts[0])}",
        *(f"{_text(low)} to {_text(high)}" for low, high in zip(firsts, lasts[1:], strict=False)),
        f"{_text(firsts[-1])} and above",
    ]
    named = _quoted(column)
    conditions = [
        f"{named} < {_literal(firsts[0])}",
        *(
            f"{named} >= {_literal(low)} and {named} < {_literal(high)}"
            for low, high in zip(firsts, firsts[1:], strict=False)
        ),
        f"{named} >= {_literal(firsts[-1])}",
    ]
    return AttributeGroups(column, image_ids, codes, tuple(names), tuple(conditions), is_cut=True)


def _cut(numbers: NDArray[Any], quantile: float) -> Any:
    """The shortest number near a quantile, from which on the upper part begins."""
    last, first = np.quantile(numbers, (quantile - TOLERANCE, quantile + TOLERANCE), method="inverted_cdf")
    if last == first or isinstance(first, np.integer):
        last = np.quantile(numbers, quantile, method="inverted_cdf")
        above = numbers[numbers > last]
        last, first = (last, above.min()) if len(above) else (numbers[numbers < last].max(), last)
    if isinstance(first, np.integer):
        return int(first)
    cuts = (float(f"{first:.{digits}g}") for digits in range(1, 17))
    return next((cut for cut in cuts if last < first.dtype.type(cut) <= first), float(first))


def _text(value: object) -> str:
    """A value as the name of its group."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0") if isinstance(value, float | np.floating) else str(value)


def _quoted(column: str) -> str:
    """A column in SQL, with quotes only where it needs them."""
    return column if column.isidentifier() and column.islower() and column.isascii() else sql_identifier(column)


def _literal(value: object) -> str:
    """A value in SQL."""
    if isinstance(value, date):
        return f"date '{value}'"
    if isinstance(value, str):
        return sql_literal(value)
    text = _text(value)
    is_long = isinstance(value, float) and len(text) > LONG and "e" not in text
    return f"{text}e0" if is_long else text  # a double, not a decimal, to which DuckDB 1.4 rounds the column
