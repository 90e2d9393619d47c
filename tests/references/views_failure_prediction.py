"""Views of failure prediction, computed without SQL: scikit-learn, SciPy, and the definitions as they are written."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from view_cells import Cells, Key, correctness, near, read_cells, rows_of

SCORES = ("confidence", "margin", "entropy", "energy", "logit_gap", "attention_spread", "attention_drift")
BEYOND = ("attention_spread", "attention_drift", "empty_map")
FEW_ROWS = 200_000  # of more, each score is compared in a seventh of the pools
PAIRS = 2_000  # images of which all pairs are compared for a standard error


class Images(NamedTuple):
    """How sure (N,) of images, -inf where the score is no number, and which (N,) are failures."""

    certainty: np.ndarray
    failed: np.ndarray


def compare_failure_prediction(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "failure_prediction", ["evaluation_id", "corruption", "severity", "score"])
    pools = list(_pools(cells))
    assert rows.keys() == {(*pool, score) for pool, _ in pools for score in SCORES}
    for pool, score, images in _compared(cells, pools):
        row = rows[*pool, score]
        assert (row["n"], row["failures"]) == (len(images.failed), images.failed.sum())
        for name, expected in _measures(images).items():
            assert row[name] == near(expected), (pool, score, name)
        if None not in pool and len(images.failed) <= PAIRS:
            assert row["auroc_error"] == near(delong_error(images)), (pool, score)
        elif None in pool:
            assert row["auroc_error"] is None


def compare_risk_coverage(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "risk_coverage", ["evaluation_id", "corruption", "severity", "score", "coverage"])
    seen = {key[:4] for key in rows}
    for pool, score, images in _compared(cells, list(_pools(cells))):
        assert ((*pool, score) in seen) == (len(images.failed) > 0)
        if len(images.failed):
            for percent in range(5, 101, 5):
                kept = len(images.failed) * percent / 100
                row = rows[*pool, score, percent / 100]
                assert row["selective_risk"] == near(_failures_among(images, np.array([kept]))[0] / kept)


def images_of(cells: Cells, keys: list[Key], score: str) -> Images:
    """Images of some cells that have a score, by its definition."""
    parts = [_images(cells, key, score) for key in keys]
    if not parts:
        return Images(np.empty(0), np.empty(0, bool))
    return Images(*(np.concatenate([part[place] for part in parts]) for place in range(2)))


def _images(cells: Cells, key: Key, score: str) -> Images:
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


def _pools(cells: Cells) -> Iterator[tuple[Key, list[Key]]]:
    """Each cell, each corruption, each severity and all, with their cells."""
    for evaluation_id in cells.evaluations:
        mine = sorted(key for key in cells.predictions if key[0] == evaluation_id)
        yield from ((key, [key]) for key in mine)
        corrupted = [key for key in mine if key[1] != "none"]
        for name in {key[1] for key in corrupted}:
            yield (evaluation_id, name, None), [key for key in corrupted if key[1] == name]
        for level in {key[2] for key in corrupted}:
            yield (evaluation_id, None, level), [key for key in corrupted if key[2] == level]
        if corrupted:
            yield (evaluation_id, None, None), corrupted


def _compared(cells: Cells, pools: list[tuple[Key, list[Key]]]) -> Iterator[tuple[Key, str, Images]]:
    is_small = sum(cell.height for cell in cells.predictions.values()) <= FEW_ROWS
    for index, (pool, keys) in enumerate(pools):
        for place, score in enumerate(SCORES):
            if is_small or index % len(SCORES) == place:
                yield pool, score, images_of(cells, keys, score)


def _measures(images: Images) -> dict[str, Any]:
    failed, count = images.failed, len(images.failed)
    names = ("auroc", "aupr", "fpr95", "aurc", "excess_aurc", "augrc")
    if not count:
        return dict.fromkeys(names) | {"reason": "score not on record"}
    ranks = rankdata(-images.certainty)  # 1 is the surest; also a score of how unsure, without infinities
    places = np.arange(1, count + 1)
    aurc = (_failures_among(images, places) / places).mean()
    reason = "no failure" if not failed.any() else "no right answer" if failed.all() else None
    found = {
        "aurc": aurc,
        "excess_aurc": aurc - (np.sort(failed).cumsum() / places).mean(),
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


def delong_error(images: Images) -> float | None:
    """From all pairs: DeLong, DeLong and Clarke-Pearson 1988, equations 4 and 5."""
    failures, correct_counts = images.certainty[images.failed], images.certainty[~images.failed]
    if min(len(failures), len(correct_counts)) < 2:
        return None
    with np.errstate(invalid="ignore"):
        wins = (correct_counts[None] > failures[:, None]) + (correct_counts[None] == failures[:, None]) / 2
    variance = wins.mean(1).var(ddof=1) / len(failures) + wins.mean(0).var(ddof=1) / len(correct_counts)
    return float(np.sqrt(variance))


def compare_failure_beyond_confidence(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "failure_beyond_confidence", ["evaluation_id", "corruption", "severity", "score"])
    found = {}
    for key in cells.predictions:
        for score in BEYOND:
            if (images := _images_with_confidence(cells, key, score)) is not None:
                found[*key, score] = _within(*images)
    assert {key for key in rows if None not in key} == found.keys()
    for key, (auroc, error, pairs, failures, count) in found.items():
        assert rows[key]["auroc_within"] == near(auroc), key
        assert rows[key]["auroc_within_error"] == near(error), key
        counts = rows[key]["pair_count"], rows[key]["failure_count"], rows[key]["image_count"]
        assert counts == (pairs, failures, count)
        assert (rows[key]["reason"] is None) == (pairs > 0)
    for (evaluation_id, corruption, severity, score), row in rows.items():
        if corruption is None or severity is None:
            mine = [
                one for (e, c, s, name), one in found.items()
                if (e, name) == (evaluation_id, score) and c != "none"
                and corruption in (None, c) and severity in (None, s)
            ]  # fmt: skip
            pairs = sum(one[2] for one in mine)
            assert row["pair_count"] == pairs
            mean = sum(one[2] * one[0] for one in mine if one[2]) / pairs if pairs else None
            assert row["auroc_within"] == near(mean)


def _images_with_confidence(cells: Cells, key: Key, score: str) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Sureness, failures and tenths by confidence of the images of a cell that have a map; None where none has."""
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


def _within(
    certainty: np.ndarray, failed: np.ndarray, tenths: np.ndarray
) -> tuple[float | None, float | None, int, int, int]:
    """AUROC within tenths, its standard error, pairs, failures and images."""
    parts = []
    for tenth in np.unique(tenths):
        one = Images(certainty[tenths == tenth], failed[tenths == tenth])
        failures, correct_counts = int(one.failed.sum()), int((~one.failed).sum())
        if min(failures, correct_counts) > 1:
            parts.append(
                (failures * correct_counts, roc_auc_score(one.failed, rankdata(-one.certainty)), delong_error(one))
            )
    pairs = sum(part[0] for part in parts)
    if not pairs:
        return None, None, 0, int(failed.sum()), len(failed)
    auroc = sum(weight * value for weight, value, _ in parts) / pairs
    error = np.sqrt(sum((weight * error) ** 2 for weight, _, error in parts)) / pairs
    return auroc, error, pairs, int(failed.sum()), len(failed)
