"""Images that a chart corrupts itself: tiles of photographs, and what is refused."""

from pathlib import Path

import pytest

from failmodes.analysis.chart_registry import draw_of_images
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.sample_images import CorruptionRequest, many_images
from failmodes.warehouse.errors import StudyError


def test_tiles_cover_the_photographs() -> None:
    from sklearn.datasets import load_sample_image

    small, large = many_images([], 32), many_images([], 224)
    assert small.images.shape == (48, 32, 32, 3)
    assert large.images.shape == (12, 224, 224, 3)
    for name, tiles in (("china.jpg", large.images[:6]), ("flower.jpg", large.images[6:])):
        means = load_sample_image(name).mean(axis=(0, 1))
        assert tiles.mean(axis=(0, 1, 2)) == pytest.approx(means, abs=1)


def test_unknown_corruption_and_missing_image_are_named(tmp_path: Path) -> None:
    for name, request, message in (
        ("contact-sheet", CorruptionRequest(corruptions=["fogg"]), "did you mean 'fog'"),
        ("contact-sheet", CorruptionRequest(files=[tmp_path / "nothing.png"]), r"no image at .*nothing\.png"),
        ("distortion", CorruptionRequest(files=[tmp_path]), "holds no image"),
        ("curves", CorruptionRequest(), "'curves' is not drawn from images: choose among contact-sheet"),
        ("curve", CorruptionRequest(), "no chart 'curve'"),
    ):
        with pytest.raises(StudyError, match=message):
            draw_of_images(name, request, PAGE)
