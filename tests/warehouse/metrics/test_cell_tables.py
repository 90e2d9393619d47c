"""What a cell holds beside its metrics: bins, confusion, predictions, risks, onsets; counted by hand, scikit-learn."""

import hashlib
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from given_cells import given_rows, outcome_rows, random_cell, without_logits
from scipy.stats import binomtest, rankdata
from sklearn.metrics import confusion_matrix

from failmodes.warehouse.metrics.cell_rows import SCORES, CellRows, decode_pattern, pattern_of
from failmodes.warehouse.metrics.cell_tables import (
    Columns,
    confidence_bins,
    confusion,
    image_onsets,
    predictions,
    risks,
)
from failmodes.warehouse.metrics.failure_prediction import COVERAGE_PERCENT

ROWS = random_cell(300, non_finite=12, seed=11).rows


def rows_of(columns: Columns) -> list[dict[str, Any]]:
    return pa.table(columns).to_pylist()


def test_bins_sum_up_images_with_finite_logits() -> None:
    found = rows_of(confidence_bins(ROWS))
    known = ROWS["finite"]
    confidence, correct = ROWS["confidence"][known].astype(np.float64), ROWS["correct"][known]
    index = np.digitize(confidence, np.arange(1, 15) / 15)
    assert [row["bin_index"] for row in found] == np.unique(index).tolist()
    for row in found:
        inside = index == row["bin_index"]
        assert row["bin_count"] == 15
        assert (row["image_count"], row["correct_count"]) == (inside.sum(), correct[inside].sum())
        assert abs(row["confidence_sum"] - confidence[inside].sum()) < 1e-9
        ends = binomtest(int(correct[inside].sum()), int(inside.sum())).proportion_ci(0.95, "wilson")
        assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((ends.low, ends.high))
    assert sum(row["image_count"] for row in found) == 288


def test_where_no_logits_are_finite_there_are_no_bins() -> None:
    assert rows_of(confidence_bins(outcome_rows([True] * 3, confidence=[np.nan] * 3))) == []


def test_confusion_is_that_of_scikit_learn() -> None:
    found = rows_of(confusion(ROWS))
    matrix = confusion_matrix(ROWS["label"], ROWS["predicted"], labels=range(-1, 4))
    counts = np.zeros((5, 5), int)
    for row in found:
        predicted = -1 if row["predicted"] is None else row["predicted"]
        assert row["finite"] == (predicted >= 0)
        counts[row["label"] + 1, predicted + 1] += row["image_count"]
    assert (counts == matrix).all()
    assert all(row["image_count"] for row in found)


def test_predictions_of_no_class_are_told_by_whether_logits_are_finite() -> None:
    rows = given_rows({"label": [1, 1, 1], "predicted": [-1, -1, 0], "finite": [True, False, True]})
    assert rows_of(confusion(rows)) == [
        {"label": 1, "predicted": None, "finite": False, "image_count": 1},
        {"label": 1, "predicted": None, "finite": True, "image_count": 1},
        {"label": 1, "predicted": 0, "finite": True, "image_count": 1},
    ]
    nothing = given_rows({"label": [1, 0], "predicted": [-1, -1], "finite": [False] * 2})
    assert [row["predicted"] for row in rows_of(confusion(nothing))] == [None, None]


def test_predictions_stand_in_the_order_of_images() -> None:
    rows = given_rows({"image_id": [3, 5, 5, 9], "label": [1, 0, 0, 2], "predicted": [1, 1, -1, 2]})
    assert rows_of(predictions(rows)) == [
        {
            "row_count": 4, "image_count": 3, "independent_share": 1.0,
            "image_ids_md5": hashlib.md5(b"3,5,5,9").hexdigest(),
            "correct_images": "1001", "predictions": [1, 1, None, 2],
        }
    ]  # fmt: skip
    assert decode_pattern("1001").tolist() == [True, False, False, True]
    assert pattern_of(decode_pattern("1001")) == "1001"


def test_risks_are_error_rates_of_the_most_certain() -> None:
    found = rows_of(risks(ROWS))
    assert [(row["score"], row["coverage_percent"]) for row in found] == [
        (s, p) for s in SCORES for p in COVERAGE_PERCENT
    ]
    for score, sign in (("confidence", -1), ("entropy_nats", 1)):
        uncertain = rankdata(np.nan_to_num(sign * ROWS[score], nan=9), method="min")
        of_ties = np.array([(~ROWS["correct"])[uncertain == one].mean() for one in uncertain])
        kept = of_ties[np.argsort(uncertain, kind="stable")]
        name = score.removesuffix("_nats")
        mine = {row["coverage_percent"]: row["selective_risk"] for row in found if row["score"] == name}
        for percent in (10, 50, 100):
            assert abs(mine[percent] - kept[: 3 * percent].mean()) < 1e-9


def test_scores_that_are_not_on_record_have_no_risks() -> None:
    found = rows_of(risks(outcome_rows([True, False], confidence=[0.9, 0.5])))
    assert {row["score"] for row in found} == {"confidence"}
    assert rows_of(risks(outcome_rows([True, False]))) == []


def onsets_of(*patterns: str) -> list[dict[str, Any]]:
    correct = np.array([[letter == "1" for letter in pattern] for pattern in patterns])
    curve: list[CellRows] = [outcome_rows(correct[:, place], severity, image_id=np.arange(len(patterns)) + 7)
                             for place, severity in enumerate((0, 1, 2.5, 4))]  # fmt: skip
    return rows_of(image_onsets(curve))


def test_onsets_image_by_image() -> None:
    found = onsets_of("1111", "1101", "0111", "0000", "1110", "1000")
    assert [row["image_id"] for row in found] == [7, 8, 9, 10, 11, 12]
    assert [row["label"] for row in found] == [0] * 6
    expected = {
        "correctness_pattern": ["1111", "1101", "0111", "0000", "1110", "1000"],
        "clean_correct": [True, True, False, False, True, True],
        "onset_severity": [None, 2.5, 0, 0, 4, 1],
        "last_correct_severity": [4, 1, None, None, 2.5, 0],
        "incorrect_count": [0, 1, 1, 4, 1, 3],
        "recovered": [False, True, True, False, False, False],
    }
    for name, values in expected.items():
        assert [float(v) if isinstance(v, Decimal) else v for v in (row[name] for row in found)] == values, name


def test_a_cell_whose_logits_are_nowhere_finite_has_all_tables() -> None:
    rows = given_rows(without_logits({name: ROWS[name] for name in (
        "image_id", "label", "predicted", "finite", "confidence")}, range(300)))  # fmt: skip
    assert sum(row["image_count"] for row in rows_of(confusion(rows))) == 300
    assert rows_of(predictions(rows))[0]["correct_images"] == "0" * 300
    assert {row["selective_risk"] for row in rows_of(risks(rows))} == {1.0}
