"""Corruptions of users' own: registered in code or by an import path, checked, and part of the identity."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.custom import CustomCorruption, register
from failmodes.ingest.corruptions.sampling import uniform
from failmodes.ingest.specification import CorruptionSpec
from failmodes.runtime.errors import StudyError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)


def drawn(images: np.ndarray, parameters: tuple[float, ...], *, where: np.ndarray) -> np.ndarray:
    (share,) = parameters
    return np.where(where < share, 0, images).astype(np.uint8)


def test_a_registered_corruption_is_made_like_a_published_one() -> None:
    register(
        CustomCorruption(
            "holes",
            drawn,
            tuple((s / 10,) for s in range(1, 6)),
            random_variables={"where": uniform(lambda size: (*size, 1))},
        )
    )
    mild, between, harsh = (corrupt(IMAGES, "holes", s, seed=4) for s in (1, 2.5, 5))
    assert (mild == 0).all(axis=-1).mean() == pytest.approx(0.1, abs=0.03)
    assert (between == 0).all(axis=-1).mean() == pytest.approx(0.25, abs=0.04)
    assert (harsh[mild == 0] == 0).all(), "draws are shared along the curve"
    np.testing.assert_array_equal(corrupt(IMAGES[3:], "holes", 5, seed=4, image_ids=[3, 4]), harsh[3:])
    np.testing.assert_array_equal(corrupt(IMAGES, "holes", 0), IMAGES)
    with pytest.raises(StudyError, match="unknown corruption"):
        corrupt(IMAGES, "hole", 1)


def test_what_it_returns_raises_and_would_overwrite_is_checked() -> None:
    register(CustomCorruption("wrong", lambda images, _: images / 255.0))
    with pytest.raises(StudyError, match=r"returned float64 \(5, 16, 16, 3\)"):
        corrupt(IMAGES, "wrong", 1)

    def fails(images: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
        raise KeyError("strength")

    def overwrites(images: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
        images[:] = 0
        return images

    register(CustomCorruption("fails", fails))
    with pytest.raises(StudyError, match="'fails' failed: KeyError: 'strength'"):
        corrupt(IMAGES, "fails", 1)
    register(CustomCorruption("overwrites", overwrites))
    before = IMAGES.copy()
    with pytest.raises(StudyError, match="read-only"):
        corrupt(IMAGES, "overwrites", 1)
    np.testing.assert_array_equal(IMAGES, before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "fog"}, "is a published one"),
        ({"name": "none"}, "lower-case letters"),
        ({"levels": ((1,), (2,))}, "expected 5 levels"),
        ({"clean": (0, 0)}, "equally long"),
        ({"group": "optics"}, "not noise, blur, weather or digital"),
    ],
)
def test_a_wrong_registration_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        CustomCorruption(**{"name": "own", "apply": drawn, **fields})


def test_corrupt_takes_a_corruption_itself_or_its_import_path(corruption_module: str) -> None:
    expected = (IMAGES * 0.7).astype(np.uint8)
    np.testing.assert_array_equal(corrupt(IMAGES, f"{corruption_module}:darken", 3), expected)

    def own(images: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
        return (images * (1 - parameters[0] / 10)).astype(np.uint8)

    for given in (own, CustomCorruption("other", own), "other", "own"):
        np.testing.assert_array_equal(corrupt(IMAGES, given, 3), expected)
    with pytest.raises(StudyError, match="corruption name '<lambda>'"):
        corrupt(IMAGES, lambda images, parameters: images, 3)
    with pytest.raises(ValidationError, match="is a int"):
        CorruptionSpec(names=[f"{corruption_module}:number"])
    with pytest.raises(StudyError, match="did you mean 'darken'"):
        corrupt(IMAGES, "darkn", 1)
