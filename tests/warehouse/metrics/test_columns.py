"""Columns of Arrow tables as arrays: types, what stands in place of nulls, lists of several lengths."""

import numpy as np
import pyarrow as pa
import pytest

from failmodes.warehouse.metrics.cell_rows import OTHER, NotOnRecord, column_of


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 0], pa.int16(), np.array([1, 0], np.int16)),
        ([1, None], pa.int16(), np.array([1, OTHER], np.int16)),
        ([0.5, None], pa.float32(), np.array([0.5, np.nan], np.float32)),
        ([0.5, 1.5], pa.float64(), np.array([0.5, 1.5], np.float32)),
        ([True, False], pa.bool_(), np.array([True, False])),
        ([True, None], pa.bool_(), np.array([1, np.nan], np.float32)),
        ([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32()), np.array([[1, 2], [3, 4]], np.float32)),
        ([[1.0, 2.0], None], pa.list_(pa.float32()), np.array([[1, 2], [np.nan] * 2], np.float32)),
        ([[1.0], [3.0, 4.0]], pa.list_(pa.float32()), np.array([[1, np.nan], [3, 4]], np.float32)),
    ],
)
def test_nulls_have_something_in_their_place(values: list, kind: pa.DataType, expected: np.ndarray) -> None:
    whole = pa.array(values, kind)
    for column in (pa.chunked_array([whole]), pa.chunked_array([whole[:1], whole[1:]])):
        found = column_of(pa.table({"one": column}), "one")
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


def test_what_is_absent_or_null_throughout_is_not_on_record() -> None:
    rows = pa.table({"rmse": pa.array([None, None], pa.float32())})
    for name in ("rmse", "ssim"):
        with pytest.raises(NotOnRecord, match=name):
            column_of(rows, name)
    assert column_of(rows.slice(0, 0), "rmse").shape == (0,), "of no rows nothing is missing"


def test_predictions_and_confidence_are_on_record_where_no_image_has_them() -> None:
    rows = pa.table({"predicted": pa.array([None] * 2, pa.int16()), "confidence": pa.array([None] * 2, pa.float32())})
    assert column_of(rows, "predicted").tolist() == [OTHER, OTHER]
    assert np.isnan(column_of(rows, "confidence")).all()
