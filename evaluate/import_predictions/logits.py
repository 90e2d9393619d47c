"""The numbers of each row: one a class, as logits."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from failmodes.evaluate.import_predictions.expected import RowError, raise_first
from failmodes.evaluate.import_predictions.predictions_file import OutputKind, PredictionColumns

SUM_TOLERANCE = 1e-3

RANGE_TOLERANCE = 1e-6  # a softmax in single precision may end beyond 1 by rounding

SMALLEST = float(np.finfo(np.float32).smallest_subnormal)


def values_of(batch: pa.RecordBatch, layout: PredictionColumns, class_count: int, refuse: RowError) -> np.ndarray:
    """Numbers (N, C) float64; a null is NaN.

    Raises:
        DataError: a list is not as long as there are classes, or holds anything but numbers; by `refuse`.
    """
    if not layout.as_list:
        columns = [_floats(batch.column(name), name, refuse) for name in layout.values]
        return np.stack(columns, axis=1)
    column = batch.column(layout.values[0])
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
            or pa.types.is_fixed_size_list(column.type)):  # fmt: skip
        raise refuse(0, f"{layout.kind} is a {column.type} column: expected a list of {class_count} numbers")
    lengths = pc.list_value_length(column).fill_null(class_count).to_numpy(zero_copy_only=False)
    raise_first(
        lengths != class_count,
        lambda at: f"{lengths[at]} {layout.kind}, but the data set has {class_count} classes: expected one a class",
        refuse,
    )
    values = np.full((len(column), class_count), np.nan)
    known = column.is_valid().to_numpy(zero_copy_only=False)
    values[known] = _floats(column.flatten(), layout.kind, refuse).reshape(-1, class_count)
    return values


def as_logits(values: np.ndarray, kind: OutputKind, refuse: RowError) -> np.ndarray:
    """Logits (N, C) float32 of values (N, C) float64: log p of probabilities, floored at the smallest positive float32.

    A softmax of log p gives p back; a constant, which no probability shows, is lost. Rows with a value that is not
    finite pass as they are; a logit beyond float32 is infinite, hence not finite.

    Raises:
        DataError: probabilities outside 0–1, or that do not sum to 1 (± 1e-3); by `refuse`.
    """
    if kind == "probabilities":
        _check_probabilities(values, refuse)
        with np.errstate(invalid="ignore"):
            values = np.log(np.maximum(values, SMALLEST))
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def _check_probabilities(values: np.ndarray, refuse: RowError) -> None:
    finite = np.isfinite(values).all(1)
    outside = ((values < -RANGE_TOLERANCE) | (values > 1 + RANGE_TOLERANCE)).any(1)
    raise_first(
        finite & outside,
        lambda at: (
            f"probability {values[at][np.abs(values[at] - 0.5).argmax()]:g} is outside 0 to 1: if these are "
            "logits, call them so"
        ),
        refuse,
    )
    sums = values.sum(1)
    with np.errstate(invalid="ignore"):
        uneven = finite & (np.abs(sums - 1) > SUM_TOLERANCE)
    raise_first(
        uneven,
        lambda at: f"probabilities sum to {sums[at]:.6g}: expected 1 (± {SUM_TOLERANCE:g}) over all classes",
        refuse,
    )


def _floats(column: pa.Array, name: str, refuse: RowError) -> np.ndarray:
    kind = column.type
    if not (pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        raise refuse(0, f"{name} holds {kind}: expected numbers")
    found: np.ndarray = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return found
