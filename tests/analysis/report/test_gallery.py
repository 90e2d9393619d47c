"""The gallery: pictures and maps as they are on record, copies within a budget, text that no attribute breaks."""

import base64
import io
import json

import duckdb
import numpy as np
import polars as pl
import pytest
from PIL import Image

from failmodes.analysis.render.formatting import REASON_MEANINGS, REASON_NAMES
from failmodes.analysis.report import gallery as module
from failmodes.analysis.report.gallery import Frame, PictureSeries, gallery
from failmodes.analysis.selection import Selection, select_one


@pytest.fixture(scope="module")
def both(con: duckdb.DuckDBPyConnection) -> Selection:
    return select_one(con)


def pixels_of(url: str) -> np.ndarray:
    head, content = url.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/webp;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def rows_of(con: duckdb.DuckDBPyConnection, one: PictureSeries) -> pl.DataFrame:
    return con.sql(
        "from exemplars where evaluation_id = ? and corruption = ? and image_id = ? order by severity",
        params=[one.evaluation_id, one.corruption, one.image_id],
    ).pl()


def test_strips_hold_the_pictures_of_all_severities(con: duckdb.DuckDBPyConnection, both: Selection) -> None:
    found = gallery(con, both)
    distinct = "select count(distinct (evaluation_id, corruption, image_id)) from exemplars"
    ((count,),) = con.execute(distinct).fetchall()
    assert (len(found.series), found.total, found.is_lossless) == (count, count, True)
    for one in found.series[:6]:
        rows = rows_of(con, one)
        pictures = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in rows["png"]]
        np.testing.assert_array_equal(pixels_of(one.strip), np.concatenate(pictures, axis=1))
        content = json.loads(one.viewer_data)
        assert content["size"] == [one.width, one.height]
        assert [frame[0] for frame in content["frames"]] == ["clean", "1", "2", "3", "4", "5"]
        assert [frame[2] for frame in content["frames"]] == (rows["predicted"] == rows["label"]).to_list()
        columns, height = content["map_size"]
        maps = np.frombuffer(base64.b64decode(content["maps"]), np.uint8).reshape(-1, height, columns)
        stored = np.stack([np.frombuffer(flat, "<f2").astype(float) for flat in rows["map_f16"]])
        np.testing.assert_allclose(maps.reshape(len(maps), -1) / 255, stored / stored.max(), atol=0.003)


def test_what_drops_most_comes_first(con: duckdb.DuckDBPyConnection, both: Selection) -> None:
    labels = dict.fromkeys(one.corruption for one in gallery(con, both).series)
    means = con.sql("select corruption, avg(mean_error) from corruption_error_by_model group by all order by 2 desc")
    assert list(labels) == [corruption for corruption, _ in means.fetchall()]


def test_what_does_not_fit_is_left_out_and_counted(
    con: duckdb.DuckDBPyConnection, both: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gallery(con, both)
    monkeypatch.setattr(module, "MOST_BYTES", sum(len(one.strip) for one in whole.series[:7]) * 3 // 4)
    cut = gallery(con, both)
    assert cut.series == whole.series[:7]
    assert cut.total == whole.total


def test_beyond_some_size_pictures_are_compressed_copies(
    con: duckdb.DuckDBPyConnection, both: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gallery(con, both)
    monkeypatch.setattr(module, "LOSSLESS_BYTES", 0)
    copies = gallery(con, both)
    assert not copies.is_lossless
    assert all(one.strip.startswith("data:image/webp") for one in copies.series)
    error = pixels_of(copies.series[0].strip).astype(float) - pixels_of(whole.series[0].strip)
    assert 0 < np.abs(error).mean() < 12


def test_every_reason_has_its_meaning() -> None:
    assert list(REASON_MEANINGS) == list(REASON_NAMES.values())


def test_large_pictures_are_made_smaller() -> None:
    assert module.small_picture(np.zeros((224, 448, 3), np.uint8)).size == (96, 48)


def test_data_of_a_card_can_stand_between_quotes() -> None:
    frame = Frame("1", "'><script>alert(1)</script>&amp;", is_correct=False, confidence="9 %")
    one = PictureSeries("e", "n", "c", "C", "r", 1, "t", (frame,), "", 1, 1, "", (0, 0))
    assert not set(one.viewer_data) & set("<>'&")
    assert json.loads(one.viewer_data)["frames"][0][1] == frame.prediction
