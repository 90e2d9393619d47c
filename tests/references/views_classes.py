"""Views of classes and of answers, computed without SQL."""

import duckdb
import numpy as np
from scipy.stats import binomtest, entropy
from sklearn.metrics import recall_score
from view_cells import Cells, Key, class_names, near, read_cells, rows_of


def compare_accuracy_by_class(con: duckdb.DuckDBPyConnection) -> None:
    key = ["evaluation_id", "corruption", "severity", "class_index"]
    cells, rows = read_cells(con), rows_of(con, "accuracy_by_class", key)
    names, seen = class_names(con), 0
    for evaluation_id, corruption, keys in cells.curves():
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for cell_key in keys:
            label, prediction = _labels_and_predictions(cells, cell_key)
            for index in sorted({*label, *prediction} - {-1}):
                row = rows[evaluation_id, corruption, cell_key[2], index]
                of_class, correct = label == index, (label == index) & (prediction == index)
                low, high = (
                    binomtest(int(correct.sum()), int(of_class.sum())).proportion_ci(method="wilson")
                    if of_class.any() else (None, None)
                )  # fmt: skip
                taken = prediction == index
                expected = {
                    "class_name": names[dataset_id, index],
                    "image_count": of_class.sum(),
                    "correct_count": correct.sum(),
                    "accuracy": correct.sum() / of_class.sum() if of_class.any() else None,
                    "accuracy_low": low,
                    "accuracy_high": high,
                    "predicted_count": taken.sum(),
                    "class_precision": correct.sum() / taken.sum() if taken.any() else None,
                    "label_share": of_class.mean(),
                    "predicted_share": taken.mean(),
                }
                assert {name: row[name] for name in expected} == near(expected)
                seen += 1
    assert seen == len(rows)


def compare_predictions_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "predictions_by_severity", ["evaluation_id", "corruption", "severity"])
    names, seen = class_names(con), 0
    for evaluation_id, corruption, keys in cells.curves():
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for cell_key in keys:
            label, prediction = _labels_and_predictions(cells, cell_key)
            known = prediction[prediction >= 0]
            recalls = recall_score(label, prediction, labels=np.unique(label), average=None, zero_division=0)
            worst = int(np.unique(label)[np.argmin(recalls)])
            most_common = int(np.bincount(known).argmax()) if len(known) else None
            expected = {
                "image_count": len(label),
                "predicted_count": len(known),
                "predicted_class_count": len(np.unique(known)),
                "class_count": len(np.unique(label)),
                "top_prediction": most_common,
                "top_prediction_name": None if most_common is None else names[dataset_id, most_common],
                "top_prediction_share": None if most_common is None else (known == most_common).mean(),
                "top_prediction_label_share": None if most_common is None else (label == most_common).mean(),
                "prediction_entropy_nats": entropy(np.bincount(known)) if len(known) else None,
                "label_entropy_nats": entropy(np.bincount(label)),
                "accuracy": (label == prediction).mean(),
                "balanced_accuracy": recalls.mean(),
                "worst_class": worst,
                "worst_class_name": names[dataset_id, worst],
                "worst_class_accuracy": recalls.min(),
            }
            row = rows[evaluation_id, corruption, cell_key[2]]
            assert {name: row[name] for name in expected} == near(expected)
            seen += 1
    assert seen == len(rows)


def _labels_and_predictions(cells: Cells, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """(N,) labels and predictions of a cell; -1 for none of the classes."""
    cell = cells.predictions[key]
    return cell["label"].to_numpy(), cell["predicted"].fill_null(-1).to_numpy()
