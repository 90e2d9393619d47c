"""The view of attention drift, computed without SQL."""

from typing import Any

import duckdb
import numpy as np
import polars as pl
from view_cells import correctness, mean, near, read_cells, rows_of

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
    cells = read_cells(con)
    rows = rows_of(con, "attention_drift", ["evaluation_id", "corruption", "severity", "target"])
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
