"""Views of accuracy, corruption error, confusion, disagreement and distortion, computed without SQL."""

from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest, norm, sem
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix
from view_cells import Cells, Key, class_names, correctness, mean, near, read_cells, rows_of


def compare_outcomes(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.sql("from outcomes").pl().sort("evaluation_id", "corruption", "severity", "image_id")
    raw = con.sql("from prediction_facts").pl().sort("evaluation_id", "corruption", "severity", "image_id")
    assert set(rows.columns) == {*raw.columns, "correct"}
    assert rows.select(raw.columns).equals(raw)
    assert rows["correct"].to_list() == list(correctness(raw))


def compare_predictions(con: duckdb.DuckDBPyConnection) -> None:
    keys = ["evaluation_id", "corruption", "severity", "image_id"]
    rows, raw = con.sql("from predictions").pl().sort(keys), con.sql("from prediction_facts").pl().sort(keys)
    assert rows.select(raw.columns).equals(raw)
    assert rows["correct"].to_list() == list(correctness(raw))
    labels = rows_of(con, "evaluation_labels", ["evaluation_id"])
    classes = {
        (row["dataset_id"], row["class_index"]): row["class_name"]
        for row in con.sql("from classes").pl().rows(named=True)
    }
    for row in rows.rows(named=True):
        evaluation = labels[(row["evaluation_id"],)]
        dataset = evaluation["dataset_id"]
        assert row["model_label"] == evaluation["model_label"]
        assert row["label_name"] == classes.get((dataset, row["label"]))
        other = "another class" if row["finite"] else None
        assert row["predicted_name"] == (
            other if row["predicted"] is None else classes.get((dataset, row["predicted"]))
        )


def compare_evaluation_labels(con: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(con, "evaluation_labels", ["evaluation_id"])
    evaluations = rows_of(con, "evaluations", ["evaluation_id"])
    dimensions = [rows_of(con, name, [key]) for name, key in
                  (("models", "model_id"), ("datasets", "dataset_id"), ("sources", "source_id"))]  # fmt: skip
    assert rows.keys() == evaluations.keys()
    for key, row in rows.items():
        expected = dict(evaluations[key])
        for dimension, name in zip(dimensions, ("model_id", "dataset_id", "source_id"), strict=True):
            expected = {**dimension[(row[name],)], **expected}
        expected["model_name"] = expected["model_label"].removesuffix(f", seed {expected['training_seed']}")
        assert row == {name: expected[name] for name in row}


def compare_accuracy_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "accuracy_by_severity", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        clean = accuracy_score(np.ones(cells.predictions[keys[0]].height), correctness(cells.predictions[keys[0]]))
        for key in keys:
            cell, row = cells.predictions[key], rows[evaluation_id, corruption, key[2]]
            correct = correctness(cell)
            accuracy = accuracy_score(np.ones(len(correct)), correct)
            assert row["accuracy"] == pytest.approx(accuracy, rel=1e-12)
            low, high = binomtest(int(correct.sum()), len(correct)).proportion_ci(method="exact")
            assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((low, high), rel=1e-9, abs=1e-12)
            expected = {
                "image_count": len(correct), "correct_count": correct.sum(), "clean_accuracy": clean,
                "accuracy_drop": clean - accuracy, "error": 1 - accuracy,
                "mean_confidence": mean(cell["confidence"]),
                "mean_entropy_nats": mean(cell["entropy_nats"]), "nll_nats": mean(cell["loss_nats"]),
                "top5_accuracy": (cell["label_rank"].fill_null(99) <= 5).mean(),
                "non_finite_count": (~cell["finite"]).sum(), "mean_rmse": mean(cell["rmse"]),
                "mean_ssim": mean(cell["ssim"]),
            }  # fmt: skip
            assert {name: row[name] for name in expected} == near(expected)
            seen += 1
    assert seen == len(rows)


def compare_accuracy_by_model(con: duckdb.DuckDBPyConnection) -> None:
    labels = rows_of(con, "evaluation_labels", ["evaluation_id"])
    runs: dict[str, dict[str, Any]] = {key: row for (key,), row in labels.items()}
    kept = ("dataset_id", "source_id", "subset_id", "model_name", "architecture", "variant", "precision",
            "class_protocol")  # fmt: skip
    alike: dict[Key, list[str]] = {}
    for evaluation_id, run in runs.items():
        seed = run["training_seed"]
        recipe = (run["training_recipe"] or "").removesuffix(f", seed {seed}")
        alike.setdefault((*(run[name] for name in kept), recipe), []).append(evaluation_id)
    model: dict[str, list[str]] = {}
    for ids in alike.values():
        seeds = {runs[one]["training_seed"] for one in ids} - {None}
        groups = [ids] if len(seeds) == len(ids) else [[one] for one in ids]
        for group in groups:
            model[min(group, key=lambda one: runs[one]["training_seed"] or 0)] = group
    expected: dict[Key, list[tuple[int, float]]] = {}
    cells = read_cells(con)
    for evaluation_id, corruption, keys in cells.curves():
        (first,) = [first for first, group in model.items() if evaluation_id in group]
        for key in keys:
            correct = correctness(cells.predictions[key])
            expected.setdefault((first, corruption, key[2]), []).append((len(correct), float(correct.mean())))
    rows = rows_of(con, "accuracy_by_model", ["evaluation_id", "corruption", "severity"])
    assert rows.keys() == expected.keys()
    for found_key, row in rows.items():
        counts, accuracies = zip(*expected[found_key], strict=True)
        column = "model_name" if len(model[found_key[0]]) > 1 else "model_label"
        assert (row["model_name"], row["seed_count"]) == (runs[found_key[0]][column], len(accuracies))
        assert row["image_count"] == min(counts)
        assert row["mean_accuracy"] == near(float(np.mean(accuracies)))
        assert (row["lowest_accuracy"], row["highest_accuracy"]) == near((min(accuracies), max(accuracies)))
        assert row["accuracy_deviation"] == near(None if len(accuracies) == 1 else float(np.std(accuracies, ddof=1)))


def compare_corruption_error_by_model(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "corruption_error_by_model", ["evaluation_id", "corruption"])
    errors = _errors(cells)
    assert rows.keys() == errors.keys()
    for key, row in rows.items():
        clean, levels = errors[key]
        assert row["mean_error"] == near(np.mean(levels))
        assert row["relative_error"] == near(np.mean(levels) - clean)
        assert row["worst_error"] == near(max(levels))
        assert row["severity_count"] == len(levels)


def compare_robustness_by_model(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "robustness_by_model", ["evaluation_id"])
    headline = dict(con.sql("select corruption, headline from corruptions").pl().iter_rows())
    errors = _errors(cells)
    assert rows.keys() == {(evaluation_id,) for evaluation_id in cells.evaluations}
    for (evaluation_id,), row in rows.items():
        mine = {c: levels for (e, c), (_, levels) in errors.items() if e == evaluation_id}
        counted = [np.mean(levels) for c, levels in mine.items() if headline[c]]
        assert row["corruption_count"] == len(counted)
        assert row["extra_corruption_count"] == len(mine) - len(counted)
        assert row["mean_corruption_error"] == near(np.mean(counted))
        assert row["mean_corrupted_accuracy"] == near(1 - np.mean(counted))
        assert row["severity_count"] == max(len(levels) for levels in mine.values())
        clean = next(cell for key, cell in cells.predictions.items() if key[:2] == (evaluation_id, "none"))
        assert row["clean_accuracy"] == near(correctness(clean).mean())


def _errors(cells: Cells) -> dict[Key, tuple[float, list[float]]]:
    found = {}
    for evaluation_id, corruption, (clean, *keys) in cells.curves():
        averaged = [key for key in keys if key[2] in (1, 2, 3, 4, 5)] or keys
        levels = [1 - correctness(cells.predictions[key]).mean() for key in averaged]
        found[evaluation_id, corruption] = (1 - correctness(cells.predictions[clean]).mean(), levels)
    return found


def compare_distortion_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "distortion_by_severity", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        before = None
        for key in keys:
            row, cell = rows[evaluation_id, corruption, key[2]], cells.predictions[key]
            rmse, ssim = (cell[name].to_numpy().astype(np.float64) for name in ("rmse", "ssim"))
            change = None if before is None else rmse - before
            expected = {
                "image_count": len(rmse), "mean_rmse": rmse.mean(), "mean_ssim": ssim.mean(),
                "rmse_q05": np.quantile(rmse, 0.05), "rmse_q95": np.quantile(rmse, 0.95),
                "ssim_q05": np.quantile(ssim, 0.05), "ssim_q95": np.quantile(ssim, 0.95),
                "rmse_change": None if change is None else change.mean(),
                "rmse_change_low": None if change is None else change.mean() - norm.ppf(0.975) * sem(change),
                "rmse_change_high": None if change is None else change.mean() + norm.ppf(0.975) * sem(change),
            }  # fmt: skip
            assert {name: row[name] for name in expected} == near(expected)
            before, seen = rmse, seen + 1
    assert seen == len(rows)


def compare_confusion_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    key = ["evaluation_id", "corruption", "severity", "label", "predicted"]
    cells, rows = read_cells(con), rows_of(con, "confusion_by_severity", key)
    names = class_names(con)
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for cell_key in keys:
            cell = cells.predictions[cell_key]
            classes = np.arange(-1, 1 + max(i for d, i in names if d == dataset_id))
            matrix = confusion_matrix(cell["label"].to_numpy(), cell["predicted"].fill_null(-1).to_numpy(),
                                      labels=classes)  # fmt: skip
            for label, predicted in zip(*np.nonzero(matrix), strict=True):
                expected = None if classes[predicted] < 0 else int(classes[predicted])
                row = rows[evaluation_id, corruption, cell_key[2], int(classes[label]), expected]
                assert row["image_count"] == matrix[label, predicted]
                assert row["share_of_label"] == near(matrix[label, predicted] / matrix[label].sum())
                assert row["label_name"] == names[dataset_id, int(classes[label])]
                assert row["predicted_name"] == (None if expected is None else names[dataset_id, expected])
                seen += 1
    assert seen == len(rows)


def compare_model_disagreement(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "model_disagreement", ["evaluation_id_a", "evaluation_id_b", "corruption", "severity"])
    curves = {(e, c): keys for e, c, keys in cells.curves()}
    labels = {
        row["evaluation_id"]: row["model_label"] for row in con.sql("from evaluation_labels").pl().rows(named=True)
    }
    same = ("dataset_id", "source_id", "subset_id")
    seen = 0
    for (one, corruption), keys in curves.items():
        for other in cells.evaluations:
            first, second = cells.evaluations[one], cells.evaluations[other]
            if any(first[k] != second[k] for k in same) or (labels[one], one) >= (labels[other], other):
                continue
            for key in keys:
                partner = cells.predictions.get((other, *key[1:]))
                if partner is not None:
                    row = rows[one, other, corruption, key[2]]
                    assert (row["model_label_a"], row["model_label_b"]) == (labels[one], labels[other])
                    _compare_pair(row, cells.predictions[key], partner)
                    seen += 1
    assert seen == len(rows)


def _compare_pair(row: dict[str, Any], one: pl.DataFrame, other: pl.DataFrame) -> None:
    a, b = correctness(one), correctness(other)
    matrix = confusion_matrix(a, b, labels=[True, False])
    names = ("both_correct_count", "only_a_correct_count", "only_b_correct_count", "both_incorrect_count")
    assert [row[name] for name in names] == matrix.ravel().tolist()
    agree = (one["predicted"] == other["predicted"]).fill_null(False)
    assert row["agree_share"] == near(agree.mean())
    constant = a.all() == b.all() and a.any() == b.any() and (a.all() or not a.any())
    # Geirhos et al. 2020: error consistency is Cohen's kappa of the two correctness vectors
    assert row["error_consistency"] == near(None if constant else cohen_kappa_score(a, b))


def compare_mce_by_baseline(con: duckdb.DuckDBPyConnection) -> None:
    """As the published code does it, over whole severities of headline corruptions."""
    cells, rows = read_cells(con), rows_of(con, "mce_by_baseline", ["evaluation_id", "baseline_id"])
    headline = dict(con.sql("select corruption, headline from corruptions").pl().iter_rows())
    errors: dict[str, dict[str, tuple[float, list[float]]]] = {}
    for evaluation_id, corruption, keys in cells.curves():
        found = [1 - correctness(cells.predictions[key]).mean() for key in keys]
        whole = [error for key, error in zip(keys, found, strict=True) if key[2] in (1, 2, 3, 4, 5)]
        if headline[corruption]:
            errors.setdefault(evaluation_id, {})[corruption] = (found[0], whole)
    same = ("dataset_id", "source_id", "subset_id")
    pairs = {(a, b) for a, x in cells.evaluations.items() for b, y in cells.evaluations.items()
             if a != b and all(x[name] == y[name] for name in same)}  # fmt: skip
    assert rows.keys() == pairs
    for (a, b), row in rows.items():
        shared = errors[a].keys() & errors[b].keys()
        assert row["cell_count"] == sum(min(len(errors[a][c][1]), len(errors[b][c][1])) for c in shared)
        if row["cell_count"] < 75:
            assert (row["mce"], row["relative_mce"]) == (None, None)
            assert row["reason"] == f"both have {row['cell_count']} of the 75 cells"
            continue
        assert row["mce"] == near(np.mean([sum(errors[a][c][1]) / sum(errors[b][c][1]) for c in shared]))
        rises = {c: np.mean(errors[b][c][1]) - errors[b][c][0] for c in shared}
        if min(rises.values()) <= 0:
            assert row["relative_mce"] is None
            assert row["reason"]
        else:
            mine = [(np.mean(errors[a][c][1]) - errors[a][c][0]) / rises[c] for c in shared]
            assert row["relative_mce"] == near(np.mean(mine))
