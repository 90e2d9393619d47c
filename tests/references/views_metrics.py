"""Views that lay metrics out in columns, and those of what stands beside metrics of confidence and attention."""

from functools import partial

import duckdb
import numpy as np
import polars as pl
from given_cells import in_choosing_half
from scipy.stats import binomtest
from view_cells import (
    class_names,
    compare_metrics,
    compare_row,
    compare_rows,
    correctness,
    near,
    points_of,
    read_cells,
    read_metrics,
    rows_of,
)

SCORES = ["evaluation_id", "corruption", "severity", "score"]
OF_CALIBRATION = ("accuracy", "max_calibration_error", "reliability", "bin_count", "resolution", "uncertainty")


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
