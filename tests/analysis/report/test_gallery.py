"""The gallery: pictures and maps as they are on record, copies within a budget, text that no attribute breaks."""

import base64
import io
import re

import duckdb
import numpy as np
import polars as pl
import pytest
from PIL import Image

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.blocks import ImageStrip
from failmodes.analysis.report import gallery as module
from failmodes.analysis.report.gallery import gallery


def pixels_of(url: str) -> np.ndarray:
    head, content = url.split(",", 1)
    assert head in ("data:image/png;base64", "data:image/webp;base64")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("RGB"))


def rows_of(con: duckdb.DuckDBPyConnection, model: str, corruption: str, one: ImageStrip) -> pl.DataFrame:
    return con.sql(
        "select exemplars.* from exemplars join evaluations using (evaluation_id) join models using (model_id) "
        "join corruptions using (corruption) where model_label = ? and corruption_label = ? and image_id = ? "
        "order by severity",
        params=[model, corruption, int(re.search(r"image (\d+)", one.title)[1])],
    ).pl()


def test_strips_hold_the_pictures_of_all_severities(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    found = gallery(con, selection)
    distinct = "select count(distinct (evaluation_id, corruption, image_id)) from exemplars"
    ((count,),) = con.execute(distinct).fetchall()
    assert len(found.strips) == count
    assert {len(values) for values in found.labels.values()} == {count}
    models, corruptions, _ = found.labels.values()
    for one, model, corruption in list(zip(found.strips, models, corruptions, strict=True))[:6]:
        rows = rows_of(con, model, corruption, one)
        pictures = [np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) for png in rows["png"]]
        np.testing.assert_array_equal(pixels_of(one.url), np.concatenate(pictures, axis=1))
        assert (one.height, one.width) == pictures[0].shape[:2]
        assert [frame.severity for frame in one.frames] == ["clean", "1", "2", "3", "4", "5"]
        assert [frame.is_correct for frame in one.frames] == (rows["predicted"] == rows["label"]).to_list()
        columns, height = one.map_size
        maps = np.frombuffer(base64.b64decode(one.maps), np.uint8).reshape(-1, height, columns)
        stored = np.stack([np.frombuffer(flat, "<f2").astype(float) for flat in rows["map_f16"]])
        np.testing.assert_allclose(maps.reshape(len(maps), -1) / 255, stored / stored.max(), atol=0.003)


def test_what_does_not_fit_is_left_out_and_counted(
    con: duckdb.DuckDBPyConnection, selection: Selection, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = gallery(con, selection)
    monkeypatch.setattr(module, "MAX_BYTES", sum(len(one.url) for one in whole.strips[:7]) * 3 // 4)
    cut = gallery(con, selection)
    assert cut.strips == whole.strips[:7]
    assert f"7 of {len(whole.strips)} stored" in cut.note
