"""Views of where along the curve images fail, computed without SQL."""

import duckdb
import numpy as np
from scipy.stats import binomtest
from view_cells import Key, correctness, near, points_of, read_cells, rows_of


def compare_failure_onset(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "failure_onset", ["evaluation_id", "corruption", "image_id"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        severities = [key[2] for key in keys]
        correct = np.stack([correctness(cells.predictions[key]) for key in keys])
        clean = cells.predictions[keys[0]]
        for image_id, label, series in zip(clean["image_id"], clean["label"], correct.T, strict=True):
            row, seen = rows[evaluation_id, corruption, image_id], seen + 1
            first = int(series.argmin()) if not series.all() else len(series)
            onset, last = ([None, *severities, None][place] for place in (first + 1, first))
            expected = {
                "label": label, "clean_correct": series[0], "onset_severity": onset, "last_correct_severity": last,
                "correctness_pattern": "".join("1" if value else "0" for value in series),
                "incorrect_count": (~series).sum(), "recovered": bool(series[first:].any()),
            }  # fmt: skip
            assert {name: row[name] for name in expected} == expected
    assert seen == len(rows)


def compare_onset_by_corruption(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows, seen = read_cells(con), points_of(con, "onset_by_corruption"), 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        correct = np.stack([correctness(cells.predictions[key]) for key in keys])
        correct = correct[:, correct[0]]
        for level, key in enumerate(keys):
            row, seen = rows[evaluation_id, corruption, key[2]], seen + 1
            at_risk, survived = correct[:level].all(0), correct[: level + 1].all(0)
            failed = at_risk & ~correct[level]
            assert (row["at_risk_count"], row["failed_count"]) == (at_risk.sum(), failed.sum())
            recovered = correct[level:, failed].any(0).mean() if failed.any() else None
            assert row["recovered_share"] == near(recovered)
            shares = [row[name] for name in ("surviving_share", "surviving_share_low", "surviving_share_high")]
            if not correct.shape[1]:
                assert shares == [None] * 3
                continue
            # nothing is censored before the end
            ends = binomtest(int(survived.sum()), len(survived)).proportion_ci(method="exact")
            assert shares == near([survived.mean(), ends.low, ends.high])
    assert seen == len(rows)


def compare_hardest_images(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "hardest_images", ["dataset_id", "image_id"])
    incorrect: dict[Key, list[bool]] = {}
    for evaluation_id, _, (_, *keys) in cells.curves(paired=True):
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for key in keys:
            cell = cells.predictions[key]
            for image_id, correct in zip(cell["image_id"], correctness(cell), strict=True):
                incorrect.setdefault((dataset_id, image_id), []).append(not correct)
    assert rows.keys() == incorrect.keys()
    for key, row in rows.items():
        assert (row["incorrect_count"], row["cell_count"]) == (sum(incorrect[key]), len(incorrect[key]))
        assert row["failure_share"] == near(np.mean(incorrect[key]))
