"""Pictures of single images in one cell each: made again, else an exemplar's, else none."""

import io
from pathlib import Path

import duckdb
import numpy as np
import pytest
from pictured_results import LEVELS, pictured
from PIL import Image

from failmodes.analysis.images.changed_pictures import changed_pictures
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.database.connection import open_warehouse


def evaluations(con: duckdb.DuckDBPyConnection) -> list[str]:
    return [row[0] for row in con.execute("select evaluation_id from evaluations order by all").fetchall()]


@pytest.mark.slow
def test_pictures_are_those_that_were_evaluated(tmp_path: Path) -> None:
    made = pictured(tmp_path, GeneratedSource(), ("fog", "contrast"))
    with open_warehouse(made.warehouse) as con:
        cells = {0: ("none", 0.0), 2: ("fog", 1.0), 3: ("contrast", 2.5)}
        found, reason = changed_pictures(con, evaluations(con), cells)
    np.testing.assert_array_equal(found[0], made.dataset.images[0])
    np.testing.assert_array_equal(found[2], made.corrupted["fog", LEVELS[0]][2])
    np.testing.assert_array_equal(found[3], made.corrupted["contrast", LEVELS[1]][3])
    assert (len(found), reason) == (3, "")


@pytest.mark.slow
def test_without_clean_pictures_there_are_none(tmp_path: Path) -> None:
    made = pictured(tmp_path, GeneratedSource(), ("fog",), thumbnails=False)
    with open_warehouse(made.warehouse) as con:
        assert changed_pictures(con, evaluations(con), {0: ("fog", 1.0)}).pixels == {}


def test_an_exemplar_stored_will_do(con: duckdb.DuckDBPyConnection) -> None:
    image_id, png = con.execute(
        "select image_id, any_value(png) from exemplars where corruption = 'fog' and severity = 3 group by all limit 1"
    ).fetchone() or (0, b"")
    found, _ = changed_pictures(con, evaluations(con), {image_id: ("fog", 3.0), 399: ("fog", 3.0)})
    assert list(found) == [image_id]
    assert found[image_id].shape == np.asarray(Image.open(io.BytesIO(png))).shape
