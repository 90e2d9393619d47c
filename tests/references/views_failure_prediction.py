"""Views of failure prediction, computed without SQL: scikit-learn, SciPy, and the definitions as they are written."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from scipy.optimize import brentq
from scipy.stats import norm, rankdata
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from view_cells import Cells, Key, correctness, near, read_cells, rows_of

SCORES = ("confidence", "margin", "entropy", "energy", "logit_gap", "attention_spread", "attention_drift")
BEYOND = ("attention_spread", "attention_drift", "empty_map")
FEW_ROWS = 200_000  # of more, each score is compared in a seventh of the cells


class Images(NamedTuple):
    """How sure (N,) of images, -inf where the score is no number, and which (N,) are failures."""

    certainty: np.ndarray
    failed: np.ndarray


def compare_failure_prediction(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "failure_prediction", ["evaluation_id", "corruption", "severity", "score"])
    seen = {key[:3] for key in rows}
    assert seen == set(cells.predictions)
    for key, score, images in _compared(cells):
        assert ((*key, score) in rows) == (len(images.failed) > 0), (key, score)
        if not len(images.failed):
            continue
        row = rows[*key, score]
        assert (row["n"], row["failures"]) == (len(images.failed), images.failed.sum())
        for name, expected in _metrics(images).items():
            assert row[name] == near(expected), (key, score, name)
        if row["auroc"] is not None:
            ends = newcombe_ends(row["auroc"], int(images.failed.sum()), int((~images.failed).sum()))
            assert (row["auroc_low"], row["auroc_high"]) == near(ends)
            assert row["augrc_low"] <= row["augrc"] <= row["augrc_high"]


def newcombe_ends(auroc: float, failures: int, correct: int) -> tuple[float, float]:
    """Method 5 of Newcombe 2006 at 95 %, by SciPy's root finding."""
    extra = (failures + correct) / 2 - 1

    def off(end: float) -> float:
        spread = 1 + extra * (1 - end) / (2 - end) + extra * end / (1 + end)
        return abs(auroc - end) - norm.ppf(0.975) * (end * (1 - end) * spread / (failures * correct)) ** 0.5

    least, most = 1e-12, 1 - 1e-12
    return (
        float(brentq(off, least, auroc)) if auroc > least and off(least) > 0 else 0.0,
        float(brentq(off, auroc, most)) if auroc < most and off(most) > 0 else 1.0,
    )


def compare_risk_coverage(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "risk_coverage", ["evaluation_id", "corruption", "severity", "score", "coverage"])
    seen = {key[:4] for key in rows}
    for key, score, images in _compared(cells):
        assert ((*key, score) in seen) == (len(images.failed) > 0)
        if len(images.failed):
            for percent in range(5, 101, 5):
                kept = len(images.failed) * percent / 100
                row = rows[*key, score, percent / 100]
                assert row["selective_risk"] == near(_failures_among(images, np.array([kept]))[0] / kept)


def images_of(cells: Cells, key: Key, score: str) -> Images:
    """Images of a cell that have a score, by its definition."""
    cell = cells.predictions[key]
    failed = ~correctness(cell)
    if score.startswith("attention_"):
        target, column = ("predicted", "spread") if score == "attention_spread" else ("clean", "centroid_shift")
        maps = cells.attention.get((*key, target))
        if maps is None or (score == "attention_drift" and key[1] == "none"):
            return Images(np.empty(0), np.empty(0, bool))
        of_image = dict(zip(cell["image_id"], failed, strict=True))
        failed = np.array([of_image[image_id] for image_id in maps["image_id"]], bool)
        certainty = -_numbers(maps[column])
        uncertain = np.full(len(certainty), not np.isnan(certainty).all())
    else:
        uncertain = ~cell["finite"].to_numpy()
        if score == "logit_gap":
            ordered = [sorted(logits)[-2:] if logits else [np.nan] * 2 for logits in cell["logits"].to_list()]
            certainty = np.diff(np.array(ordered, np.float32)).ravel()
        else:
            names = {"entropy": "entropy_nats", "energy": "log_sum_exp"}
            certainty = _numbers(cell[names.get(score, score)]) * (-1 if score == "entropy" else 1)
    kept = ~np.isnan(certainty) | uncertain
    return Images(np.where(np.isfinite(certainty), certainty, -np.inf)[kept], failed[kept])


def _numbers(column: pl.Series) -> np.ndarray:
    return column.cast(pl.Float32).fill_null(float("nan")).to_numpy()


