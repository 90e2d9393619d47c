"""Views of where along the curve images fail, computed without SQL."""

import duckdb
import numpy as np
from scipy.stats import binomtest
from view_cells import Key, compare_rows, correctness, points_of, read_cells, rows_of


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
