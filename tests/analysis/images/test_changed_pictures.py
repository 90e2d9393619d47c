"""Images that change, along severity: regenerated as they were evaluated, else none with the reason."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from pictured_results import LEVELS, pictured

from failmodes.analysis.images.changed_pictures import changed_pictures
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse.database.connection import open_warehouse


def first_evaluation(con: duckdb.DuckDBPyConnection) -> str:
    ((evaluation_id,),) = con.execute("select min(evaluation_id) from evaluations").fetchall()
    return evaluation_id


@pytest.mark.slow
def test_strips_lead_from_the_clean_image_to_those_that_were_evaluated(tmp_path: Path) -> None:
    made = pictured(tmp_path, GeneratedSource(), ("fog", "contrast"))
    with open_warehouse(made.warehouse) as con:
        cells = {0: ("none", 0.0), 2: ("fog", 1.0), 3: ("contrast", 2.5)}
        found, reason = changed_pictures(con, first_evaluation(con), cells)
    assert (sorted(found), reason) == ([0, 2, 3], "")
    severities = {image: [float(one.row.severity) for one in strip] for image, strip in found.items()}
    assert severities == {0: [0], 2: [0, 1], 3: [0, 1, 2.5]}, "of fractions that one alone which was asked for"
    for image, corruption in ((2, "fog"), (3, "contrast")):
        np.testing.assert_array_equal(found[image][0].pixels, made.dataset.images[image])
        for level, picture in zip(LEVELS, found[image][1:], strict=False):
            np.testing.assert_array_equal(picture.pixels, made.corrupted[corruption, level][image])
            assert (picture.row.corruption, picture.row.correct) == (corruption, False)
