"""Views of confidence and calibration, computed without SQL."""

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn.metrics import log_loss
from view_cells import Cells, class_names, correctness, mean, near, read_cells, rows_of


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
            ece = sum(abs(correct.mean() - confidence.mean()) * len(correct) for _, confidence, correct in _bins(cell))
            correct = correctness(cell)
            assert (row["image_count"], row["bin_count"]) == (cell.height, 15)
            assert row["ece"] == near(ece / cell.height)
            gaps = [abs(correct.mean() - confidence.mean()) for _, confidence, correct in _bins(cell)]
            assert row["max_calibration_error"] == near(max(gaps))
            squares = sum(((confidence.mean() - correct) ** 2).sum() for _, confidence, correct in _bins(cell))
            assert row["reliability"] - row["resolution"] + row["uncertainty"] == near(squares / cell.height)
            counts = [len(correct) for _, _, correct in _bins(cell)]
            assert row["reliability"] == near(np.average(np.square(gaps), weights=counts))
            assert row["uncertainty"] == near(correctness(cell).var())
            if seen % 4 == 0:  # an integral and 2,000 draws a cell
                _compare_calibration(row, cell["confidence"].to_numpy().astype(np.float64), correct)
            assert row["mean_confidence"] == near(mean(cell["confidence"]))
            assert row["accuracy"] == near(correct.mean())
            assert row["overconfidence"] == near(mean(cell["confidence"]) - correct.mean())
            logits, labels = np.array(cell["logits"].to_list(), np.float64), cell["label"].to_numpy()
            if logits.shape[1] == _class_count(con, cells, evaluation_id):
                p = np.exp(logits - logits.max(1, keepdims=True))
                p /= p.sum(1, keepdims=True)
                assert row["nll_nats"] == pytest.approx(log_loss(labels, p, labels=np.arange(p.shape[1])), rel=1e-4)
                brier = ((p - np.eye(p.shape[1])[labels]) ** 2).sum(1).mean()
                assert row["brier"] == pytest.approx(brier, rel=1e-4, abs=1e-5)
            seen += 1
    assert seen == len(rows)


def _compare_calibration(row: dict[str, Any], confidence: np.ndarray, correct: np.ndarray) -> None:
    """ECE of equal mass, SmoothECE and the noise floor: by counting, by its integral, and by drawing."""
    lower = np.searchsorted(np.sort(confidence), confidence)
    bins = np.floor(lower * 15 / len(confidence)).astype(int)
    gap = sum(abs((confidence - correct)[bins == index].sum()) for index in range(15))
    assert row["equal_mass_ece"] == near(gap / len(confidence))
    assert row["smooth_ece"] == pytest.approx(smooth_ece_by_integral(confidence, correct), abs=0.002)
    rng = np.random.default_rng(0)
    drawn = rng.random((2_000, len(confidence))) < confidence
    fifteenth = np.minimum((confidence * 15).astype(int), 14)
    eces = sum(np.abs((confidence - drawn)[:, fifteenth == index].sum(1)) for index in np.unique(fifteenth))
    assert row["ece_noise_floor"] == pytest.approx(np.quantile(eces / len(confidence), 0.95), rel=0.1, abs=0.002)


def smooth_ece_by_integral(confidence: np.ndarray, correct: np.ndarray) -> float:
    """SmoothECE by its definition: no bins, a reflected Gaussian as wide as the error, 1/256 at least."""
    at = (np.arange(640) + 0.5) / 640  # closer by half than the narrowest kernel is wide
    values, places = np.unique(confidence, return_inverse=True)
    gaps = np.bincount(places, correct - confidence)

    def error(width: float) -> float:
        images = np.concatenate([2 * turn + sign * values for turn in range(-2, 3) for sign in (1, -1)])
        kernel = np.exp(-np.square((at[:, None] - images) / width) / 2) / (width * np.sqrt(2 * np.pi))
        return np.abs(np.einsum("ai,i->a", kernel, np.tile(gaps, 10))).mean() / len(confidence)

    if error(1 / 256) <= 1 / 256:
        return error(1 / 256)
    return brentq(lambda width: error(width) - width, 1 / 256, 1.5, xtol=1e-4)


