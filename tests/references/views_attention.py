"""The views of attention, computed without SQL."""

from typing import Any

import duckdb
import numpy as np
import polars as pl
from scipy.stats import norm, rankdata
from sklearn.metrics import roc_auc_score
from view_cells import Cells, Key, correctness, mean, near, read_cells, rows_of

_MEANS = {
    "mean_spread": "spread", "mean_attention_entropy_nats": "attention_entropy_nats", "mean_mask_share": "mask_share",
    "mean_centroid_shift": "centroid_shift", "mean_cosine": "cosine",
    "null_mean_cosine": "null_cosine",
    "null_class_mean_centroid_shift": "null_class_centroid_shift", "null_class_mean_cosine": "null_class_cosine",
}  # fmt: skip

_QUANTILES = {
    "median_centroid_shift": ("centroid_shift", 0.5), "null_median_centroid_shift": ("null_centroid_shift", 0.5),
    "null_q025_centroid_shift": ("null_centroid_shift", 0.025),
    "null_q975_centroid_shift": ("null_centroid_shift", 0.975),
}  # fmt: skip


def compare_attention_by_target(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "attention_by_target", ["evaluation_id", "corruption", "severity", "target"])
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
                _compare_attention(row, cell, _areas(cell, dataset_id, areas))
                assert row["accuracy"] == near(correctness(cells.predictions[key]).mean())
                seen += 1
    assert seen == len(rows)


def _areas(cell: pl.DataFrame, dataset_id: str, areas: dict[tuple[str, int], float]) -> pl.Series:
    """Share of the image that is object: in this cell, else in the clean image."""
    clean = pl.Series([areas.get((dataset_id, image_id)) for image_id in cell["image_id"]], dtype=pl.Float64)
    return cell["mask_area"].cast(pl.Float64).fill_null(clean)


def compare_object_attention_by_target(con: duckdb.DuckDBPyConnection) -> None:
    cells = read_cells(con)
    rows = rows_of(con, "object_attention_by_target", ["evaluation_id", "corruption", "severity", "target"])
    areas = {(d, i): a for d, i, a in con.sql("select dataset_id, image_id, mask_area from images").pl().iter_rows()}
    seen = 0
    for evaluation_id, corruption, keys in cells.curves():
        dataset_id = cells.evaluations[evaluation_id]["dataset_id"]
        for key in keys:
            for target in ("predicted", "clean"):
                row = rows[evaluation_id, corruption, key[2], target]
                seen += 1
                cell = cells.attention.get((*key, target))
                cell = cell.filter(pl.col("target_class").is_not_null()) if cell is not None else None
                if cell is None or cell["mask_share"].is_null().all():
                    assert row["object_count"] is None
                    assert row["reason"]
                else:
                    _compare_on_object(row, cell, _areas(cell, dataset_id, areas))
    assert seen == len(rows)


def _compare_on_object(row: dict[str, Any], cell: pl.DataFrame, area: pl.Series) -> None:
    assert row["image_count"] == cell.height
    cell = cell.with_columns(area=area).filter(pl.col("mask_share").is_not_null())
    own, null, even = (cell[name].cast(pl.Float64) for name in ("mask_share", "null_mask_share", "area"))
    over = (own - null).drop_nulls()
    pairs = cell.filter(pl.col("null_pointing_hit").is_not_null())
    difference = pairs["pointing_hit"].cast(pl.Float64) - pairs["null_pointing_hit"].cast(pl.Float64)
    expected = {
        "object_count": cell.height, "mean_mask_share": own.mean(),
        "even_mask_share": even.mean(), "mean_over_even": (own - even).mean(),
        "null_count": len(over), "null_mean_mask_share": null.mean(), "mean_over_null": over.mean(),
        "pointing_count": cell["pointing_hit"].drop_nulls().len(),
        "pointing_accuracy": cell["pointing_hit"].mean(), "null_pointing_count": pairs.height,
        "null_pointing_accuracy": pairs["null_pointing_hit"].mean(), "pointing_over_null": difference.mean(),
        "missing_share": 1 - cell.height / row["image_count"],
    }  # fmt: skip
    assert {name: row[name] for name in expected} == near(expected)
    for name, values in (("mean_mask_share", own), ("mean_over_even", own - even), ("mean_over_null", over)):
        if len(values) > 1:
            ends = mean_interval(values, (0 if name == "mean_mask_share" else -1), 1)
            assert (row[f"{name}_low"], row[f"{name}_high"]) == near(ends), name


def mean_interval(values: pl.Series, least: float, most: float) -> tuple[float, float]:
    """The normal interval of a mean at 95 %, within its range."""
    mean, half = float(values.mean()), norm.ppf(0.975) * float(values.std()) / len(values) ** 0.5
    return max(least, mean - half), min(most, mean + half)


