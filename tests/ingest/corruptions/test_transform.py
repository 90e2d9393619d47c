"""CorruptImage: the same as `corrupt`, seeded by each image's pixels, whatever the order, process or random state."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from PIL import Image

import failmodes
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.corruptions.kernels.frost import FOLDER_VARIABLE
from failmodes.ingest.corruptions.transform import CorruptImage
from failmodes.runtime.errors import DataError, FailmodesError, StudyError

IMAGES = np.random.default_rng(5).integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
ONE = IMAGES[0]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_is_corrupt_with_the_number_that_the_pixels_make(name: str) -> None:
    transform, barely = CorruptImage(name, 4, seed=3), ONE.copy()
    barely[0, 0, 0] ^= 1
    assert 0 <= transform.image_id_of(barely) != transform.image_id_of(ONE)
    ids = [transform.image_id_of(image) for image in IMAGES]
    expected = failmodes.corrupt(IMAGES, name, 4, seed=3, image_ids=ids)
    np.testing.assert_array_equal([transform(image) for image in IMAGES], expected)
    np.testing.assert_array_equal([transform(image=image)["image"] for image in IMAGES], expected)
    np.testing.assert_array_equal([np.asarray(transform(Image.fromarray(image))) for image in IMAGES], expected)
    np.testing.assert_array_equal(transform.corrupt_each(IMAGES), expected)


def test_an_images_number_may_be_given() -> None:
    transform = CorruptImage("gaussian_noise", 3)
    whole = failmodes.corrupt(IMAGES, "gaussian_noise", 3)
    np.testing.assert_array_equal([transform(image, image_id=i) for i, image in enumerate(IMAGES)], whole)
    sample = transform(image=IMAGES[4], image_id=np.int32(4), label=1)
    np.testing.assert_array_equal(sample["image"], whole[4])
    assert (sample["image_id"], sample["label"]) == (4, 1)


@pytest.mark.test_all
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_make_the_same_in_any_order(start: str) -> None:
    transform = CorruptImage("glass_blur", 2, seed=1)
    expected = [transform(image) for image in IMAGES]
    with ProcessPoolExecutor(2, mp_context=get_context(start)) as pool:
        made = list(pool.map(transform, reversed(IMAGES)))
    np.testing.assert_array_equal(made[::-1], expected)


def test_a_copy_is_equal_and_does_the_same() -> None:
    transform = CorruptImage("frost", 2, recipe="cifar-c", noise="independent")
    for twin in (copy.deepcopy(transform), pickle.loads(pickle.dumps(transform)), eval(repr(transform))):
        assert twin == transform
        np.testing.assert_array_equal(twin(ONE), transform(ONE))


@pytest.mark.parametrize(("side", "recipe"), [(84, "cifar-c"), (85, "imagenet-c")])
def test_without_a_recipe_it_is_that_of_the_nearest_size_as_for_corrupt_and_benchmark(side: int, recipe: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
    found = CorruptImage("contrast", 2.5)(image)
    np.testing.assert_array_equal(found, failmodes.corrupt(image[None], "contrast", 2.5, recipe=recipe)[0])
    np.testing.assert_array_equal(found, failmodes.corrupt(image[None], "contrast", 2.5)[0])


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "floats": ((ONE / 255,), {}, r"pass np.rint\(image \* 255\)"),
    "a batch": ((IMAGES,), {}, r"of shape \(height, width, 3\), values 0-255, not uint8 \(6, 20, 24, 3\)"),
    "a dict": (({"image": ONE},), {}, r"transform\(\*\*sample\)"),
    "no image": ((), {"img": ONE}, r"no image to corrupt among \['img'\]"),
    "too small": ((ONE[:4],), {}, "too small"),
    "negative number": ((ONE,), {"image_id": -1}, "image_id -1: expected a whole number"),
    "half number": ((ONE,), {"image_id": 0.5}, "expected a whole number"),
}


@pytest.mark.parametrize(("positional", "named", "message"), CALLS.values(), ids=CALLS.keys())
def test_what_cannot_be_corrupted_is_one_clear_line(positional: Any, named: dict[str, Any], message: str) -> None:
    with pytest.raises(FailmodesError, match=message) as caught:
        CorruptImage("fog", 3)(*positional, **named)
    assert "\n" not in str(caught.value)


def test_arguments_are_checked_as_it_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with pytest.raises(StudyError, match="did you mean 'fog'"):
        CorruptImage("fogg", 3)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="frost needs its photographs"):
        CorruptImage("frost", 3)
