"""Slices of a cell: what lies in them, beside the rest, and conditions that are none."""

from pathlib import Path

import duckdb
import polars as pl
import pytest
from scipy.stats import binomtest

from failmodes.analysis.explorer.cell_figures import read_figures
from failmodes.analysis.explorer.model_cell import ModelCell
from failmodes.analysis.explorer.slices import (
    SliceRequest,
    compare_parts,
    image_table,
    picture_rows,
    read_images,
    slice_bins,
)
from failmodes.warehouse.errors import QueryError

SLICES = {
    "everything": (SliceRequest(), pl.lit(True)),
    "class": (SliceRequest(true_class="two"), pl.col("label_name") == "two"),
    "pair": (
        SliceRequest(true_class="two", prediction="one"),
        (pl.col("label_name") == "two") & (pl.col("predicted_name") == "one"),
    ),
    "confidence": (SliceRequest(lowest=0.5, highest=0.9), pl.col("confidence").is_between(0.5, 0.9)),
    "condition": (SliceRequest(condition="entropy_nats > 0.5 -- mine"), pl.col("entropy_nats") > 0.5),
    "brackets": (
        SliceRequest(condition="(image_id < 9) or (image_id = 11)"),
        pl.col("image_id").is_in([*range(9), 11]),
    ),
    "subquery": (
        SliceRequest(condition="confidence > (select avg(confidence) from cell)"),
        pl.col("confidence") > pl.col("confidence").mean(),
    ),
    "nothing": (SliceRequest(condition="false"), pl.lit(False)),
}


@pytest.mark.parametrize("name", SLICES)
def test_a_slice_holds_the_images_that_fit(explored: Path, fog_cell: ModelCell, name: str) -> None:
    request, fits = SLICES[name]
    images = read_images(explored, fog_cell, request)
    assert images.rows.height == 400
    assert set(images.slice["image_id"]) == set(images.rows.filter(fits)["image_id"])
    parts = compare_parts(images)
    assert parts["images"].to_list() == [images.slice.height, 400 - images.slice.height, 400]


def test_the_most_confident_failures_of_the_slice_come_first(explored: Path, fog_cell: ModelCell) -> None:
    rows = read_images(explored, fog_cell, SliceRequest(true_class="one")).rows
    incorrect = rows.filter("in_slice", ~pl.col("correct"))
    assert rows.head(incorrect.height).equals(incorrect)
    assert incorrect["confidence"].is_sorted(descending=True)


def test_parts_have_the_intervals_of_scipy(explored: Path, fog_cell: ModelCell) -> None:
    images = read_images(explored, fog_cell, SliceRequest(true_class="one"))
    frames = (images.slice, images.rows.filter(~pl.col("in_slice")), images.rows)
    for row, frame in zip(compare_parts(images).rows(named=True), frames, strict=True):
        test = binomtest(int(frame["correct"].sum()), frame.height).proportion_ci(method="exact")
        assert (row["accuracy_low"], row["accuracy_high"]) == pytest.approx((test.low, test.high))
        assert row["mean_confidence"] == pytest.approx(frame["confidence"].mean())
        confident = (~frame["correct"]) & (frame["confidence"] >= 0.9)
        assert row["confident_failure_share"] == pytest.approx(confident.mean())


def test_an_empty_slice_has_no_figures(explored: Path, fog_cell: ModelCell) -> None:
    parts = compare_parts(read_images(explored, fog_cell, SliceRequest(condition="false")))
    assert parts.row(0) == ("slice", 0, None, None, None, None, None)


def test_bins_of_all_images_are_the_stored_ones(
    con: duckdb.DuckDBPyConnection, explored: Path, fog_cell: ModelCell
) -> None:
    rows = read_images(explored, fog_cell).rows
    assert slice_bins(rows).equals(read_figures(con, fog_cell).bins)


def test_rows_give_pictures_and_a_table(explored: Path, fog_cell: ModelCell) -> None:
    rows = read_images(explored, fog_cell).rows
    assert [one.image_id for one in picture_rows(rows)] == rows["image_id"].to_list()
    assert picture_rows(rows)[0].cell_name == "Fog, severity 5"
    assert image_table(rows)["confidence"].dtype == pl.Float64


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("nope > 3", 'column "nope"'),
        ("confidence", "the condition gives FLOAT: expected true or false"),
        ("select 1", "the condition gives INTEGER"),
        ("confidence >", "syntax error"),
        ("true; select 1", "syntax error"),
        ("true) as x, (true", "syntax error"),
        ("confidence > $limit", "limit"),
        ("read_text('/etc/passwd') is not null", ""),
        ("sum(confidence) > 1", ""),
    ],
)
def test_what_is_no_condition_is_one_line(explored: Path, fog_cell: ModelCell, condition: str, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        read_images(explored, fog_cell, SliceRequest(condition=condition))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_slice_says_what_it_is(explored: Path, fog_cell: ModelCell) -> None:
    request = SliceRequest("one", "two", 0.5, 1.0, " rmse < 1 ")
    assert request.name == "true class one and predicted two and confidence 0.5 to 1 and rmse < 1"
    assert SliceRequest().name == "all images"
    assert SliceRequest().is_everything
    assert not request.is_everything
    assert read_images(explored, fog_cell).headline == "400\N{NO-BREAK SPACE}images"
