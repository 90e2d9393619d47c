"""The contact sheet: its images, their distances, what is missing, and its order."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from failmodes.analysis.charts.drawing import IMAGE_CHARTS
from failmodes.analysis.charts.style.theme import PAGE, PAPER
from failmodes.analysis.sample_images import CorruptionRequest, one_image
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.distortion import rmse
from failmodes.warehouse.errors import FailmodesError

THREE = ("fog", "glass_blur", "saturate")


def images_of(spec: dict[str, Any]) -> Iterator[np.ndarray]:
    for rows in spec["datasets"].values():
        for row in rows:
            if "url" in row:
                yield np.asarray(Image.open(io.BytesIO(base64.b64decode(row["url"].split(",")[1]))))


def texts_of(spec: dict[str, Any]) -> list[str]:
    return [row["text"] for rows in spec["datasets"].values() for row in rows if "kind" in row]


def test_contact_sheet_shows_each_image_enlarged_by_whole_pixels(striped: Path) -> None:
    spec = IMAGE_CHARTS["contact-sheet"](CorruptionRequest(corruptions=THREE, seed=3, files=[striped])).to_dict()
    shown = list(images_of(spec))
    clean = one_image([striped], 32).images
    expected = [
        clean[0] if not s else corrupt(clean, name, s, seed=3)[0]
        for name in ("glass_blur", "fog", "saturate")  # blur, weather, digital
        for s in range(6)
    ]
    assert len(shown) == len(expected)
    for drawn, image in zip(shown, expected, strict=True):
        assert drawn.shape == (160, 160, 3)  # five device pixels each, twice the size on the page
        assert (drawn == image.repeat(5, 0).repeat(5, 1)).all()


def test_contact_sheet_prints_the_rmse_beneath_and_the_extremes_in_the_title(striped: Path) -> None:
    spec = IMAGE_CHARTS["contact-sheet"](CorruptionRequest(corruptions=THREE, files=[striped])).to_dict()
    clean = one_image([striped], 32).images
    last = {name: float(rmse(clean, corrupt(clean, name, 5))[0]) for name in THREE}
    assert all(f"{value:.3f}" in texts_of(spec) for value in last.values())
    assert spec["usermeta"]["finding"].startswith(CORRUPTIONS[max(last, key=last.__getitem__)].label)
    assert f"{min(last.values()):.3f}" in spec["usermeta"]["finding"]
    assert "striped.png" in spec["usermeta"]["source"]


def test_contact_sheet_says_what_cannot_be_made(monkeypatch: pytest.MonkeyPatch, striped: Path) -> None:
    monkeypatch.setenv("FAILMODES_FROST_PHOTOGRAPHS", str(striped.parent))  # where they are not
    made = CorruptionRequest(corruptions=("fog", "frost", "spatter"), severities=[2.5, 5], files=[striped])
    spec = IMAGE_CHARTS["contact-sheet"](made).to_dict()
    assert "Without frost: frost needs its photographs" in spec["usermeta"]["subtitle"]
    assert "Without spatter at 2.5: 'spatter' is not defined at severity 2.5" in spec["usermeta"]["subtitle"]
    assert texts_of(spec).count("\u2013") == 1
    assert "Frost" not in texts_of(spec)
    with pytest.raises(FailmodesError, match="frost needs its photographs"):
        IMAGE_CHARTS["contact-sheet"](CorruptionRequest(corruptions=("frost",), files=[striped]))


def test_contact_sheet_has_the_groups_in_published_order_and_flags_extras(striped: Path) -> None:
    made = CorruptionRequest(
        corruptions=("saturate", "fog", "gaussian_blur", "shot_noise"), severities=[1], files=[striped]
    )
    texts = texts_of(IMAGE_CHARTS["contact-sheet"](made, size=PAPER).to_dict())
    headings = [text for text in texts if text in ("Noise", "Blur", "Weather", "Digital")]
    assert headings == ["Noise", "Blur", "Weather", "Digital"]
    assert "Saturate (extra)" in texts
    assert "Fog" in texts


def test_paper_shows_fewer_severities(striped: Path) -> None:
    made = CorruptionRequest(corruptions=("contrast",), files=[striped])
    levels = {size: [t for t in texts_of(IMAGE_CHARTS["contact-sheet"](made, size=size).to_dict())
                     if t in ("clean", *"12345")] for size in (PAGE, PAPER)}  # fmt: skip
    assert levels == {PAGE: ["clean", *"12345"], PAPER: ["clean", "1", "3", "5"]}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["cifar-c", "imagenet-c"])
def test_all_corruptions_on_the_photograph_of_scikit_learn(recipe: str) -> None:
    spec = IMAGE_CHARTS["contact-sheet"](CorruptionRequest(recipe=recipe, severities=[5])).to_dict()
    without = spec["usermeta"]["subtitle"].count("Without")
    assert without <= 1  # frost, where its photographs are missing
    assert len(list(images_of(spec))) == 2 * (len(CORRUPTIONS) - without)
    assert "china.jpg by danielbuechele" in spec["usermeta"]["source"]