def compare_reliability_bins(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "reliability_bins", ["evaluation_id", "corruption", "severity", "bin_index"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        for key in keys:
            for index, confidence, correct in _bins(cells.predictions[key]):
                row = rows[evaluation_id, corruption, key[2], index]
                assert (row["bin_low"], row["bin_high"]) == near((index / 15, (index + 1) / 15))
                assert row["image_count"] == len(correct)
                assert row["mean_confidence"] == near(confidence.mean())
                assert row["accuracy"] == near(correct.mean())
                ends = binomtest(int(correct.sum()), len(correct)).proportion_ci(0.95, "wilson")
                assert (row["accuracy_low"], row["accuracy_high"]) == near((ends.low, ends.high))
                seen += 1
    assert seen == len(rows)


def _class_count(con: duckdb.DuckDBPyConnection, cells: Cells, evaluation_id: str) -> int:
    """Number of classes of the data set of an evaluation."""
    dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
    return int(con.sql("select class_count from datasets where dataset_id = $1", params=[dataset_id]).pl().item())


def _bins(cell: pl.DataFrame) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    cell = cell.filter(pl.col("confidence").is_not_null())
    confidence, correct = cell["confidence"].to_numpy().astype(np.float64), correctness(cell)
    edges = [index / 15 for index in range(1, 15)]  # the last bin has no upper edge: 1.0 is in it
    index = np.digitize(confidence, edges)
    for bin_index in np.unique(index):
        inside = index == bin_index
        yield int(bin_index), confidence[inside], correct[inside]


def compare_confident_failures(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "confident_failures", ["evaluation_id", "corruption", "severity", "image_id"])
    names = class_names(con)
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


def compare_temperature_by_severity(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "temperature_by_severity", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        clean = _logits(cells.predictions[keys[0]])
        for key in keys:
            row = rows[evaluation_id, corruption, key[2]]
            seen += 1
            if clean is None or (mine := _logits(cells.predictions[key])) is None:
                assert row["image_count"] is None
                assert row["reason"] is not None
                continue
            fitted = {parity: _best_temperature(clean, 1 - parity) for parity in (0, 1)}
            assert (row["even_temperature"], row["odd_temperature"]) == near((fitted[0], fitted[1]))
            logits, labels, correct, parity = mine
            known = np.array([fitted[p] is not None for p in parity], bool)
            logits, labels, correct = logits[known], labels[known], correct[known]
            own = np.array([fitted[p] for p in parity[known]], float)[:, None]
            assert row["image_count"] == known.sum()
            kept = cells.predictions[key].filter("finite").drop_nulls("logits").filter(pl.Series(known))
            assert row["nll_nats"] == near(mean(kept["loss_nats"]))
            assert row["ece"] == near(_ece(kept["confidence"].to_numpy().astype(np.float64), correct))
            log_p = log_softmax(logits / own, axis=1)
            p = np.exp(log_p)
            assert row["scaled_nll_nats"] == near(-log_p[np.arange(len(labels)), labels].mean())
            assert row["scaled_ece"] == near(_ece(p.max(1), correct))
            assert row["scaled_mean_confidence"] == near(p.max(1).mean())
    assert seen == len(rows)


def _ece(confidence: np.ndarray, correct: np.ndarray) -> float:
    bins = np.minimum(confidence * 15, 14).astype(int)
    return sum(abs((confidence - correct)[bins == index].sum()) for index in range(15)) / len(correct)


def _logits(cell: pl.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None:
    """Logits, labels, whether right and parity of image_id, of the images of a cell that have all logits."""
    kept = cell.filter("finite").drop_nulls("logits")
    if kept.is_empty() or (kept["logits"].list.len() <= kept["label"]).any():
        return None
    logits = np.array(kept["logits"].to_list(), np.float64)
    return logits, kept["label"].to_numpy(), correctness(kept), kept["image_id"].to_numpy() % 2


def _best_temperature(clean: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], parity: int) -> float | None:
    """Of eighths of a doubling from 1/2 to 4 the one that fits best, which is next to SciPy's optimum."""
    logits, labels, _, parities = clean
    logits, labels = logits[parities == parity], labels[parities == parity]
    if not len(labels):
        return None

    def loss(step: float) -> float:
        return -log_softmax(logits / 2 ** (step / 8), axis=1)[np.arange(len(labels)), labels].mean()

    best = min(range(-8, 17), key=loss)
    optimum = minimize_scalar(loss, bounds=(-8, 16), method="bounded").x
    assert abs(best - optimum) <= 1 or loss(best) <= loss(optimum) + 1e-9
    return 2 ** (best / 8)
