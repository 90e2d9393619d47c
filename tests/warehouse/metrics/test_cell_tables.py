"""What a cell holds beside its metrics: bins, confusion, predictions, risks, onsets; counted by hand, scikit-learn."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from given_cells import outcome_rows, random_cell
from scipy.stats import binomtest, rankdata
from sklearn.metrics import confusion_matrix

from failmodes.warehouse.metrics.cell_rows import SCORES, CellRows, decode_pattern
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
    found, known = rows_of(confidence_bins(ROWS)), ROWS["finite"]
    confidence, correct = ROWS["confidence"][known].astype(np.float64), ROWS["correct"][known]
    index = np.digitize(confidence, np.arange(1, 15) / 15)
    assert [row["bin_index"] for row in found] == np.unique(index).tolist()
    for row in found:
        inside = index == row["bin_index"]
        assert (row["bin_count"], row["image_count"], row["correct_count"]) == (15, inside.sum(), correct[inside].sum())
        assert row["confidence_sum"] == pytest.approx(confidence[inside].sum())
        ends = binomtest(row["correct_count"], row["image_count"]).proportion_ci(0.95, "wilson")
        assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((ends.low, ends.high))


def test_where_no_logits_are_finite_there_are_no_bins_and_nothing_but_risk() -> None:
    rows = CellRows.of({"label": [0] * 3, "predicted": [-1] * 3, "confidence": [np.nan] * 3, "finite": [False] * 3})
    assert rows_of(confidence_bins(rows)) == []
    assert [row["selective_risk"] for row in rows_of(risks(rows))] == pytest.approx([1.0] * 5 * 20)


def test_confusion_is_that_of_scikit_learn() -> None:
    counts = np.zeros((5, 5), int)
    for row in rows_of(confusion(ROWS)):
        predicted = -1 if row["predicted"] is None else row["predicted"]
        assert row["finite"] == (predicted >= 0)
        counts[row["label"] + 1, predicted + 1] += row["image_count"]
    assert (counts == confusion_matrix(ROWS["label"], ROWS["predicted"], labels=range(-1, 4))).all()


def test_predictions_of_no_class_are_told_by_whether_logits_are_finite() -> None:
    rows = CellRows.of({"label": [1, 1, 1], "predicted": [-1, -1, 0], "finite": [True, False, True]})
    assert rows_of(confusion(rows)) == [
        {"label": 1, "predicted": None, "finite": False, "image_count": 1},
        {"label": 1, "predicted": None, "finite": True, "image_count": 1},
        {"label": 1, "predicted": 0, "finite": True, "image_count": 1},
    ]


def test_predictions_stand_in_the_order_of_images() -> None:
    rows = CellRows.of({"image_id": [3, 5, 5, 9], "label": [1, 0, 0, 2], "predicted": [1, 1, -1, 2]})
    assert rows_of(predictions(rows)) == [
        {
            "row_count": 4, "image_count": 3, "independent_share": 1.0,
            "image_ids_md5": hashlib.md5(b"3,5,5,9").hexdigest(),
            "correct_images": "1001",
        }
    ]  # fmt: skip
    assert decode_pattern("1001").tolist() == [True, False, False, True]


@pytest.mark.parametrize(("score", "sign"), [("confidence", -1), ("entropy_nats", 1)])
def test_risks_are_error_rates_of_the_most_certain(score: str, sign: int) -> None:
    found = rows_of(risks(ROWS))
    assert [(row["score"], row["coverage_percent"]) for row in found] == [
        (s, p) for s in SCORES for p in COVERAGE_PERCENT
    ]
    uncertain = rankdata(np.nan_to_num(sign * ROWS[score], nan=9), method="min")
    of_ties = np.array([(~ROWS["correct"])[uncertain == one].mean() for one in uncertain])
    kept = of_ties[np.argsort(uncertain, kind="stable")]
    name = score.removesuffix("_nats")
    mine = {row["coverage_percent"]: row["selective_risk"] for row in found if row["score"] == name}
    assert [mine[percent] for percent in (10, 50, 100)] == pytest.approx([kept[:n].mean() for n in (30, 150, 300)])


def test_scores_that_are_not_on_record_have_no_risks() -> None:
    assert {row["score"] for row in rows_of(risks(outcome_rows([True, False], confidence=[0.9, 0.5])))} == {
        "confidence"
    }


@pytest.mark.parametrize(
    ("pattern", "onset", "last_correct", "recovered"),
    [
        ("1111", None, 4, False),
        ("1101", 2.5, 1, True),
        ("0111", 0, None, True),
        ("0000", 0, None, False),
        ("1110", 4, 2.5, False),
        ("1000", 1, 0, False),
    ],
)
def test_onsets_image_by_image(pattern: str, onset: float | None, last_correct: float | None, recovered: bool) -> None:
    correct = np.array([[letter == "1" for letter in pattern], [True] * 4])
    curve = [
        outcome_rows(correct[:, place], severity, image_id=[7, 8]) for place, severity in enumerate((0, 1, 2.5, 4))
    ]
    assert rows_of(image_onsets(curve))[0] == {
        "image_id": 7, "label": 0, "correctness_pattern": pattern, "clean_correct": pattern[0] == "1",
        "onset_severity": onset, "last_correct_severity": last_correct, "incorrect_count": pattern.count("0"),
        "recovered": recovered,
    }  # fmt: skip
