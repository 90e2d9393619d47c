"""Every view computed a second time, without SQL: from tables and metrics with NumPy, SciPy and scikit-learn.

Each `compare_*` takes an open warehouse, of any size, and asserts that the view says the same; `COMPARISONS` lists
them by view. What is taken from the warehouse are its tables of facts, dimensions and metrics (which have references of
their own in tests/warehouse/metrics).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
import pytest
from given_cells import in_choosing_half
from scipy.stats import binomtest, entropy
from sklearn.metrics import cohen_kappa_score, confusion_matrix, recall_score

from failmodes.warehouse.metrics.metric import all_metrics

Key = tuple[Any, ...]
OF_POINTS = {"evaluation_id", "corruption", "severity", "severity_before", "score", "target", "model_label",
             "corruption_label", "corruption_group", "corruption_order", "headline", "dataset_label",
             "reason", "level_value", "level_unit"}  # fmt: skip


def near(expected: Any) -> Any:
    """Floats up to rounding (columns are float32, sums are not), all else as it is; dicts by element."""
    if isinstance(expected, dict):
        return {name: near(value) for name, value in expected.items()}
    return pytest.approx(expected, rel=2e-5, abs=2e-6) if isinstance(expected, float | np.floating) else expected


class Cells(NamedTuple):
    """Predictions by stored cell (evaluation, corruption, severity), rows in order of image_id."""

    evaluations: dict[str, dict[str, Any]]
    predictions: dict[Key, pl.DataFrame]

    def curves(self, *, paired: bool = False) -> Iterator[tuple[str, str, list[Key]]]:
        """Evaluation, corruption, and the keys of its cells from clean on; `paired` leaves out the others."""
        for evaluation_id, corruption in sorted({key[:2] for key in self.predictions if key[1] != "none"}):
            if paired and not self.evaluations[evaluation_id]["paired"]:
                continue
            keys = sorted((k for k in self.predictions if k[:2] == (evaluation_id, corruption)), key=lambda k: k[2])
            clean = [k for k in self.predictions if k[:2] == (evaluation_id, "none")]
            yield evaluation_id, corruption, clean + keys

    def points(self, *, paired: bool = False) -> dict[Key, Key]:
        """Key of the stored cell by evaluation, corruption and severity of each point of a curve."""
        curves = self.curves(paired=paired)
        return {(evaluation_id, corruption, key[2]): key for evaluation_id, corruption, keys in curves for key in keys}


def read_cells(con: duckdb.DuckDBPyConnection, *, of_shifts: bool = False) -> Cells:
    """The cells of the evaluations of a study's own images, or of these and of natural shifts."""
    evaluations = con.sql("from evaluations").pl()
    if not of_shifts:
        evaluations = evaluations.join(con.sql("from sources where source_kind = 'none'").pl(), "source_id", "anti")
    predictions = con.sql("select * exclude (logit_classes) from prediction_facts").pl().sort("image_id")
    predictions = predictions.join(evaluations, "evaluation_id", "semi", maintain_order="left")
    cell = ["evaluation_id", "corruption", "severity"]
    return Cells(
        {row["evaluation_id"]: row for row in evaluations.iter_rows(named=True)},
        dict(predictions.partition_by(cell, as_dict=True, maintain_order=True)),
    )


def rows_of(con: duckdb.DuckDBPyConnection, view: str, key: list[str]) -> dict[Key, dict[str, Any]]:
    """Rows of a view by key; a key that repeats fails."""
    rows = con.sql(f"from {view}").pl().rows(named=True)
    by_key = {tuple(row[name] for name in key): row for row in rows}
    assert len(by_key) == len(rows), f"{view}: the grain is not {key}"
    return by_key


def points_of(con: duckdb.DuckDBPyConnection, view: str) -> dict[Key, dict[str, Any]]:
    """Rows of a view by evaluation, corruption and severity."""
    return rows_of(con, view, ["evaluation_id", "corruption", "severity"])


