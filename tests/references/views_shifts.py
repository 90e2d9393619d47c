"""The view of natural shifts, computed without SQL."""

from collections import defaultdict
from typing import Any

import duckdb
import numpy as np
from scipy.stats import binomtest
from view_cells import Key, compare_rows, correctness, read_cells, rows_of

FEWEST_MODELS = 5  # of a line


def compare_accuracy_by_shift(con: duckdb.DuckDBPyConnection) -> None:
    """Accuracies, intervals of the gap from exact ones, and residuals of NumPy's line on the logits; no duplicates."""
    cells, shifts = read_cells(con, of_shifts=True), rows_of(con, "shifts", ["evaluation_id"])
    models = {key[0]: row["model_label"] for key, row in rows_of(con, "models", ["model_id"]).items()}
    correct = {key[0]: correctness(rows) for key, rows in cells.predictions.items() if key[1] == "none"}
    expected: dict[Key, dict[str, Any]] = {}
    of_line: dict[str, list[tuple[Key, float, float]]] = defaultdict(list)
    for key, row in shifts.items():
        own, reference = correct[key[0]], correct[row["clean_evaluation_id"]]
        ends = [binomtest(int(one.sum()), len(one)).proportion_ci(0.95, "exact") for one in (reference, own)]
        (clean_low, clean_high), (low, high) = ends
        gap, clean = reference.mean() - own.mean(), reference.mean()
        expected[key] = {
            "shift": row["shift"], "restricted": row["restricted"], "class_count": row["class_count"],
            "model_label": models[cells.evaluations[key[0]]["model_id"]], "accuracy": own.mean(),
            "accuracy_low": low, "accuracy_high": high, "clean_accuracy": clean, "gap": gap,
            "gap_low": gap - np.hypot(clean - clean_low, high - own.mean()),
            "gap_high": gap + np.hypot(clean_high - clean, own.mean() - low),
            "image_count": len(own), "clean_image_count": len(reference), "effective_robustness": None,
        }  # fmt: skip
        of_line[row["shift"]].append((key, _logit(clean, len(reference)), _logit(own.mean(), len(own))))
    for points in of_line.values():
        if len({cells.evaluations[key[0]]["model_id"] for key, *_ in points}) < FEWEST_MODELS:
            continue
        slope, intercept = np.polyfit([x for _, x, _ in points], [y for *_, y in points], 1)
        for key, x, _ in points:
            predicted = 1 / (1 + np.exp(-(slope * x + intercept)))
            expected[key]["effective_robustness"] = expected[key]["accuracy"] - predicted
    compare_rows(rows_of(con, "accuracy_by_shift", ["evaluation_id"]), expected)


def _logit(share: float, count: int) -> float:
    inner = min(max(share, 0.5 / count), 1 - 0.5 / count)
    return float(np.log(inner / (1 - inner)))
