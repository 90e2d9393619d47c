"""What the references of the views compute from: the warehouse's tables of facts and dimensions, cell by cell."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
import pytest

Key = tuple[Any, ...]


def near(expected: Any) -> Any:
    """Equal up to rounding (columns are float32, sums are not); None equals only None; dicts and tuples by element."""
    if isinstance(expected, dict):
        return {name: near(value) for name, value in expected.items()}
    if isinstance(expected, tuple):
        return tuple(near(value) for value in expected)
    return expected if expected is None or isinstance(expected, str) else pytest.approx(expected, rel=2e-5, abs=2e-6)


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
    predictions = con.sql("select * exclude (logit_classes) from prediction_facts").pl().sort("image_id")
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


def class_names(con: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """Class name by data set and class index."""
    return {(d, i): n for d, i, n in con.sql("select dataset_id, class_index, class_name from classes").pl().rows()}
