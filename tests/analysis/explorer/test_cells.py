"""What the explorer reads, against counts from the rows: curves, cells and their stored metrics, slices, strips."""

import base64
import io
from collections import Counter
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from PIL import Image
from scipy.stats import binomtest
from synthetic_results import CURVES, Synthetic

from failmodes.analysis.evaluations.selection import select
from failmodes.analysis.explorer.cells import (
    BINS,
    ModelCell,
    Slice,
    accuracy_of,
    pictures_of,
    read_curves,
    read_figures,
    read_images,
    strip_of,
)
from failmodes.runtime.errors import QueryError, StudyError


def test_points_are_those_of_the_stored_cells(con: duckdb.DuckDBPyConnection, synthetic: Synthetic) -> None:
    points = read_curves(con, select(con)[0])
    assert points.height == 2 * len(CURVES) * 6
    for row in points.rows(named=True):
        correct = synthetic.correct[row["label"], row["corruption"]][int(row["severity"])]
        assert (row["accuracy"], row["image_count"]) == (correct.mean(), 400)
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


@pytest.mark.parametrize("severity", [0.0, 5.0])
def test_figures_are_those_of_the_rows(
    con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell, severity: float
) -> None:
    cell = fog_cell._replace(severity=severity)
    with duckdb.connect(str(explored), read_only=True) as own:
        rows = own.sql(
            "select label, predicted, confidence from prediction_facts where evaluation_id = ? and corruption = ? "
            "and severity = ?",
            params=[cell.evaluation_id, cell.stored_corruption, cell.severity],
        ).pl()
    found = read_figures(con, cell)
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


SLICES = {
    "everything": (Slice(), pl.lit(True)),
    "class": (Slice(true_class="two"), pl.col("label_name") == "two"),
    "pair": (
        Slice(true_class="two", prediction="one"),
        (pl.col("label_name") == "two") & (pl.col("predicted_name") == "one"),
    ),
    "condition": (Slice(condition="entropy_nats > 0.5 -- mine"), pl.col("entropy_nats") > 0.5),
    "brackets": (Slice(condition="(image_id < 9) or (image_id = 11)"), pl.col("image_id").is_in([*range(9), 11])),
    "subquery": (
        Slice(condition="confidence > (select avg(confidence) from cell)"),
        pl.col("confidence") > pl.col("confidence").mean(),
    ),
    "nothing": (Slice(condition="false"), pl.lit(False)),
}


@pytest.mark.parametrize("name", SLICES)
def test_a_slice_holds_the_images_that_fit(
    con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell, name: str
) -> None:
    which, fits = SLICES[name]
    images = read_images(con, explored, fog_cell, which)
    assert images.rows.height == 400
    assert set(images.chosen["image_id"]) == set(images.rows.filter(fits)["image_id"])
    assert bool(images.comparison) == (0 < images.chosen.height < 400)


def test_a_slice_has_the_interval_of_scipy(con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell) -> None:
    images = read_images(con, explored, fog_cell, Slice(true_class="one"))
    for rows in (images.chosen, images.rows.filter(~pl.col("in_slice"))):
        test = binomtest(int(rows["correct"].sum()), rows.height).proportion_ci(method="exact")
        assert accuracy_of(rows) == pytest.approx((rows["correct"].mean(), test.low, test.high))
        assert f"{100 * rows['correct'].mean():.1f}% [{100 * test.low:.1f}" in images.comparison


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("nope > 3", 'column "nope"'),
        ("confidence", "the condition is of type FLOAT: expected true or false"),
        ("true; select 1", "syntax error"),
        ("true) as x, (true", "syntax error"),
        ("read_text('/etc/passwd') is not null", ""),
        ("sum(confidence) > 1", ""),
    ],
)
def test_what_is_no_condition_is_one_line(
    con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell, condition: str, message: str
) -> None:
    with pytest.raises(QueryError) as caught:
        read_images(con, explored, fog_cell, Slice(condition=condition))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pictures_are_those_of_the_rows(con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell) -> None:
    images = read_images(con, explored, fog_cell, Slice(true_class="one"))
    rows = images.chosen.head(3)
    made = pictures_of(con, None, images, rows)
    assert [picture.row.image_id for picture in made.all] == rows["image_id"].to_list()
    with pytest.raises(StudyError, match="no image of this cell is in the slice"):
        pictures_of(con, None, images, rows.clear())


def test_a_strip_is_the_image_from_clean_to_the_last_severity(
    con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell
) -> None:
    (selection,) = select(con)
    strip = strip_of(con, None, selection, fog_cell, 7)
    assert [frame.severity for frame in strip.frames] == ["clean", "1", "2", "3", "4", "5"]
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(strip.url.split(",")[1]))))
    for step, severity in enumerate([0, 5]):
        images = read_images(
            con, explored, fog_cell._replace(severity=float(severity)), Slice(condition="image_id = 7")
        )
        (picture,) = pictures_of(con, None, images, images.chosen).all
        column = 5 * step * strip.width
        np.testing.assert_array_equal(pixels[:, column : column + strip.width], picture.pixels)
        assert strip.frames[5 * step].prediction == picture.row.predicted_name
        assert strip.frames[5 * step].is_correct == picture.row.correct