def _compare_attention(row: dict[str, Any], cell: pl.DataFrame, area: pl.Series) -> None:
    lit = cell.filter(~pl.col("empty"))
    assert (row["image_count"], row["empty_count"]) == (cell.height, cell.height - lit.height)
    expected = {name: mean(lit[column]) for name, column in _MEANS.items()}
    expected |= {"mean_mass": mean(cell["mass"]), "mean_mask_area": mean(area)}
    for name, (column, level) in _QUANTILES.items():
        values = lit[column].drop_nulls().to_numpy()
        expected[name] = float(np.quantile(values, level)) if len(values) else None
    assert {name: row[name] for name in expected} == near(expected)


def _compare_one_target(con: duckdb.DuckDBPyConnection, view: str, both: str, target: str) -> None:
    """A view of one target has the rows of that target, without the column."""
    rows, every = con.table(view).pl(), con.table(both).pl().filter(target=target).drop("target")
    keys = ["evaluation_id", "corruption", "severity"]
    assert rows.sort(keys).equals(every.select(rows.columns).sort(keys))
    assert set(rows.columns) == set(every.columns)
    assert not rows.select(keys).is_duplicated().any()


def compare_attention_drift(con: duckdb.DuckDBPyConnection) -> None:
    _compare_one_target(con, "attention_drift", "attention_by_target", "clean")


def compare_attention_drift_of_prediction(con: duckdb.DuckDBPyConnection) -> None:
    _compare_one_target(con, "attention_drift_of_prediction", "attention_by_target", "predicted")


def compare_attention_on_object(con: duckdb.DuckDBPyConnection) -> None:
    _compare_one_target(con, "attention_on_object", "object_attention_by_target", "clean")


def compare_attention_on_object_of_prediction(con: duckdb.DuckDBPyConnection) -> None:
    _compare_one_target(con, "attention_on_object_of_prediction", "object_attention_by_target", "predicted")


def _drifts(cells: Cells, clean_key: Key, key: Key) -> pl.DataFrame | None:
    """Maps of the class predicted when clean, with what became of the predictions; None without maps."""
    maps = cells.attention.get((*key, "clean"))
    if maps is None:
        return None
    cell, clean = cells.predictions[key], cells.predictions[clean_key]
    outcomes = pl.DataFrame({
        "image_id": cell["image_id"],
        "correct": correctness(cell),
        "changed": outputs(cell) != outputs(clean),
    })  # fmt: skip
    return maps.join(outcomes, on="image_id")


def outputs(cell: pl.DataFrame) -> np.ndarray:
    return cell.select(pl.coalesce("predicted_output", "predicted").fill_null(-1)).to_series().to_numpy()


def compare_attention_by_outcome(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "attention_by_outcome", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, (clean_key, *keys) in cells.curves(paired=True):
        for key in keys:
            maps, row = _drifts(cells, clean_key, key), rows.get((evaluation_id, corruption, key[2]))
            if maps is None or maps["cosine"].is_null().all():
                assert row is None
                continue
            seen += 1
            for name, chosen in (("correct", maps.filter("correct")), ("incorrect", maps.filter(~pl.col("correct")))):
                assert row[f"{name}_median_centroid_shift"] == near(chosen["centroid_shift"].median())
                assert row[f"{name}_mean_cosine"] == near(mean(chosen["cosine"]))
                assert row[f"{name}_count"] == chosen["cosine"].drop_nulls().len()
            shown = maps.filter(~pl.col("empty"))
            assert row["null_median_centroid_shift"] == near(shown["null_centroid_shift"].median())
    assert seen == len(rows)


def compare_attention_by_prediction(con: duckdb.DuckDBPyConnection) -> None:
    cells, rows = read_cells(con), rows_of(con, "attention_by_prediction", ["evaluation_id", "corruption", "severity"])
    seen = 0
    for evaluation_id, corruption, (clean_key, *keys) in cells.curves(paired=True):
        for key in keys:
            maps, row = _drifts(cells, clean_key, key), rows.get((evaluation_id, corruption, key[2]))
            maps = None if maps is None else maps.drop_nulls("centroid_shift")
            if maps is None or maps.is_empty():
                assert row is None
                continue
            seen += 1
            stayed, changed = maps.filter(~pl.col("changed")), maps.filter("changed")
            assert (row["stayed_count"], row["changed_count"]) == (stayed.height, changed.height)
            assert row["stayed_median_centroid_shift"] == near(stayed["centroid_shift"].median())
            assert row["changed_median_centroid_shift"] == near(changed["centroid_shift"].median())
            assert row["null_class_median_centroid_shift"] == near(maps["null_class_centroid_shift"].median())
            compared = stayed.drop_nulls("null_class_centroid_shift")
            own, null = compared["centroid_shift"], compared["null_class_centroid_shift"]
            nearer = ((own < null).sum() + (own == null).sum() / 2) / compared.height if compared.height else None
            assert row["attention_consistency"] == near(nearer)
            area = (
                roc_auc_score(maps["changed"], rankdata(maps["centroid_shift"]))
                if 0 < changed.height < maps.height
                else None
            )
            assert row["attention_responsiveness"] == near(area)
    assert seen == len(rows)
