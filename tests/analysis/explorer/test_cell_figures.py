"""The stored measures of a cell, against counts from its rows."""

from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from failmodes.analysis.explorer.cell_figures import (
    BINS,
    figures_sentence,
    full_bins,
    most_common_confusion,
    read_figures,
)
from failmodes.analysis.explorer.model_cell import ModelCell

NO_BREAK = "\N{NO-BREAK SPACE}"


def rows_of(path: Path, cell: ModelCell) -> pl.DataFrame:
    with duckdb.connect(str(path), read_only=True) as con:
        return con.sql(
            "select label, predicted, confidence from prediction_facts where evaluation_id = ? and corruption = ? "
            "and severity = ?",
            params=[cell.evaluation_id, cell.stored_corruption, cell.severity],
        ).pl()


@pytest.mark.parametrize("severity", [0.0, 5.0])
def test_figures_are_those_of_the_rows(
    con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell, severity: float
) -> None:
    cell = fog_cell._replace(severity=severity)
    rows, found = rows_of(explored, cell), read_figures(con, cell)
    correct = (rows["label"] == rows["predicted"]).to_numpy()
    confidence = rows["confidence"].to_numpy().astype(np.float64)
    assert found.figures["accuracy"] == correct.mean()
    assert found.figures["mean_confidence"] == pytest.approx(confidence.mean())
    names = ("zero", "one", "two", "three")
    counted = Counter((names[a], names[b]) for a, b in zip(rows["label"], rows["predicted"], strict=True))
    shown = {(row["label_name"], row["prediction"]): row["image_count"] for row in found.confusions.rows(named=True)}
    assert shown == dict(counted)
    edges = np.linspace(0, 1, BINS + 1)
    np.testing.assert_array_equal(found.bins["correct"], np.histogram(confidence[correct], edges)[0])
    np.testing.assert_array_equal(found.bins["incorrect"], np.histogram(confidence[~correct], edges)[0])
    assert found.risks.filter(coverage=1.0)["selective_risk"][0] == pytest.approx(1 - correct.mean())
    most_confident = np.argsort(-confidence, kind="stable")[: len(rows) // 2]
    assert found.risks.filter(coverage=0.5)["selective_risk"][0] == pytest.approx(1 - correct[most_confident].mean())


def test_every_bin_is_there_whether_it_occurred_or_not() -> None:
    bins = full_bins(pl.DataFrame({"bin_index": [14, 3], "image_count": [5, 2], "correct_count": [4, 0]}))
    assert bins.height == BINS
    assert bins.filter(pl.col("correct") + pl.col("incorrect") > 0).rows() == [
        (3 / 15, 4 / 15, 0, 2), (14 / 15, 1.0, 4, 1),
    ]  # fmt: skip


def test_sentences_say_accuracy_interval_confidence_and_confusion(
    con: duckdb.DuckDBPyConnection, fog_cell: ModelCell
) -> None:
    found = read_figures(con, fog_cell)
    text = figures_sentence(found).replace(NO_BREAK, " ")
    assert text.startswith(f"Right on {100 * found.figures['accuracy']:.1f}% [")
    assert "of 400 images" in text
    assert "points below clean" in text
    assert "points below clean" not in figures_sentence(read_figures(con, fog_cell._replace(severity=0.0)))
    nameless = found._replace(figures=found.figures | {"mean_confidence": None})
    assert figures_sentence(nameless).endswith("No confidence is a finite number.")
    assert most_common_confusion(found).startswith("Most frequent mistake: ")
    correct = found.confusions.filter(pl.col("label_name") == pl.col("prediction"))
    assert most_common_confusion(found._replace(confusions=correct)) == "No image is read wrong."
