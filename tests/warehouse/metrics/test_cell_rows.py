"""Rows of a cell: what is derived from columns, what is read once, how certain a score is, and which images pair."""

import numpy as np
import pyarrow as pa
import pytest
from given_cells import NAN, outcome_rows

from failmodes.warehouse.metrics.cell_rows import (
    OF_LOGITS,
    OTHER,
    CellRows,
    ComparedCell,
    NotStored,
    column_of,
    paired_cell,
)


def test_columns_are_read_once_when_asked_for() -> None:
    asked: list[str] = []

    def read(name: str) -> np.ndarray:
        asked.append(name)
        return np.arange(3)

    rows = CellRows("fog", 1.0, 3, read, {"at hand": np.zeros(3)})
    assert rows["label"].tolist() == rows["label"].tolist() == [0, 1, 2]
    assert rows["at hand"].tolist() == [0, 0, 0]
    assert asked == ["label"]


def test_what_is_derived() -> None:
    rows = CellRows.of({"label": [0, 1, -1, 1], "predicted": [0, 0, -1, -1], "predicted_output": [-1, 7, 8, -1]})
    assert rows["correct"].tolist() == [True, False, False, False]
    assert rows["output"].tolist() == [0, 7, 8, -1]
    assert CellRows.of({"predicted": [2, -1]})["output"].tolist() == [2, -1]
    assert "rmse" not in rows


@pytest.mark.parametrize(
    ("logits", "finite", "expected"),
    [
        ([[1, 5, 3], [2, 2, 0]], [True, True], [2, 0]),
        ([[1, 5, 3], [np.inf, 0, 1]], [True, False], [2, np.nan]),
        ([[1, 5, NAN], [4, NAN, NAN]], [True, True], [4, np.nan]),
        ([[1], [2]], [True, True], [np.nan, np.nan]),
    ],
)
def test_the_logit_gap_is_between_the_two_largest(logits: list, finite: list, expected: list) -> None:
    found = CellRows.of({"logits": logits, "finite": finite})["logit_gap"]
    assert found == pytest.approx(expected, nan_ok=True)


def test_a_taken_cell_keeps_its_curve_and_its_reference() -> None:
    curve = tuple(outcome_rows([True, False, True], severity) for severity in (0, 1, 2))
    cell = ComparedCell(curve[2], curve[0], curve, curve[0]).taken(np.array([1, 0, 0]))
    assert cell.curve is not None
    assert (cell.curve[-1] is cell.rows, cell.curve[0] is cell.clean, cell.reference is curve[0]) == (True,) * 3
    for rows, severity in zip(cell.curve, (0, 1, 2), strict=True):
        assert (len(rows), rows.severity, rows.corruption) == (3, severity, "fog" if severity else "none")
        assert rows["image_id"].tolist() == [1, 0, 0]
        assert rows["correct"].tolist() == [False, True, True]
    alone = ComparedCell(curve[2], reference=curve[0]).taken(np.array([1]))
    assert (alone.clean, alone.curve, len(alone.rows)) == (None, None, 1)


def test_certainty_has_the_sign_of_its_score() -> None:
    rows = outcome_rows([True, True], confidence=[0.5, 0.9], margin=[0.1, 0.2], entropy_nats=[0.3, 0.4],
                        log_sum_exp=[5, 6], logits=[[1, 3], [0, 0]])  # fmt: skip
    expected = ([0.5, 0.9], [0.1, 0.2], [-0.3, -0.4], [5, 6], [2, 0])
    for score, values in zip(OF_LOGITS, expected, strict=True):
        assert rows.certainty(score) == pytest.approx(values)


