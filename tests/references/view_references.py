"""Every view computed a second time, without SQL: from the plain tables with NumPy, SciPy and scikit-learn.

Each `compare_*` takes an open warehouse, of any size, and asserts that the view says the same; `COMPARISONS` lists
them by view. The one thing taken from the warehouse is its tables of facts and dimensions.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest, sem
from sklearn.metrics import accuracy_score, cohen_kappa_score, confusion_matrix, log_loss

Key = tuple[Any, ...]


def near(expected: Any) -> Any:
    """Equal up to rounding (columns are float32, sums are not); None equals only None; dicts and tuples by element."""
    if isinstance(expected, dict):
        return {name: near(value) for name, value in expected.items()}
    if isinstance(expected, tuple):
        return tuple(near(value) for value in expected)
    return None if expected is None else pytest.approx(expected, rel=2e-5, abs=2e-6)


class Cells(NamedTuple):
    """Predictions and attention by stored cell (evaluation, corruption, severity), rows in order of image_id."""

    evaluations: dict[str, dict[str, Any]]
    predictions: dict[Key, pl.DataFrame]
    attention: dict[Key, pl.DataFrame]

    def curves(self, *, paired: bool = False) -> Iterator[tuple[str, str, list[Key]]]:
        """Evaluation, corruption, and the keys of its cells from clean on; `paired` leaves out the others."""
        for evaluation_id, corruption in sorted({key[:2] for key in self.predictions if key[1] != "none"}):
            if paired and not self.evaluations[evaluation_id]["paired"]:
                continue
            keys = sorted((k for k in self.predictions if k[:2] == (evaluation_id, corruption)), key=lambda k: k[2])
            clean = [k for k in self.predictions if k[:2] == (evaluation_id, "none")]
            yield evaluation_id, corruption, clean + keys


def read_cells(con: duckdb.DuckDBPyConnection) -> Cells:
    evaluations = con.sql("from evaluations").pl()
    predictions = con.sql("select * exclude (logit_classes) from predictions").pl().sort("image_id")
    attention = con.sql("from attention").pl().sort("image_id")
    cell = ["evaluation_id", "corruption", "severity"]
    return Cells(
        {row["evaluation_id"]: row for row in evaluations.iter_rows(named=True)},
        dict(predictions.partition_by(cell, as_dict=True, maintain_order=True)),
        dict(attention.partition_by([*cell, "target"], as_dict=True, maintain_order=True)),
    )


def rows_of(con: duckdb.DuckDBPyConnection, view: str, key: list[str]) -> dict[Key, dict[str, Any]]:
    """Rows of a view by key; a key that repeats fails."""
    rows = con.sql(f"from {view}").pl().rows(named=True)
    by_key = {tuple(row[name] for name in key): row for row in rows}
    assert len(by_key) == len(rows), f"{view}: the grain is not {key}"
    return by_key


def correctness(cell: pl.DataFrame) -> np.ndarray:
    predicted = cell["predicted"].fill_null(-1).to_numpy()
    return predicted == cell["label"].to_numpy()


def mean(values: pl.Series) -> float | None:
    kept = values.drop_nulls().to_numpy().astype(np.float64)
    return float(kept.sum() / len(kept)) if len(kept) else None


def compare_outcomes(con: duckdb.DuckDBPyConnection) -> None:
    rows = con.sql("from outcomes").pl().sort("evaluation_id", "corruption", "severity", "image_id")
    raw = con.sql("from predictions").pl().sort("evaluation_id", "corruption", "severity", "image_id")
    assert rows.columns == [*raw.columns, "correct"]
    assert rows.drop("correct").equals(raw)
    assert rows["correct"].to_list() == list(correctness(raw))


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
        assert row == {name: expected[name] for name in row}


def compare_accuracy_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "accuracy_by_severity", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        clean = accuracy_score(np.ones(cells.predictions[keys[0]].height), correctness(cells.predictions[keys[0]]))
        for key in keys:
            cell, row = cells.predictions[key], rows[evaluation_id, corruption, key[2]]
            right = correctness(cell)
            accuracy = accuracy_score(np.ones(len(right)), right)
            assert row["accuracy"] == pytest.approx(accuracy, rel=1e-12)
            low, high = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
            assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((low, high), rel=1e-9, abs=1e-12)
            expected = {
                "image_count": len(right), "correct_count": right.sum(), "clean_accuracy": clean,
                "accuracy_drop": clean - accuracy, "error": 1 - accuracy,
                "mean_confidence": mean(cell["confidence"]),
                "mean_entropy_nats": mean(cell["entropy_nats"]), "mean_loss_nats": mean(cell["loss_nats"]),
                "non_finite_count": (~cell["finite"]).sum(), "mean_rmse": mean(cell["rmse"]),
                "mean_ssim": mean(cell["ssim"]),
            }  # fmt: skip
            assert {name: row[name] for name in expected} == near(expected)
            seen += 1
    assert seen == len(rows)


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
                "rmse_change_error": None if change is None else sem(change),
            }  # fmt: skip
            assert {name: row[name] for name in expected} == near(expected)
            before, seen = rmse, seen + 1
    assert seen == len(rows)


def compare_confusion_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    key = ["evaluation_id", "corruption", "severity", "label", "predicted"]
    cells, rows = read_cells(con), rows_of(con, "confusion_by_severity", key)
    names = {(d, i): n for d, i, n in con.sql("select dataset_id, class_index, class_name from classes").pl().rows()}
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for cell_key in keys:
            cell = cells.predictions[cell_key]
            classes = np.arange(-1, 1 + max(i for d, i in names if d == dataset_id))
            matrix = confusion_matrix(cell["label"].to_numpy(), cell["predicted"].fill_null(-1).to_numpy(),
                                      labels=classes)  # fmt: skip
            for label, predicted in zip(*np.nonzero(matrix), strict=True):
                wanted = None if classes[predicted] < 0 else int(classes[predicted])
                row = rows[evaluation_id, corruption, cell_key[2], int(classes[label]), wanted]
                assert row["image_count"] == matrix[label, predicted]
                assert row["share_of_label"] == near(matrix[label, predicted] / matrix[label].sum())
                assert row["label_name"] == names[dataset_id, int(classes[label])]
                assert row["predicted_name"] == (None if wanted is None else names[dataset_id, wanted])
                seen += 1
    assert seen == len(rows)


def compare_reliability_bins(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "reliability_bins", ["evaluation_id", "corruption", "severity", "bin_index"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        for key in keys:
            for index, confidence, right in _bins(cells.predictions[key]):
                row = rows[evaluation_id, corruption, key[2], index]
                assert (row["bin_low"], row["bin_high"]) == near((index / 15, (index + 1) / 15))
                assert row["image_count"] == len(right)
                assert row["mean_confidence"] == near(confidence.mean())
                assert row["accuracy"] == near(right.mean())
                seen += 1
    assert seen == len(rows)


def compare_calibration_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "calibration_by_severity", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        for key in keys:
            cell, row = cells.predictions[key].filter(pl.col("confidence").is_not_null()), rows.get(
                (evaluation_id, corruption, key[2]))  # fmt: skip
            if cell.is_empty():
                assert row is None
                continue
            assert row is not None
            ece = sum(abs(right.mean() - confidence.mean()) * len(right) for _, confidence, right in _bins(cell))
            right = correctness(cell)
            assert (row["image_count"], row["bin_count"]) == (cell.height, 15)
            assert row["ece"] == near(ece / cell.height)
            assert row["mean_confidence"] == near(mean(cell["confidence"]))
            assert row["accuracy"] == near(right.mean())
            assert row["overconfidence"] == near(mean(cell["confidence"]) - right.mean())
            logits, labels = np.array(cell["logits"].to_list(), np.float64), cell["label"].to_numpy()
            if logits.shape[1] == cells_classes(con, cells, evaluation_id):
                p = np.exp(logits - logits.max(1, keepdims=True))
                p /= p.sum(1, keepdims=True)
                assert row["nll_nats"] == pytest.approx(log_loss(labels, p, labels=np.arange(p.shape[1])), rel=1e-4)
                brier = ((p - np.eye(p.shape[1])[labels]) ** 2).sum(1).mean()
                assert row["brier"] == pytest.approx(brier, rel=1e-4, abs=1e-5)
            seen += 1
    assert seen == len(rows)


def cells_classes(con: duckdb.DuckDBPyConnection, cells: Cells, evaluation_id: str) -> int:
    """Number of classes of the data set of an evaluation."""
    dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
    return int(con.sql("select class_count from datasets where dataset_id = $1", params=[dataset_id]).pl().item())


def _bins(cell: pl.DataFrame) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    cell = cell.filter(pl.col("confidence").is_not_null())
    confidence, right = cell["confidence"].to_numpy().astype(np.float64), correctness(cell)
    edges = [index / 15 for index in range(1, 15)]  # the last bin has no upper edge: 1.0 is in it
    index = np.digitize(confidence, edges)
    for bin_index in np.unique(index):
        inside = index == bin_index
        yield int(bin_index), confidence[inside], right[inside]


def compare_failure_onset(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "failure_onset", ["evaluation_id", "corruption", "image_id"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        severities = [key[2] for key in keys]
        right = np.stack([correctness(cells.predictions[key]) for key in keys])
        images, labels = cells.predictions[keys[0]]["image_id"], cells.predictions[keys[0]]["label"]
        for column, (image_id, label) in enumerate(zip(images, labels, strict=True)):
            series, row = right[:, column], rows[evaluation_id, corruption, image_id]
            wrong = np.flatnonzero(~series)
            first = int(wrong[0]) if len(wrong) else None
            assert row["label"] == label
            assert row["clean_correct"] == series[0]
            assert row["onset_severity"] == (None if first is None else severities[first])
            last = severities[-1] if first is None else severities[first - 1] if first else None
            assert row["last_right_severity"] == last
            assert row["correctness_pattern"] == "".join("1" if value else "0" for value in series)
            assert row["wrong_count"] == len(wrong)
            assert row["recovered"] == (first is not None and bool(series[first:].any()))
            seen += 1
    assert seen == len(rows)


def compare_onset_by_corruption(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "onset_by_corruption", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        right = np.stack([correctness(cells.predictions[key]) for key in keys])
        right = right[:, right[0]]
        surviving = 1.0
        for level, key in enumerate(keys):
            row = rows[evaluation_id, corruption, key[2]]
            at_risk = right[:level].all(0)
            failed = at_risk & ~right[level]
            surviving *= 1 - failed.sum() / at_risk.sum() if at_risk.any() else 1.0
            assert row["at_risk_count"] == at_risk.sum()
            assert row["failed_count"] == failed.sum()
            assert row["surviving_share"] == near(surviving)
            assert row["surviving_share"] == near(
                right[: level + 1].all(0).mean()
            )  # nothing is censored before the end
            recovered = right[level:, failed].any(0).mean() if failed.any() else None
            assert row["recovered_share"] == near(recovered)
            seen += 1
    assert seen == len(rows)


def compare_transitions_against_clean(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "transitions_against_clean", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, (clean_key, *keys) in cells.curves(paired=True):
        clean = correctness(cells.predictions[clean_key])
        clean_prediction = cells.predictions[clean_key]["predicted"].fill_null(-1).to_numpy()
        for key in keys:
            row, now = rows[evaluation_id, corruption, key[2]], correctness(cells.predictions[key])
            changed = cells.predictions[key]["predicted"].fill_null(-1).to_numpy() != clean_prediction
            matrix = confusion_matrix(clean, now, labels=[True, False])
            names = ("stayed_right_count", "broke_count", "repaired_count", "stayed_wrong_count")
            assert [row[name] for name in names] == matrix.ravel().tolist()
            assert (row["image_count"], row["changed_count"]) == (len(now), changed.sum())
            assert row["changed_share"] == near(changed.mean())
            seen += 1
    assert seen == len(rows)


_MEANS = {
    "mean_spread": "spread", "mean_attention_entropy_nats": "attention_entropy_nats", "mean_mask_share": "mask_share",
    "mean_centroid_shift": "centroid_shift", "mean_cosine": "cosine", "mean_w1_x": "w1_x", "mean_w1_y": "w1_y",
    "null_mean_cosine": "null_cosine", "null_mean_w1_x": "null_w1_x", "null_mean_w1_y": "null_w1_y",
    "null_class_mean_centroid_shift": "null_class_centroid_shift", "null_class_mean_cosine": "null_class_cosine",
}  # fmt: skip

_QUANTILES = {
    "median_centroid_shift": ("centroid_shift", 0.5), "null_median_centroid_shift": ("null_centroid_shift", 0.5),
    "null_q025_centroid_shift": ("null_centroid_shift", 0.025),
    "null_q975_centroid_shift": ("null_centroid_shift", 0.975),
}  # fmt: skip


def compare_attention_drift(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = (
        read_cells(con),
        rows_of(con, "attention_drift", ["evaluation_id", "corruption", "severity", "target"]),
    )
    areas = {(d, i): a for d, i, a in con.sql("select dataset_id, image_id, mask_area from images").pl().iter_rows()}
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for key in keys:
            for target in ("predicted", "clean"):
                cell = cells.attention.get((*key, target), pl.DataFrame({"target_class": []}))
                cell = cell.filter(pl.col("target_class").is_not_null())
                row = rows.get((evaluation_id, corruption, key[2], target))
                assert (row is None) == cell.is_empty()
                if row is None:
                    continue
                area = pl.Series([areas.get((dataset_id, image_id)) for image_id in cell["image_id"]], dtype=pl.Float64)
                _compare_attention(row, cell, area)
                assert row["accuracy"] == near(correctness(cells.predictions[key]).mean())
                seen += 1
    assert seen == len(rows)


def _compare_attention(row: dict[str, Any], cell: pl.DataFrame, area: pl.Series) -> None:
    lit = cell.filter(~pl.col("empty"))
    assert (row["image_count"], row["empty_count"]) == (cell.height, cell.height - lit.height)
    expected = {name: mean(lit[column]) for name, column in _MEANS.items()}
    expected |= {"mean_mass": mean(cell["mass"]), "mean_mask_area": mean(area)}
    for name, (column, level) in _QUANTILES.items():
        values = lit[column].drop_nulls().to_numpy()
        expected[name] = float(np.quantile(values, level)) if len(values) else None
    assert {name: row[name] for name in expected} == near(expected)


def compare_confident_failures(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "confident_failures", ["evaluation_id", "corruption", "severity", "image_id"])
    names = {(d, i): n for d, i, n in con.sql("select dataset_id, class_index, class_name from classes").pl().rows()}
    expected = {}
    for key, cell in cells.predictions.items():
        confident = (cell["confidence"].fill_null(0) >= np.float32(0.9)).to_numpy()
        for row in cell.filter(pl.Series(confident & ~correctness(cell))).iter_rows(named=True):
            expected[(*key, row["image_id"])] = row
    assert rows.keys() == expected.keys()
    for key, row in rows.items():
        dataset_id = cells.evaluations[key[0]]["dataset_id"]
        assert row["label_name"] == names[dataset_id, row["label"]]
        assert row["predicted_name"] == names[dataset_id, row["predicted"]]
        shared = row.keys() & expected[key].keys()
        assert {name: row[name] for name in shared} == {name: expected[key][name] for name in shared}


def compare_hardest_images(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "hardest_images", ["dataset_id", "image_id"])
    wrong: dict[Key, list[bool]] = {}
    for evaluation_id, _, (_, *keys) in cells.curves(paired=True):
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for key in keys:
            cell = cells.predictions[key]
            for image_id, right in zip(cell["image_id"], correctness(cell), strict=True):
                wrong.setdefault((dataset_id, image_id), []).append(not right)
    assert rows.keys() == wrong.keys()
    for key, row in rows.items():
        assert (row["wrong_count"], row["cell_count"]) == (sum(wrong[key]), len(wrong[key]))
        assert row["failure_share"] == near(np.mean(wrong[key]))


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
                twin = cells.predictions.get((other, *key[1:]))
                if twin is not None:
                    row = rows[one, other, corruption, key[2]]
                    assert (row["model_label_a"], row["model_label_b"]) == (labels[one], labels[other])
                    _compare_pair(row, cells.predictions[key], twin)
                    seen += 1
    assert seen == len(rows)


def _compare_pair(row: dict[str, Any], one: pl.DataFrame, other: pl.DataFrame) -> None:
    a, b = correctness(one), correctness(other)
    matrix = confusion_matrix(a, b, labels=[True, False])
    names = ("both_right_count", "only_a_right_count", "only_b_right_count", "both_wrong_count")
    assert [row[name] for name in names] == matrix.ravel().tolist()
    agree = (one["predicted"] == other["predicted"]).fill_null(False)
    assert row["agree_share"] == near(agree.mean())
    constant = a.all() == b.all() and a.any() == b.any() and (a.all() or not a.any())
    # Geirhos et al. 2020: error consistency is Cohen's kappa of the two correctness vectors
    assert row["error_consistency"] == near(None if constant else cohen_kappa_score(a, b))


COMPARISONS: dict[str, Callable[[duckdb.DuckDBPyConnection], None]] = {
    name.removeprefix("compare_"): function for name, function in list(globals().items()) if name.startswith("compare_")
}