def compare_rows(rows: dict[Key, dict[str, Any]], expected: dict[Key, dict[str, Any]]) -> None:
    """Rows of a view have the expected keys, and in some columns the expected figures."""
    assert rows.keys() == expected.keys()
    for key, figures in expected.items():
        assert {name: rows[key][name] for name in figures} == near(figures), key


def correctness(cell: pl.DataFrame) -> np.ndarray:
    return cell["predicted"].fill_null(-1).to_numpy() == cell["label"].to_numpy()


def class_names(con: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """Class name by data set and class index."""
    return {(d, i): n for d, i, n in con.sql("select dataset_id, class_index, class_name from classes").pl().rows()}


def read_metrics(con: duckdb.DuckDBPyConnection) -> dict[Key, dict[str, dict[str, Any]]]:
    """Value, low, high, n and count (value times n) by evaluation, corruption, severity and score, then by metric."""
    found: dict[Key, dict[str, dict[str, Any]]] = {}
    for row in con.sql("from cell_metrics").pl().rows(named=True):
        key = row["evaluation_id"], row["corruption"], row["severity"], row["score"]
        found.setdefault(key, {})[row["metric"]] = row | {"count": round(row["value"] * row["n"])}
    return found


def compare_metrics(
    con: duckdb.DuckDBPyConnection,
    view: str,
    present: Collection[str] = (),
    *,
    others: Collection[str] = (),
    paired: bool = False,
    target: str | None = None,
    **columns: str,
) -> None:
    """A view has a row for each point whose cell has one of some metrics, and columns that are those of metrics.

    A column called METRIC, METRIC_low or METRIC_high is such by its name, one of `columns` is METRIC.n or METRIC.count;
    `others` are computed elsewhere, and that each of the rest is one of these is asserted.
    """
    stored, suffix = read_metrics(con), "_of_prediction" if target == "predicted" else ""
    rows = rows_of(con, f"(from {view} where target = '{target}')" if target else view,
                   ["evaluation_id", "corruption", "severity"])  # fmt: skip
    metrics = {point: stored.get((*cell, None), {}) for point, cell in read_cells(con).points(paired=paired).items()}
    expected = {point for point, own in metrics.items() if not present or any(name + suffix in own for name in present)}
    assert rows.keys() == expected
    for point, row in rows.items():
        compare_row(row, metrics[point], columns, others, suffix)


def compare_row(
    row: dict[str, Any], metrics: dict[str, dict[str, Any]], columns: dict[str, str], others: Collection[str],
    suffix: str = "",
) -> None:  # fmt: skip
    for column in row.keys() - OF_POINTS - set(others):
        name, _, part = columns.get(column, column).partition(".")
        if not part and name not in all_metrics():
            name, _, part = name.rpartition("_")
        name += suffix if name + suffix in all_metrics() else ""
        assert name in all_metrics(), f"{column} is no metric's"
        value = metrics.get(name, {}).get(part or "value")
        assert (row[column] or 0) == (value or 0) if part in ("n", "count") else row[column] == near(value), column


SAME_IMAGES = ("dataset_id", "source_id", "subset_id")
SCORES = ["evaluation_id", "corruption", "severity", "score"]
OF_CALIBRATION = ("accuracy", "max_calibration_error", "reliability", "bin_count", "resolution", "uncertainty")
FEWEST_MODELS = 5  # of a line


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


def compare_failure_onset(con: duckdb.DuckDBPyConnection) -> None:
    cells, expected = read_cells(con), {}
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        severities = [None, *(key[2] for key in keys), None]
        correct = np.stack([correctness(cells.predictions[key]) for key in keys])
        clean = cells.predictions[keys[0]]
        for image_id, label, series in zip(clean["image_id"], clean["label"], correct.T, strict=True):
            first = int(series.argmin()) if not series.all() else len(series)
            expected[evaluation_id, corruption, image_id] = {
                "label": label, "clean_correct": series[0], "onset_severity": severities[first + 1],
                "last_correct_severity": severities[first], "recovered": bool(series[first:].any()),
                "correctness_pattern": "".join("1" if value else "0" for value in series),
                "incorrect_count": (~series).sum(),
            }  # fmt: skip
    compare_rows(rows_of(con, "failure_onset", ["evaluation_id", "corruption", "image_id"]), expected)


def compare_onset_by_corruption(con: duckdb.DuckDBPyConnection) -> None:
    cells, expected = read_cells(con), {}
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        correct = np.stack([correctness(cells.predictions[key]) for key in keys])
        correct = correct[:, correct[0]]
        for level, key in enumerate(keys):
            at_risk, survived = correct[:level].all(0), correct[: level + 1].all(0)
            failed = at_risk & ~correct[level]
            # nothing is censored before the end
            ends = (
                binomtest(int(survived.sum()), len(survived)).proportion_ci(method="exact") if len(survived) else None
            )
            expected[evaluation_id, corruption, key[2]] = {
                "at_risk_count": at_risk.sum(), "failed_count": failed.sum(),
                "recovered_share": correct[level:, failed].any(0).mean() if failed.any() else None,
                "surviving_share": survived.mean() if ends else None,
                "surviving_share_low": ends and ends.low, "surviving_share_high": ends and ends.high,
            }  # fmt: skip
    compare_rows(points_of(con, "onset_by_corruption"), expected)


def compare_hardest_images(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    incorrect: dict[Key, list[bool]] = {}
    for evaluation_id, _, (_, *keys) in cells.curves(paired=True):
        for cell in (cells.predictions[key] for key in keys):
            for image_id, correct in zip(cell["image_id"], correctness(cell), strict=True):
                key = cells.evaluations[evaluation_id]["dataset_id"], image_id
                incorrect.setdefault(key, []).append(not correct)
    expected = {
        key: {"incorrect_count": sum(found), "cell_count": len(found), "failure_share": np.mean(found)}
        for key, found in incorrect.items()
    }
    compare_rows(rows_of(con, "hardest_images", ["dataset_id", "image_id"]), expected)


_OUTCOMES = ("stayed_correct", "became_incorrect", "became_correct", "stayed_incorrect", "changed")
compare_distortion_by_severity = partial(
    compare_metrics, view="distortion_by_severity", present=["accuracy"], paired=True, image_count="accuracy.n"
)
compare_transitions_against_clean = partial(
    compare_metrics, view="transitions_against_clean", present=["changed_share"], paired=True,
    image_count="changed_share.n",
    **{f"{name}_count": f"{name}_share.count" for name in _OUTCOMES},
)  # fmt: skip
compare_attention_by_outcome = partial(
    compare_metrics, view="attention_by_outcome", present=["correct_mean_cosine", "incorrect_mean_cosine"], paired=True,
    correct_count="correct_mean_cosine.n", incorrect_count="incorrect_mean_cosine.n",
)  # fmt: skip
compare_attention_by_prediction = partial(
    compare_metrics, view="attention_by_prediction", paired=True,
    present=["stayed_median_centroid_shift", "changed_median_centroid_shift"],
    stayed_count="stayed_median_centroid_shift.n", changed_count="changed_median_centroid_shift.n",
)  # fmt: skip


def compare_temperature_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    compare_metrics(con, "temperature_by_severity", image_count="scaled_nll_nats.n")
    rows = con.sql("from temperature_by_severity").pl()
    assert rows["reason"].is_null().equals(rows["image_count"].is_not_null())


def compare_margin_before_failure(con: duckdb.DuckDBPyConnection) -> None:
    names = [f"{name}_mean_margin_before" for name in ("failing", "surviving")]
    compare_metrics(con, "margin_before_failure", names, paired=True, failing_count=f"{names[0]}.n",
                    surviving_count=f"{names[1]}.n")  # fmt: skip
    rows = points_of(con, "margin_before_failure")
    for evaluation_id, corruption, keys in read_cells(con).curves():
        for before, key in zip(keys, keys[1:], strict=False):
            if row := rows.get((evaluation_id, corruption, key[2])):
                assert row["severity_before"] == before[2]


def compare_attention_by_target(con: duckdb.DuckDBPyConnection) -> None:
    for target in ("clean", "predicted"):
        compare_metrics(con, "attention_by_target", ["empty_share"], target=target, image_count="empty_share.n",
                        empty_count="empty_share.count")  # fmt: skip


def compare_object_attention_by_target(con: duckdb.DuckDBPyConnection) -> None:
    for target in ("clean", "predicted"):
        compare_metrics(con, "object_attention_by_target", target=target, others=["missing_share"],
                        image_count="empty_share.n", object_count="even_mask_share.n", null_count="mean_over_null.n",
                        pointing_count="pointing_accuracy.n",
                        null_pointing_count="null_pointing_accuracy.n")  # fmt: skip
    for row in con.sql("from object_attention_by_target").pl().rows(named=True):
        missing = None if not row["image_count"] else 1 - (row["object_count"] or 0) / row["image_count"]
        assert row["missing_share"] == near(missing)
        assert (row["reason"] is not None) == (row["object_count"] is None or row["mean_over_null"] is None)


def _compare_one_target(con: duckdb.DuckDBPyConnection, view: str, both: str, target: str) -> None:
    """A view of one target has the rows of that target, without the column."""
    rows, every = con.table(view).pl(), con.table(both).pl().filter(target=target).drop("target")
    keys = ["evaluation_id", "corruption", "severity"]
    assert set(rows.columns) == set(every.columns)
    assert rows.sort(keys).equals(every.select(rows.columns).sort(keys))


_OF_MAPS, _OF_OBJECTS = "attention_by_target", "object_attention_by_target"
compare_attention_drift = partial(_compare_one_target, view="attention_drift", both=_OF_MAPS, target="clean")
compare_attention_drift_of_prediction = partial(
    _compare_one_target, view="attention_drift_of_prediction", both=_OF_MAPS, target="predicted"
)
compare_attention_on_object = partial(_compare_one_target, view="attention_on_object", both=_OF_OBJECTS, target="clean")
compare_attention_on_object_of_prediction = partial(
    _compare_one_target, view="attention_on_object_of_prediction", both=_OF_OBJECTS, target="predicted"
)


def compare_failure_prediction(con: duckdb.DuckDBPyConnection) -> None:
    cells, stored, rows = read_cells(con), read_metrics(con), rows_of(con, "failure_prediction", SCORES)
    known = cells.evaluations.keys()  # not of natural shifts
    assert rows.keys() == {key for key, metrics in stored.items() if "augrc" in metrics and key[0] in known}
    for key, row in rows.items():
        compare_row(row, stored[key], {"n": "augrc.n"}, ["failures"])
        if key[3] == "confidence":  # told for every image
            assert row["failures"] == (~correctness(cells.predictions[key[:3]])).sum()
        reason = {0: "no failure", row["n"]: "no correct prediction"}.get(row["failures"])
        assert row["reason"] == reason


def compare_failure_beyond_confidence(con: duckdb.DuckDBPyConnection) -> None:
    beyond = ("attention_spread", "attention_drift", "empty_map")
    stored, rows = read_metrics(con), rows_of(con, "failure_beyond_confidence", SCORES)
    known = read_cells(con).evaluations.keys()  # not of natural shifts
    assert rows.keys() == {key for key in stored if key[3] in beyond and key[0] in known}
    for key, row in rows.items():
        compare_row(row, stored[key], {}, ["image_count"])
        assert row["image_count"] == max(metric["n"] for metric in stored[key].values())
        assert (row["reason"] is None) == ("auroc_within" in stored[key])


def compare_selective_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, expected = read_cells(con), {}
    thresholds = rows_of(con, "thresholds", ["evaluation_id"])
    for point, key in cells.points().items():
        chosen, cell = thresholds[(point[0],)], cells.predictions[key]
        kept = cell.filter(~cell["image_id"].map_elements(in_choosing_half, pl.Boolean))
        if chosen["threshold"] is not None:
            assert chosen["score"] == "confidence"
            inside = kept.filter(pl.col("confidence") >= np.float32(chosen["threshold"]))
            expected[point] = {
                "accepted_share": inside.height / kept.height, "accepted_count": inside.height,
                "error_accepted": 1 - correctness(inside).mean() if inside.height else None,
                "image_count": kept.height, "threshold": chosen["threshold"],
            }  # fmt: skip
    compare_rows(points_of(con, "selective_by_severity"), expected)


compare_conformal_by_severity = partial(
    compare_metrics, view="conformal_by_severity", present=["lac_coverage"], image_count="lac_coverage.n"
)


def _bins(cell: pl.DataFrame) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Confidences and correctness by bin of 15, [low, high), 1.0 in the last, of images with finite logits."""
    cell = cell.drop_nulls("confidence")
    confidence, correct = cell["confidence"].to_numpy().astype(np.float64), correctness(cell)
    index = np.digitize(confidence, [one / 15 for one in range(1, 15)])
    return {int(one): (confidence[index == one], correct[index == one]) for one in np.unique(index)}


def compare_calibration_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    compare_metrics(con, "calibration_by_severity", ["ece"], others=OF_CALIBRATION, image_count="mean_confidence.n")
    cells = read_cells(con)
    points, expected = cells.points(), {}
    for point in points_of(con, "calibration_by_severity"):
        cell = cells.predictions[points[point]]
        bins, correct = _bins(cell).values(), correctness(cell.drop_nulls("confidence"))
        gaps = [abs(right.mean() - confidence.mean()) for confidence, right in bins]
        reliability = np.average(np.square(gaps), weights=[len(right) for _, right in bins])
        squares = sum(((confidence.mean() - right) ** 2).sum() for confidence, right in bins)
        expected[point] = {
            "accuracy": correct.mean(), "bin_count": 15, "max_calibration_error": max(gaps),
            "reliability": reliability, "uncertainty": correct.var(),
            "resolution": reliability + correct.var() - squares / len(correct),
        }  # fmt: skip
    compare_rows(points_of(con, "calibration_by_severity"), expected)


def compare_reliability_bins(con: duckdb.DuckDBPyConnection) -> None:
    cells, expected = read_cells(con), {}
    for point, key in cells.points().items():
        for index, (confidence, correct) in _bins(cells.predictions[key]).items():
            ends = binomtest(int(correct.sum()), len(correct)).proportion_ci(0.95, "wilson")
            expected[(*point, index)] = {
                "bin_low": index / 15, "bin_high": (index + 1) / 15, "image_count": len(correct),
                "mean_confidence": confidence.mean(), "accuracy": correct.mean(), "accuracy_low": ends.low,
                "accuracy_high": ends.high,
            }  # fmt: skip
    compare_rows(rows_of(con, "reliability_bins", [*SCORES[:3], "bin_index"]), expected)


def compare_confident_failures(con: duckdb.DuckDBPyConnection) -> None:
    cells, names, expected = read_cells(con), class_names(con), {}
    for key, cell in cells.predictions.items():
        dataset_id = cells.evaluations[key[0]]["dataset_id"]
        for row in cell.filter(pl.col("confidence") >= np.float32(0.9), pl.col("predicted") != pl.col("label")).rows(
            named=True
        ):
            labels = {f"{name}_name": names[dataset_id, row[name]] for name in ("label", "predicted")}
            expected[(*key, row["image_id"])] = row | labels
    rows = rows_of(con, "confident_failures", [*SCORES[:3], "image_id"])
    columns = set(con.table("confident_failures").columns)
    compare_rows(rows, {key: {name: row[name] for name in columns & row.keys()} for key, row in expected.items()})


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


COMPARISONS: dict[str, Callable[[duckdb.DuckDBPyConnection], None]] = {
    name.removeprefix("compare_"): function
    for name, function in globals().copy().items()
    if name.startswith("compare_") and name not in ("compare_metrics", "compare_row", "compare_rows")
}
