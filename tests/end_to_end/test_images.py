"""Pictures of a warehouse through the installed script, in a folder of its own."""

import shutil
from pathlib import Path

import duckdb
import pytest
from installed_script import failmodes
from PIL import Image

FOGGY = "corruption = 'contrast' and severity = 5 and not correct order by confidence desc limit 12"


@pytest.fixture
def study(tiny_run_copy: tuple[Path, Path, dict], tmp_path: Path) -> Path:
    """A folder with a study that was evaluated and loaded."""
    failmodes("load", "study.toml", folder=tmp_path / "study")
    return tmp_path / "study"


@pytest.mark.slow
def test_a_warehouse_alone_shows_any_image(study: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(study / "out" / "warehouse.duckdb", alone)
    done = failmodes("images", "--filter", FOGGY, folder=alone)
    assert (done.stdout, done.stderr) == ("images.png\n", "")
    with Image.open(alone / "images.png") as image:
        assert image.width >= 1360
    failmodes("images", "--image", 3, "--corruption", "contrast", "--output", "c.html", folder=alone)
    assert (alone / "c.html").read_text().count("<figure") == 3
    assert sorted(path.name for path in alone.iterdir()) == ["c.html", "images.png", "warehouse.duckdb"]


@pytest.mark.slow
def test_pictures_that_differ_and_images_that_are_missing_are_said(study: Path) -> None:
    with duckdb.connect(str(study / "out" / "warehouse.duckdb")) as con:
        con.execute("update prediction_facts set rmse = rmse + 0.01 where image_id < 2 and corruption <> 'none'")
        con.execute("delete from thumbnails")
    condition = "corruption = 'contrast' and severity = 5 and image_id < 4"
    done = failmodes("images", "study.toml", "--filter", condition, folder=study)
    assert done.stderr.startswith("2 of 4 images differ from those evaluated: ")
    assert len(done.stderr.splitlines()) == 1
    refused = failmodes("images", "out", "--filter", condition, "--output", "no.png", folder=study, expect=1)
    assert refused.stderr.startswith("failmodes: the warehouse has no clean pixels of 4")
    assert len(refused.stderr.splitlines()) == 1
    assert not (study / "no.png").exists()
