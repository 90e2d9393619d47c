"""Corruptions of users' own: registered in code or by an import path, checked, and part of the identity."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.custom import CustomCorruption, register
from failmodes.ingest.corruptions.sampling import uniform
from failmodes.ingest.sources import record_corruptions
from failmodes.ingest.specification import CorruptionSpec
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.schema import CORRUPTIONS as CORRUPTIONS_TABLE
from failmodes.warehouse.shards.format import dimension_path, read_verified

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


def test_a_study_names_it_by_an_import_path(corruption_module: str, tmp_path: Path) -> None:
    spec = CorruptionSpec(names=["fog", f"{corruption_module}:DIM", f"{corruption_module}:darken"])
    assert spec.names == ["fog", "dim", "darken"]
    expected = (IMAGES * 0.8).astype(np.uint8)
    for name in ("dim", "darken"):
        np.testing.assert_array_equal(corrupt(IMAGES, name, 2), expected)
    record_corruptions(tmp_path / "out")
    row = read_verified(dimension_path(tmp_path / "out", CORRUPTIONS_TABLE, "dim")).rows.to_pylist()[0]
    assert (row["corruption_label"], row["corruption_group"], row["headline"]) == ("Dim light", "weather", False)
    assert row["corruption_order"] > 19


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda images, _: images / 255.0, r"returned float64 \(5, 16, 16, 3\): expected uint8"),
        (lambda images, _: images[:, :8], r"returned uint8 \(5, 8, 16, 3\)"),
        (lambda images, _: None, "returned NoneType"),
    ],
)
def test_what_it_returns_is_checked(returned: Any, message: str) -> None:
    register(CustomCorruption("wrong", returned))
    with pytest.raises(StudyError, match=message):
        corrupt(IMAGES, "wrong", 1)


def test_what_it_raises_and_what_it_would_overwrite_are_one_clear_line() -> None:
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
        ({"name": "My fog"}, "lower-case letters"),
        ({"name": "none"}, "lower-case letters"),
        ({"levels": ((1,), (2,))}, "expected 5 levels"),
        ({"clean": (0, 0)}, "equally long"),
        ({"group": "optics"}, "not noise, blur, weather or digital"),
    ],
)
def test_a_wrong_registration_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        CustomCorruption(**{"name": "own", "apply": drawn, **fields})


@pytest.mark.parametrize(
    ("path", "message"),
    [("no_such_module:f", "cannot be imported"), ("{}:nothing", "cannot be imported"), ("{}:number", "is a int")],
)
def test_a_wrong_import_path_is_refused(corruption_module: str, path: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CorruptionSpec(names=[path.format(corruption_module)])


def test_corrupt_takes_a_corruption_itself_or_its_import_path(corruption_module: str) -> None:
    expected = (IMAGES * 0.7).astype(np.uint8)
    np.testing.assert_array_equal(corrupt(IMAGES, f"{corruption_module}:darken", 3), expected)

    def own(images: np.ndarray, parameters: tuple[float, ...]) -> np.ndarray:
        return (images * (1 - parameters[0] / 10)).astype(np.uint8)

    for given in (own, CustomCorruption("other", own), "other", "own"):
        np.testing.assert_array_equal(corrupt(IMAGES, given, 3), expected)
    with pytest.raises(StudyError, match="unknown corruption 3"):
        corrupt(IMAGES, 3, 3)  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="corruption name '<lambda>'"):
        corrupt(IMAGES, lambda images, parameters: images, 3)
    with pytest.raises(StudyError, match="did you mean 'darken'"):
        corrupt(IMAGES, "darkn", 1)
