"""Images that a chart corrupts itself: tiles of photographs, and what is refused."""

import pytest

from failmodes.analysis.images.sample_images import many_images


def test_tiles_cover_the_photographs() -> None:
    from sklearn.datasets import load_sample_image

    small = many_images([], 32)
    large = many_images([], 224)
    assert small.images.shape == (48, 32, 32, 3)
    assert large.images.shape == (12, 224, 224, 3)
    for name, tiles in (("china.jpg", large.images[:6]), ("flower.jpg", large.images[6:])):
        means = load_sample_image(name).mean(axis=(0, 1))
        assert tiles.mean(axis=(0, 1, 2)) == pytest.approx(means, abs=1)
