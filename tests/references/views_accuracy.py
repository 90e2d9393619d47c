"""Views of outcomes, accuracy, classes and corruption error, and of pairs of models, computed without SQL."""

import hashlib
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
from scipy.stats import binomtest, entropy
from sklearn.metrics import cohen_kappa_score, confusion_matrix, recall_score
from view_cells import (
    Cells,
    Key,
    class_names,
    compare_metrics,
    compare_rows,
    correctness,
    near,
    points_of,
    read_cells,
    rows_of,
)

SAME_IMAGES = ("dataset_id", "source_id", "subset_id")


def compare_outcomes(con: duckdb.DuckDBPyConnection, view: str = "outcomes") -> None:
    keys = ["evaluation_id", "corruption", "severity", "image_id"]
    rows, raw = con.table(view).pl().sort(keys), con.sql("from prediction_facts").pl().sort(keys)
    if view == "predictions":  # not of natural shifts
        raw = raw.join(con.sql("from evaluation_labels").pl(), "evaluation_id", "semi", maintain_order="left")
    assert rows.select(raw.columns).equals(raw)
    assert rows["correct"].to_list() == list(correctness(raw))


def compare_predictions(con: duckdb.DuckDBPyConnection) -> None:
    compare_outcomes(con, "predictions")
    labels, classes = rows_of(con, "evaluation_labels", ["evaluation_id"]), class_names(con)
    files = rows_of(con, "images", ["dataset_id", "image_id"])
    cleans = {
        (row["evaluation_id"], row["image_id"]): row
        for row in con.table("predictions").pl().rows(named=True) if row["corruption"] == "none"
    }  # fmt: skip
    for row in con.table("predictions").pl().rows(named=True):
        evaluation = labels[(row["evaluation_id"],)]
        other = "another class" if row["finite"] else None
        predicted = other if row["predicted"] is None else classes.get((evaluation["dataset_id"], row["predicted"]))
        assert (row["model_label"], row["predicted_name"]) == (evaluation["model_label"], predicted)
        assert row["label_name"] == classes.get((evaluation["dataset_id"], row["label"]))
        clean = cleans[row["evaluation_id"], row["image_id"]]
        expected = (clean["correct"], clean["predicted_name"]) if evaluation["paired"] else (None, None)
        assert (row["clean_correct"], row["clean_predicted_name"]) == expected
        is_known = evaluation["paired"] or not row["severity"]
        assert row["file"] == (files[evaluation["dataset_id"], row["image_id"]]["file"] if is_known else None)


def comparable_id(facts: dict[str, Any]) -> str:
    """MD5 of dataset, images, source, averaging and class restriction."""
    among = "all outputs" if facts["class_protocol"] == "all" else "classes"
    known = [facts[name] for name in ("dataset_id", "subset_id", "source_id", "averaging")]
    return hashlib.md5("/".join([*filter(None, known), among]).encode()).hexdigest()


