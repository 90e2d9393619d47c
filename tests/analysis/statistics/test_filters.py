"""Filters: what they keep, beside counts in plain NumPy, and what they refuse."""

from pathlib import Path

import numpy as np
import pytest
from described_images import CAMERAS, describe_images, described
from opened_results import Opened, opened
from synthetic_results import Synthetic

from failmodes.analysis.statistics.filters import all_but, combine, filtered_images, filtered_run
from failmodes.analysis.statistics.run_rows import read_run
from failmodes.runtime.errors import QueryError, StudyError
from failmodes.warehouse.database.connection import open_warehouse

N = 160
IDS = np.arange(N)
OF_CAMERA = {camera: np.array([CAMERAS[image % 5] == camera for image in range(N)]) for camera in ("A", "B", "C")}
LUMINANCE = (IDS * 0.618) % 1


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("camera = 'B'", OF_CAMERA["B"]),
        ("CAMERA IN ('A', 'C') and class_name = 'one'", (OF_CAMERA["A"] | OF_CAMERA["C"]) & (IDS % 4 == 1)),
        ('"iso speed" > 100 or indoors', (100 * (IDS % 4) > 100) | (IDS % 3 == 0)),
        ("images.image_luminance between 0.2 and -- dark\n 0.4", (LUMINANCE >= 0.2) & (LUMINANCE <= 0.4)),
        ("camera is null", IDS % 5 == 2),
        ("lower(camera) = 'a' or label = 3", OF_CAMERA["A"] | (IDS % 4 == 3)),
        (all_but("camera = 'B'"), ~OF_CAMERA["B"]),
        (combine("camera = 'A' or camera = 'B'", "indoors"), (OF_CAMERA["A"] | OF_CAMERA["B"]) & (IDS % 3 == 0)),
    ],
)
def test_rows_are_those_of_the_kept_images(with_metadata: Opened, condition: str, kept: np.ndarray) -> None:
    con, evaluation_id = with_metadata.con, with_metadata.made.evaluations["Alpha"]
    run = filtered_run(con, evaluation_id, condition)
    whole = read_run(con, evaluation_id)
    assert run.image_ids.tolist() == IDS[kept].tolist()
    assert (run.correct == whole.correct[kept]).all()
    for name in ("confidence", "logits", "clean.centroid_shift"):
        run.read([name])
        whole.read([name])
        np.testing.assert_array_equal(run.columns[name], whole.columns[name][kept])


@pytest.mark.test_all
def test_null_is_not_kept_and_counted(with_metadata: Opened) -> None:
    evaluation_id = with_metadata.made.evaluations["Alpha"]
    kept = filtered_images(with_metadata.con, evaluation_id, "camera <> 'B'")
    assert kept[1:] == (64, 160, 32)
    assert "64 of 160 images; 32 images have no value" in kept.sentence


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("camra = 'B'", "did you mean 'camera'"),
        ('camera = "B"', "single quotes"),
        ("confidence > 0.5", "no column 'confidence'"),
        ("image_id in (select image_id from predictions where correct)", "no other table"),
        ("exists (from images)", "no other table"),
        ("row_number() over () = 1", "one image at a time"),
        ("random() < 0.5", "differs from call to call"),
        ("image_id = $1", "no parameters"),
        ("columns(*) = 1", "star"),
        ("camera", "expected a condition"),
        ("1", "expected a condition"),
        (" ", "expected a condition"),
        ("true limit 3", "expected a condition"),
        ("true order by image_id", "expected a condition"),
        ("true) or (true", "expected a condition"),
        ("1), (2", "expected a condition"),
        ("1=1 --", "comment"),
        ("1=1 -- ) and (camera = 'A'", "comment"),
        ("true) from images union select (true", "expected a condition"),
        ("true; drop table images", "expected a condition"),
        ("not " * 2400 + "true", "filter"),
        ("camera = 3", "Conversion Error"),
        ("sum(image_id) > 3", "filter"),
        ("x" * 20_000, "expected a condition"),
    ],
)
def test_what_is_no_condition_on_images_is_refused(with_metadata: Opened, condition: str, message: str) -> None:
    with pytest.raises(QueryError) as error:
        filtered_run(with_metadata.con, with_metadata.made.evaluations["Alpha"], condition)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.test_all
def test_a_filter_without_images_is_an_error_with_a_hint(with_metadata: Opened) -> None:
    with pytest.raises(
        StudyError, match=r"no evaluated image matches .* \(32 images without a value\).*expected A, B, C"
    ):
        filtered_run(with_metadata.con, with_metadata.made.evaluations["Alpha"], "camera = 'Z'")


@pytest.mark.test_all
def test_cells_of_images_that_do_not_pair(tmp_path: Path) -> None:
    def describe(made: Synthetic) -> None:
        describe_images(made, described(80))

    with opened(tmp_path, describe, images=80, paired=False, corruptions=("fog",), severities=(1, 3)) as it:
        run = filtered_run(it.con, it.made.evaluations["Alpha"], "camera = 'B'")
        kept = np.array([CAMERAS[image % 5] == "B" for image in range(80)])
        for severity, row in ((1, 1), (3, 2)):
            assert (run.rows(("fog", severity))["correct"] == it.made.correct["Alpha", "fog"][row][kept]).all()


@pytest.mark.test_all
def test_copies_among_the_kept_images_count_once(repeated: Path) -> None:
    """The first ten of 120 images stand again as images 120 to 129."""
    with open_warehouse(repeated / "some.duckdb") as con:
        ((evaluation_id,),) = con.execute("select min(evaluation_id) from evaluations").fetchall()
        run = filtered_run(con, evaluation_id, "image_id >= 5")
    assert run.image_count == 125
    assert run.effective_count == pytest.approx(125**2 / (115 + 5 * 2**2)), "5 pairs are whole"
