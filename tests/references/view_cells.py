"""What the references of the views compute from: the warehouse's tables of facts and dimensions, and its metrics."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl
import pytest

from failmodes.warehouse.metrics.metric import all_metrics

Key = tuple[Any, ...]
OF_POINTS = {"evaluation_id", "corruption", "severity", "severity_before", "score", "target", "model_label",
             "corruption_label", "corruption_group", "corruption_order", "headline", "dataset_label",
             "reason", "level_value", "level_unit"}  # fmt: skip


def near(expected: Any) -> Any:
    """Floats up to rounding (columns are float32, sums are not), all else as it is; dicts by element."""
    if isinstance(expected, dict):
        return {name: near(value) for name, value in expected.items()}
    return pytest.approx(expected, rel=2e-5, abs=2e-6) if isinstance(expected, float | np.floating) else expected


class Cells(NamedTuple):
    """Predictions by stored cell (evaluation, corruption, severity), rows in order of image_id."""

    evaluations: dict[str, dict[str, Any]]
    predictions: dict[Key, pl.DataFrame]

    def curves(self, *, paired: bool = False) -> Iterator[tuple[str, str, list[Key]]]:
        """Evaluation, corruption, and the keys of its cells from clean on; `paired` leaves out the others."""
        for evaluation_id, corruption in sorted({key[:2] for key in self.predictions if key[1] != "none"}):
            if paired and not self.evaluations[evaluation_id]["paired"]:
                continue
            keys = sorted((k for k in self.predictions if k[:2] == (evaluation_id, corruption)), key=lambda k: k[2])
            clean = [k for k in self.predictions if k[:2] == (evaluation_id, "none")]
            yield evaluation_id, corruption, clean + keys

    def points(self, *, paired: bool = False) -> dict[Key, Key]:
        """Key of the stored cell by evaluation, corruption and severity of each point of a curve."""
        curves = self.curves(paired=paired)
        return {(evaluation_id, corruption, key[2]): key for evaluation_id, corruption, keys in curves for key in keys}


def read_cells(con: duckdb.DuckDBPyConnection, *, of_shifts: bool = False) -> Cells:
    """The cells of the evaluations of a study's own images, or of these and of natural shifts."""
    evaluations = con.sql("from evaluations").pl()
    if not of_shifts:
        evaluations = evaluations.join(con.sql("from sources where source_kind = 'none'").pl(), "source_id", "anti")
    predictions = con.sql("select * exclude (logit_classes) from prediction_facts").pl().sort("image_id")
    predictions = predictions.join(evaluations, "evaluation_id", "semi", maintain_order="left")
    cell = ["evaluation_id", "corruption", "severity"]
    return Cells(
        {row["evaluation_id"]: row for row in evaluations.iter_rows(named=True)},
        dict(predictions.partition_by(cell, as_dict=True, maintain_order=True)),
    )


def rows_of(con: duckdb.DuckDBPyConnection, view: str, key: list[str]) -> dict[Key, dict[str, Any]]:
    """Rows of a view by key; a key that repeats fails."""
    rows = con.sql(f"from {view}").pl().rows(named=True)
    by_key = {tuple(row[name] for name in key): row for row in rows}
    assert len(by_key) == len(rows), f"{view}: the grain is not {key}"
    return by_key


def points_of(con: duckdb.DuckDBPyConnection, view: str) -> dict[Key, dict[str, Any]]:
    """Rows of a view by evaluation, corruption and severity."""
    return rows_of(con, view, ["evaluation_id", "corruption", "severity"])


def compare_rows(rows: dict[Key, dict[str, Any]], expected: dict[Key, dict[str, Any]]) -> None:
    """Rows of a view have the expected keys, and in some columns the expected figures."""
    assert rows.keys() == expected.keys()
    for key, figures in expected.items():
        assert {name: rows[key][name] for name in figures} == near(figures), key


def correctness(cell: pl.DataFrame) -> np.ndarray:
    return cell["predicted"].fill_null(-1).to_numpy() == cell["label"].to_numpy()


def class_names(con: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """Class name by data set and class index."""
    return {(d, i): n for d, i, n in con.sql("select dataset_id, class_index, class_name from classes").pl().rows()}


def read_metrics(con: duckdb.DuckDBPyConnection) -> dict[Key, dict[str, dict[str, Any]]]:
    """Value, low, high, n and count (value times n) by evaluation, corruption, severity and score, then by metric."""
    found: dict[Key, dict[str, dict[str, Any]]] = {}
    for row in con.sql("from cell_metrics").pl().rows(named=True):
        key = row["evaluation_id"], row["corruption"], row["severity"], row["score"]
        found.setdefault(key, {})[row["metric"]] = row | {"count": round(row["value"] * row["n"])}
    return found


def compare_metrics(
    con: duckdb.DuckDBPyConnection,
    view: str,
    present: Collection[str] = (),
    *,
    others: Collection[str] = (),
    paired: bool = False,
    target: str | None = None,
    **columns: str,
) -> None:
    """A view has a row for each point whose cell has one of some metrics, and columns that are those of metrics.

    A column called METRIC, METRIC_low or METRIC_high is such by its name, one of `columns` is METRIC.n or METRIC.count;
    `others` are computed elsewhere, and that each of the rest is one of these is asserted.
    """
    stored, suffix = read_metrics(con), "_of_prediction" if target == "predicted" else ""
    rows = rows_of(con, f"(from {view} where target = '{target}')" if target else view,
                   ["evaluation_id", "corruption", "severity"])  # fmt: skip
    metrics = {point: stored.get((*cell, None), {}) for point, cell in read_cells(con).points(paired=paired).items()}
    expected = {point for point, own in metrics.items() if not present or any(name + suffix in own for name in present)}
    assert rows.keys() == expected
    for point, row in rows.items():
        compare_row(row, metrics[point], columns, others, suffix)


def compare_row(
    row: dict[str, Any], metrics: dict[str, dict[str, Any]], columns: dict[str, str], others: Collection[str],
    suffix: str = "",
) -> None:  # fmt: skip
    for column in row.keys() - OF_POINTS - set(others):
        name, _, part = columns.get(column, column).partition(".")
        if not part and name not in all_metrics():
            name, _, part = name.rpartition("_")
        name += suffix if name + suffix in all_metrics() else ""
        assert name in all_metrics(), f"{column} is no metric's"
        value = metrics.get(name, {}).get(part or "value")
        assert (row[column] or 0) == (value or 0) if part in ("n", "count") else row[column] == near(value), column