def compare_evaluation_labels(con: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(con, "evaluation_labels", ["evaluation_id"])
    evaluations = rows_of(con, "evaluations", ["evaluation_id"])
    dimensions = {f"{name}_id": rows_of(con, f"{name}s", [f"{name}_id"]) for name in ("model", "dataset", "source")}
    of_shifts = {
        key for key, row in evaluations.items() if dimensions["source_id"][(row["source_id"],)]["source_kind"] == "none"
    }
    assert rows.keys() == evaluations.keys() - of_shifts
    for key, row in rows.items():
        expected: dict[str, Any] = {}
        for name, dimension in dimensions.items():
            expected |= dimension[(evaluations[key][name],)]
        expected |= evaluations[key]
        expected["comparable_id"] = comparable_id(expected)
        expected["model_name"] = expected["model_label"].removesuffix(f", seed {expected['training_seed']}")
        assert row == {name: expected[name] for name in row}


def compare_accuracy_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    compare_metrics(con, "accuracy_by_severity", ["accuracy"], others=["clean_accuracy", "accuracy_drop"],
                    image_count="accuracy.n", correct_count="accuracy.count",
                    non_finite_count="non_finite_share.count")  # fmt: skip
    cells, expected = read_cells(con), {}
    for evaluation_id, corruption, keys in cells.curves():
        accuracies = {key[2]: correctness(cells.predictions[key]).mean() for key in keys}
        for severity, accuracy in accuracies.items():
            drop = {"clean_accuracy": accuracies[0], "accuracy_drop": accuracies[0] - accuracy}
            expected[evaluation_id, corruption, severity] = drop
    compare_rows(points_of(con, "accuracy_by_severity"), expected)


def compare_accuracy_by_model(con: duckdb.DuckDBPyConnection) -> None:
    labels = rows_of(con, "evaluation_labels", ["evaluation_id"])
    runs: dict[str, dict[str, Any]] = {key: row for (key,), row in labels.items()}
    kept = (*SAME_IMAGES, "model_name", "architecture", "variant", "precision", "class_protocol")
    alike: dict[Key, list[str]] = {}
    for evaluation_id, run in runs.items():
        recipe = (run["training_recipe"] or "").removesuffix(f", seed {run['training_seed']}")
        alike.setdefault((*(run[name] for name in kept), recipe), []).append(evaluation_id)
    model: dict[str, list[str]] = {}
    for ids in alike.values():
        seeds = {runs[one]["training_seed"] for one in ids} - {None}
        for group in [ids] if len(seeds) == len(ids) else [[one] for one in ids]:
            model[min(group, key=lambda one: runs[one]["training_seed"] or 0)] = group
    found: dict[Key, list[np.ndarray]] = {}
    cells = read_cells(con)
    for (evaluation_id, corruption, severity), key in cells.points().items():
        (first,) = [first for first, group in model.items() if evaluation_id in group]
        found.setdefault((first, corruption, severity), []).append(correctness(cells.predictions[key]))
    expected = {}
    for point, correct in found.items():
        accuracies = [one.mean() for one in correct]
        column = "model_name" if len(model[point[0]]) > 1 else "model_label"
        expected[point] = {
            "model_name": runs[point[0]][column], "seed_count": len(accuracies), "image_count": min(map(len, correct)),
            "mean_accuracy": np.mean(accuracies), "lowest_accuracy": min(accuracies),
            "highest_accuracy": max(accuracies),
            "accuracy_deviation": None if len(accuracies) == 1 else np.std(accuracies, ddof=1),
        }  # fmt: skip
    compare_rows(points_of(con, "accuracy_by_model"), expected)


def _errors(cells: Cells) -> dict[Key, tuple[float, dict[Decimal, float]]]:
    """Clean error and errors at whole severities, at all where none is whole, by evaluation and corruption.

    They are at the severities of every evaluation of the same images; at its own where there are none.
    """
    found = {}
    own: dict[Key, set[Decimal]] = {}
    for evaluation_id, _, (_, *keys) in cells.curves():
        own.setdefault(evaluation_id, set()).update(key[2] for key in keys)
    images = {e: tuple(cells.evaluations[e][name] for name in ("dataset_id", "source_id", "subset_id")) for e in own}
    for evaluation_id, corruption, (clean, *keys) in cells.curves():
        shared = set.intersection(*(own[other] for other in own if images[other] == images[evaluation_id]))
        kept = [key for key in keys if key[2] in (shared or own[evaluation_id])]
        averaged = [key for key in kept if key[2] in (1, 2, 3, 4, 5)] or kept
        levels = {key[2]: 1 - correctness(cells.predictions[key]).mean() for key in averaged}
        found[evaluation_id, corruption] = (1 - correctness(cells.predictions[clean]).mean(), levels)
    return found


def compare_corruption_error_by_model(con: duckdb.DuckDBPyConnection) -> None:
    expected = {
        key: {"mean_error": np.mean([*levels.values()]), "relative_error": np.mean([*levels.values()]) - clean,
              "worst_error": max(levels.values()), "severity_count": len(levels), "severities": [*levels]}
        for key, (clean, levels) in _errors(read_cells(con)).items()
    }  # fmt: skip
    compare_rows(rows_of(con, "corruption_error_by_model", ["evaluation_id", "corruption"]), expected)


def compare_robustness_by_model(con: duckdb.DuckDBPyConnection) -> None:
    errors, expected = _errors(read_cells(con)), {}
    headline = dict(con.sql("select corruption, headline from corruptions").pl().iter_rows())
    for evaluation_id in {key[0] for key in errors}:
        mine = {c: (clean, levels) for (e, c), (clean, levels) in errors.items() if e == evaluation_id}
        counted = [np.mean([*levels.values()]) for c, (_, levels) in mine.items() if headline[c]]
        expected[(evaluation_id,)] = {
            "corruption_count": len(counted), "extra_corruption_count": len(mine) - len(counted),
            "mean_corruption_error": np.mean(counted), "mean_corrupted_accuracy": 1 - np.mean(counted),
            "severity_count": max(len(levels) for _, levels in mine.values()),
            "severities": max(([*levels] for _, levels in mine.values()), key=len),
            "clean_accuracy": 1 - next(iter(mine.values()))[0],
        }  # fmt: skip
    compare_rows(rows_of(con, "robustness_by_model", ["evaluation_id"]), expected)


def compare_confusion_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, names, expected = read_cells(con), class_names(con), {}
    for point, key in cells.points().items():
        cell, dataset_id = cells.predictions[key], cells.evaluations[key[0]]["dataset_id"]
        classes = [-1, *sorted(i for d, i in names if d == dataset_id)]
        matrix = confusion_matrix(cell["label"], cell["predicted"].fill_null(-1), labels=classes)
        for label, place in zip(*np.nonzero(matrix), strict=True):
            predicted = None if classes[place] < 0 else classes[place]
            expected[(*point, classes[label], predicted)] = {
                "image_count": matrix[label, place], "label_name": names[dataset_id, classes[label]],
                "share_of_label": matrix[label, place] / matrix[label].sum(),
                "predicted_name": names.get((dataset_id, predicted)),
            }  # fmt: skip
    keys = ["evaluation_id", "corruption", "severity", "label", "predicted"]
    compare_rows(rows_of(con, "confusion_by_severity", keys), expected)


def compare_accuracy_by_class(con: duckdb.DuckDBPyConnection) -> None:
    cells, names, expected = read_cells(con), class_names(con), {}
    clean: dict[tuple[str, int], float] = {}
    for point, key in cells.points().items():
        label, prediction = _labels_and_predictions(cells, key)
        for index in sorted({*label, *prediction} - {-1}):
            of_class, taken = label == index, prediction == index
            correct = int((of_class & taken).sum())
            ends = binomtest(correct, int(of_class.sum())).proportion_ci(method="wilson") if of_class.any() else None
            accuracy = correct / of_class.sum() if ends else None
            if not point[2]:
                clean[point[0], index] = accuracy
            before = clean.get((point[0], index))
            expected[(*point, index)] = {
                "class_name": names[cells.evaluations[key[0]]["dataset_id"], index],
                "image_count": of_class.sum(), "correct_count": correct, "predicted_count": taken.sum(),
                "accuracy": accuracy,
                "accuracy_drop": None if accuracy is None or before is None else before - accuracy,
                "accuracy_low": ends and ends.low, "accuracy_high": ends and ends.high,
                "class_precision": correct / taken.sum() if taken.any() else None,
                "label_share": of_class.mean(), "predicted_share": taken.mean(),
            }  # fmt: skip
    keys = ["evaluation_id", "corruption", "severity", "class_index"]
    compare_rows(rows_of(con, "accuracy_by_class", keys), expected)


def compare_predictions_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, names, expected = read_cells(con), class_names(con), {}
    for point, key in cells.points().items():
        dataset_id = cells.evaluations[key[0]]["dataset_id"]
        label, prediction = _labels_and_predictions(cells, key)
        known = prediction[prediction >= 0]
        recalls = recall_score(label, prediction, labels=np.unique(label), average=None, zero_division=0)
        worst = int(np.unique(label)[np.argmin(recalls)])
        top = int(np.bincount(known).argmax()) if len(known) else None
        expected[point] = {
            "predicted_count": len(known), "predicted_class_count": len(np.unique(known)),
            "class_count": len(np.unique(label)), "top_prediction": top,
            "top_prediction_name": names.get((dataset_id, top)),
            "top_prediction_label_share": None if top is None else (label == top).mean(),
            "prediction_entropy_nats": entropy(np.bincount(known)) if len(known) else None,
            "label_entropy_nats": entropy(np.bincount(label)), "worst_class": worst,
            "worst_class_name": names[dataset_id, worst],
        }  # fmt: skip
    compare_rows(points_of(con, "predictions_by_severity"), expected)
    others = {name for figures in expected.values() for name in figures}
    compare_metrics(con, "predictions_by_severity", ["accuracy"], others=others, image_count="accuracy.n")


def _labels_and_predictions(cells: Cells, key: Key) -> tuple[np.ndarray, np.ndarray]:
    """(N,) labels and predictions of a cell; -1 for none of the classes."""
    cell = cells.predictions[key]
    return cell["label"].to_numpy(), cell["predicted"].fill_null(-1).to_numpy()


def _pairs(cells: Cells) -> set[tuple[str, str]]:
    """Two evaluations of the same images, in both orders."""
    of_images = {key: [row[name] for name in SAME_IMAGES] for key, row in cells.evaluations.items()}
    return {(a, b) for a in of_images for b in of_images if a != b and of_images[a] == of_images[b]}


def compare_model_disagreement(con: duckdb.DuckDBPyConnection) -> None:
    cells, expected = read_cells(con), {}
    labels = dict(con.sql("select evaluation_id, model_label from evaluation_labels").fetchall())
    for one, other in _pairs(cells):
        for point, key in cells.points().items():
            partner = cells.predictions.get((other, *key[1:]))
            if point[0] != one or partner is None or (labels[one], one) > (labels[other], other):
                continue
            a, b = correctness(cells.predictions[key]), correctness(partner)
            counts = confusion_matrix(a, b, labels=[True, False]).ravel().tolist()
            names = ("both_correct_count", "only_a_correct_count", "only_b_correct_count", "both_incorrect_count")
            agree = (cells.predictions[key]["predicted"] == partner["predicted"]).fill_null(False).mean()
            # Geirhos et al. 2020: error consistency is Cohen's kappa of the two correctness vectors
            kappa = None if len({*a, *b}) == 1 else cohen_kappa_score(a, b)
            expected[one, other, *point[1:]] = dict(zip(names, counts, strict=True)) | {
                "agree_share": agree, "error_consistency": kappa, "model_label_a": labels[one],
                "model_label_b": labels[other],
            }  # fmt: skip
    keys = ["evaluation_id_a", "evaluation_id_b", "corruption", "severity"]
    compare_rows(rows_of(con, "model_disagreement", keys), expected)


def compare_mce_by_baseline(con: duckdb.DuckDBPyConnection) -> None:
    """As the published code does it, over whole severities of headline corruptions."""
    cells, rows = read_cells(con), rows_of(con, "mce_by_baseline", ["evaluation_id", "baseline_id"])
    headline = dict(con.sql("select corruption, headline from corruptions").pl().iter_rows())
    errors: dict[str, dict[str, tuple[float, list[float]]]] = {}
    for evaluation_id, corruption, keys in cells.curves():
        if headline[corruption]:
            found = {key[2]: 1 - correctness(cells.predictions[key]).mean() for key in keys}
            whole = [error for severity, error in found.items() if severity in (1, 2, 3, 4, 5)]
            errors.setdefault(evaluation_id, {})[corruption] = (found[0], whole)
    assert rows.keys() == _pairs(cells)
    for (a, b), row in rows.items():
        shared = errors[a].keys() & errors[b].keys()
        assert row["cell_count"] == sum(min(len(errors[a][c][1]), len(errors[b][c][1])) for c in shared)
        if row["cell_count"] < 75:
            assert (row["mce"], row["relative_mce"]) == (None, None)
            assert row["reason"] == f"both have {row['cell_count']} of the 75 cells"
            continue
        assert row["mce"] == near(np.mean([sum(errors[a][c][1]) / sum(errors[b][c][1]) for c in shared]))
        rises = [[np.mean(levels) - clean for clean, levels in (errors[one][c] for c in shared)] for one in (a, b)]
        relative = None if min(rises[1]) <= 0 else np.mean(np.divide(*rises))
        assert row["relative_mce"] == near(relative)
        assert (row["reason"] is None) == (relative is not None)
