"""Views of where along the curve images fail, computed without SQL."""

import duckdb
import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from view_cells import Key, correctness, mean, near, read_cells, rows_of


def compare_failure_onset(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "failure_onset", ["evaluation_id", "corruption", "image_id"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        severities = [key[2] for key in keys]
        correct = np.stack([correctness(cells.predictions[key]) for key in keys])
        images, labels = cells.predictions[keys[0]]["image_id"], cells.predictions[keys[0]]["label"]
        for column, (image_id, label) in enumerate(zip(images, labels, strict=True)):
            series, row = correct[:, column], rows[evaluation_id, corruption, image_id]
            incorrect = np.flatnonzero(~series)
            first = int(incorrect[0]) if len(incorrect) else None
            assert row["label"] == label
            assert row["clean_correct"] == series[0]
            assert row["onset_severity"] == (None if first is None else severities[first])
            last = severities[-1] if first is None else severities[first - 1] if first else None
            assert row["last_correct_severity"] == last
            assert row["correctness_pattern"] == "".join("1" if value else "0" for value in series)
            assert row["incorrect_count"] == len(incorrect)
            assert row["recovered"] == (first is not None and bool(series[first:].any()))
            seen += 1
    assert seen == len(rows)


def compare_onset_by_corruption(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "onset_by_corruption", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        correct = np.stack([correctness(cells.predictions[key]) for key in keys])
        correct = correct[:, correct[0]]
        surviving = 1.0
        for level, key in enumerate(keys):
            row = rows[evaluation_id, corruption, key[2]]
            at_risk = correct[:level].all(0)
            failed = at_risk & ~correct[level]
            surviving *= 1 - failed.sum() / at_risk.sum() if at_risk.any() else 1.0
            assert row["at_risk_count"] == at_risk.sum()
            assert row["failed_count"] == failed.sum()
            if not correct.shape[1]:
                assert row["surviving_share"] is row["surviving_share_low"] is row["surviving_share_high"] is None
                seen += 1
                continue
            assert row["surviving_share"] == near(surviving)
            # nothing is censored before the end
            never_incorrect = correct[: level + 1].all(0)
            assert row["surviving_share"] == near(never_incorrect.mean())
            low, high = binomtest(int(never_incorrect.sum()), len(never_incorrect)).proportion_ci(method="exact")
            assert (row["surviving_share_low"], row["surviving_share_high"]) == (near(low), near(high))
            recovered = correct[level:, failed].any(0).mean() if failed.any() else None
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
            names = ("stayed_correct_count", "became_incorrect_count", "became_correct_count", "stayed_incorrect_count")
            assert [row[name] for name in names] == matrix.ravel().tolist()
            assert (row["image_count"], row["changed_count"]) == (len(now), changed.sum())
            assert row["changed_share"] == near(changed.mean())
            seen += 1
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


def compare_margin_before_failure(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "margin_before_failure", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, keys in cells.curves(paired=True):
        correct = np.stack([correctness(cells.predictions[key]) for key in keys])
        for place in range(1, len(keys)):
            at_risk = correct[:place].all(axis=0)
            if not at_risk.any():
                assert (evaluation_id, corruption, keys[place][2]) not in rows
                continue
            row, margins = rows[evaluation_id, corruption, keys[place][2]], cells.predictions[keys[place - 1]]["margin"]
            seen += 1
            assert row["severity_before"] == keys[place - 1][2]
            for name, chosen in (("failing", at_risk & ~correct[place]), ("surviving", at_risk & correct[place])):
                assert row[f"{name}_count"] == chosen.sum()
                assert row[f"{name}_mean_margin_before"] == near(mean(margins.filter(chosen)))
    assert seen == len(rows)