def _compared(cells: Cells) -> Iterator[tuple[Key, str, Images]]:
    is_small = sum(cell.height for cell in cells.predictions.values()) <= FEW_ROWS
    for index, key in enumerate(cells.predictions):
        for place, score in enumerate(SCORES):
            if is_small or index % len(SCORES) == place:
                yield key, score, images_of(cells, key, score)


def _metrics(images: Images) -> dict[str, Any]:
    failed, count = images.failed, len(images.failed)
    ranks = rankdata(-images.certainty)  # 1 is the surest; also a score of how unsure, without infinities
    places = np.arange(1, count + 1)
    aurc = (_failures_among(images, places) / places).mean()
    reason = "no failure" if not failed.any() else "no correct prediction" if failed.all() else None
    found = {
        "aurc": aurc,
        "augrc": (1 - (ranks[failed] - 0.5) / count).sum() / count,
        "reason": reason,
    }
    if reason is not None:
        return {"auroc": None, "fpr95": None, "aupr": 1.0 if failed.all() else None, **found}
    false_rates, found_rates, _ = roc_curve(failed, ranks, drop_intermediate=False)
    return {
        "auroc": roc_auc_score(failed, ranks),
        "aupr": average_precision_score(failed, ranks),
        "fpr95": false_rates[np.argmax(found_rates >= 0.95)],
        **found,
    }


def _failures_among(images: Images, kept: np.ndarray) -> np.ndarray:
    """Failures among so many of the surest images, on average over the orders of those that tie."""
    values = np.unique(-images.certainty)
    ends = np.searchsorted(np.sort(-images.certainty), values, side="right")
    if len(values) < 50:
        failures = np.array([images.failed[-images.certainty <= value].sum() for value in values])
    else:
        failures = np.cumsum(images.failed[np.argsort(-images.certainty, kind="stable")])[ends - 1]
    return np.interp(kept, [0, *ends], [0, *failures])


def compare_failure_beyond_confidence(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "failure_beyond_confidence", ["evaluation_id", "corruption", "severity", "score"])
    found = {}
    for key in cells.predictions:
        for score in BEYOND:
            if (images := _images_with_confidence(cells, key, score)) is not None:
                found[*key, score] = _within(*images)
    assert rows.keys() == {key for key, (auroc, _) in found.items() if auroc is not None or key[-1] != "empty_map"}
    for key, row in rows.items():
        auroc, count = found[key]
        assert row["auroc_within"] == near(auroc), key
        assert row["image_count"] == count
        assert (row["reason"] is None) == (auroc is not None)
        assert auroc is None or row["auroc_within_low"] <= row["auroc_within"] <= row["auroc_within_high"]


def _images_with_confidence(cells: Cells, key: Key, score: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Certainty, failures and tenths by confidence of the images of a cell that have a map; None where none has."""
    maps = cells.attention.get((*key, "clean" if score == "attention_drift" else "predicted"))
    if maps is None or (score == "attention_drift" and key[1] == "none"):
        return None
    cell = cells.predictions[key]
    confidence = np.nan_to_num(_numbers(cell["confidence"]), nan=-np.inf)
    tenths = np.floor(10 * (rankdata(confidence) - 0.5) / len(confidence))
    place = {image_id: index for index, image_id in enumerate(cell["image_id"])}
    places = [place[image_id] for image_id in maps["image_id"]]
    column = {"attention_drift": "centroid_shift", "attention_spread": "spread", "empty_map": "empty"}[score]
    certainty = -_numbers(maps[column])
    if np.isnan(certainty).all() or (score == "empty_map" and not maps["empty"].any()):
        return None
    return np.where(np.isfinite(certainty), certainty, -np.inf), ~correctness(cell)[places], tenths[places]


def _within(certainty: np.ndarray, failed: np.ndarray, tenths: np.ndarray) -> tuple[float | None, int]:
    """AUROC within tenths, and images."""
    parts = []
    for tenth in np.unique(tenths):
        one = Images(certainty[tenths == tenth], failed[tenths == tenth])
        failures, correct = int(one.failed.sum()), int((~one.failed).sum())
        if min(failures, correct) > 1:
            parts.append((failures * correct, roc_auc_score(one.failed, rankdata(-one.certainty))))
    pairs = sum(part[0] for part in parts)
    return (sum(weight * value for weight, value in parts) / pairs if pairs else None), len(failed)