@pytest.mark.parametrize("score", OF_LOGITS)
def test_where_logits_are_not_finite_the_model_counts_as_uncertain(score: str) -> None:
    columns = {name: [0.5, NAN, NAN] for name in ("confidence", "margin", "entropy_nats", "log_sum_exp")}
    rows = outcome_rows([True] * 3, finite=[True, False, True], logits=[[1, 1.5], [NAN, NAN], [1, NAN]], **columns)
    found = rows.certainty(score)
    assert (np.isfinite(found[0]), found[1], np.isnan(found[2])) == (True, -np.inf, True)
    assert (outcome_rows([True] * 3, finite=[False] * 3).certainty(score) == -np.inf).all()
    assert np.isnan(outcome_rows([True] * 3).certainty(score)).all(), "the record has no such score"


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_scores_are_uncertain(value: float) -> None:
    assert outcome_rows([True] * 2, confidence=[0.5, value]).certainty("confidence").tolist() == [0.5, -np.inf]


@pytest.mark.parametrize(
    ("score", "column"), [("attention_spread", "predicted.spread"), ("attention_drift", "clean.centroid_shift")]
)
def test_maps_without_a_value_count_as_uncertain_where_others_have_one(score: str, column: str) -> None:
    has_map = {f"{column.partition('.')[0]}.has_map": [True, True, False]}
    rows = outcome_rows([True] * 3, **has_map, **{column: [0.25, NAN, NAN]})
    assert rows.certainty(score) == pytest.approx([-0.25, -np.inf, np.nan], nan_ok=True)
    assert np.isnan(outcome_rows([True] * 3, **has_map, **{column: [NAN] * 3}).certainty(score)).all()
    clean = outcome_rows([True] * 3, 0, **has_map, **{column: [0.25] * 3})
    assert np.isnan(clean.certainty("attention_drift")).all(), "nothing has drifted from itself"


@pytest.mark.parametrize(
    ("ids", "common"),
    [
        ([[0, 1, 2], [0, 1, 2]], [0, 1, 2]),
        ([[0, 1, 2, 4], [1, 2, 3, 4], [2, 4, 5]], [2, 4]),
        ([[0, 1], [2, 3]], []),
        ([[0, 1, 2], [0, 0, 2]], [0, 2]),
    ],
    ids=["the same", "those that all have", "none", "those that repeat once"],
)
def test_cells_pair_by_the_images_that_all_have(ids: list[list[int]], common: list[int]) -> None:
    curve = [outcome_rows([True] * len(own), severity, image_id=own, rmse=np.add(own, 0.1 * severity))
             for severity, own in enumerate(ids)]  # fmt: skip
    cell = paired_cell(curve)
    assert cell.curve is not None
    assert (cell.rows is cell.curve[-1], cell.clean is cell.curve[0]) == (True, True)
    assert cell.reference is curve[0], "temperatures are those of all clean images"
    for severity, rows in enumerate(cell.curve):
        assert rows["image_id"].tolist() == common
        assert rows["rmse"] == pytest.approx(np.add(common, 0.1 * severity))


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, 0], pa.int16(), np.array([1, 0], np.int16)),
        ([1, None], pa.int16(), np.array([1, OTHER], np.int16)),
        ([0.5, None], pa.float64(), np.array([0.5, np.nan], np.float32)),
        ([True, False], pa.bool_(), np.array([True, False])),
        ([True, None], pa.bool_(), np.array([1, np.nan], np.float32)),
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


def test_what_is_absent_or_null_throughout_is_not_on_record_but_for_predictions_and_confidence() -> None:
    rows = pa.table({"rmse": pa.array([None] * 2, pa.float32()), "predicted": pa.array([None] * 2, pa.int16()),
                     "confidence": pa.array([None] * 2, pa.float32())})  # fmt: skip
    for name in ("rmse", "ssim"):
        with pytest.raises(NotStored, match=name):
            column_of(rows, name)
    assert column_of(rows.slice(0, 0), "rmse").shape == (0,), "of no rows nothing is missing"
    assert column_of(rows, "predicted").tolist() == [OTHER, OTHER]
    assert np.isnan(column_of(rows, "confidence")).all()
