"""The contact sheet: its images, their distances, what is missing, and its order."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from failmodes.analysis.charts.contact_sheet import chart_of_images
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.images.sample_images import CorruptionRequest, one_image
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.distortion import rmse
from failmodes.runtime.errors import FailmodesError

THREE = ("fog", "glass_blur", "saturate")


def cells_of(figure: Figure) -> list[dict]:
    """A row an image that is drawn, or is missing."""
    return [row for rows in figure.to_dict()["datasets"].values() for row in rows if "url" in row]


def test_contact_sheet_shows_each_image_enlarged_by_whole_pixels(striped: Path) -> None:
    cells = cells_of(chart_of_images(CorruptionRequest(corruptions=THREE, seed=3, files=[striped])))
    clean = one_image([striped], 32).images
    expected = [
        clean[0] if not s else corrupt(clean, name, s, seed=3)[0]
        for name in ("glass_blur", "fog", "saturate")  # blur, weather, digital
        for s in range(6)
    ]
    assert len(cells) == len(expected)
    for cell, image in zip(cells, expected, strict=True):
        drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(cell["url"].split(",")[1]))))
        assert (drawn == image.repeat(8, 0).repeat(8, 1)).all()


def test_contact_sheet_has_the_rmse_of_each_image_and_the_extremes_in_the_title(striped: Path) -> None:
    figure = chart_of_images(CorruptionRequest(corruptions=THREE, severities=[2, 5], files=[striped]))
    clean = one_image([striped], 32).images
    notes = {(cell["tip"].split(",")[0].split(" (")[0], cell["column"]): cell["notes"] for cell in cells_of(figure)}
    for severity in (2, 5):
        far = {CORRUPTIONS[n].label: float(rmse(clean, corrupt(clean, n, severity))[0]) for n in THREE}
        assert {label: notes[label, str(severity)] for label in far} == {k: f"{v:.3f}" for k, v in far.items()}
    assert figure.title.startswith(max(far, key=far.__getitem__))
    assert f"{min(far.values()):.3f}" in figure.title


def test_contact_sheet_says_what_cannot_be_made(monkeypatch: pytest.MonkeyPatch, striped: Path) -> None:
    monkeypatch.setenv("FAILMODES_FROST_PHOTOGRAPHS", str(striped.parent))  # where they are not
    figure = chart_of_images(
        CorruptionRequest(corruptions=("fog", "frost", "spatter"), severities=[2.5, 5], files=[striped])
    )
    assert "Without frost: frost needs its photographs" in figure.subtitle
    assert "Without spatter at 2.5: 'spatter' is not defined at severity 2.5" in figure.subtitle
    assert [(cell["column"], cell["notes"]) for cell in cells_of(figure) if cell["url"] is None] == [("2.5", "\u2013")]
    with pytest.raises(FailmodesError, match="frost needs its photographs"):
        chart_of_images(CorruptionRequest(corruptions=("frost",), files=[striped]))
