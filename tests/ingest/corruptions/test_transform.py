"""CorruptImage: the same as `corrupt`, seeded by each image's pixels, whatever the order, process or random state."""

import copy
import pickle
import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

import failmodes
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, registered
from failmodes.ingest.corruptions.custom import CustomCorruption, register_from
from failmodes.ingest.corruptions.kernels.frost import FOLDER_VARIABLE
from failmodes.ingest.corruptions.transform import CorruptImage
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError

IMAGES = np.random.default_rng(5).integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
ONE = IMAGES[0]
RANDOM = [name for name, corruption in CORRUPTIONS.items() if corruption.samples]
pixels = hnp.arrays(np.uint8, st.tuples(st.integers(8, 12), st.integers(8, 12), st.just(3)))


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_it_is_corrupt_with_the_number_that_the_pixels_make(name: str) -> None:
    transform = CorruptImage(name, 4, seed=3)
    ids = [transform.image_id_of(image) for image in IMAGES]
    expected = failmodes.corrupt(IMAGES, name, 4, seed=3, image_ids=ids)
    np.testing.assert_array_equal([transform(image) for image in IMAGES], expected)
    np.testing.assert_array_equal([transform(image=image)["image"] for image in IMAGES], expected)
    np.testing.assert_array_equal([np.asarray(transform(Image.fromarray(image))) for image in IMAGES], expected)
    np.testing.assert_array_equal(transform.corrupt_each(IMAGES), expected)


@settings(max_examples=50, deadline=None)
@given(
    image=pixels,
    name=st.sampled_from(list(CORRUPTIONS)),
    severity=st.sampled_from([0, 1, 2.5, 5]),
    seed=st.integers(0, 2**40),
    noise=st.sampled_from(["shared", "independent"]),
)
def test_any_image_is_what_corrupt_makes_of_it(image: Any, name: str, severity: float, seed: int, noise: Any) -> None:
    before = image.copy()
    transform = CorruptImage(name, severity, seed=seed, noise=noise, across_switches=True)
    (expected,) = failmodes.corrupt(
        image[None],
        name,
        severity,
        seed=seed,
        noise=noise,
        across_switches=True,
        image_ids=[transform.image_id_of(image)],
    )
    np.testing.assert_array_equal(transform(image), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(transform))(image), expected)
    np.testing.assert_array_equal(image, before)
    assert not np.shares_memory(transform(image), image)


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(one=pixels, other=pixels)
def test_the_number_is_of_pixels_and_shape_and_nothing_else(one: np.ndarray, other: np.ndarray) -> None:
    number = CorruptImage.image_id_of(one)
    assert 0 <= number < 2**63
    assert number == CorruptImage.image_id_of(np.asfortranarray(one))
    same = one.shape == other.shape and (one == other).all()
    assert (CorruptImage.image_id_of(other) == number) == same
    assert (CorruptImage.image_id_of(one.reshape(1, -1, 3)) == number) is False


@pytest.mark.parametrize("name", RANDOM)
def test_two_images_are_corrupted_in_different_ways(name: str) -> None:
    barely = ONE.copy()
    barely[0, 0, 0] ^= 1
    transform = CorruptImage(name, 3)
    assert (transform(barely) != transform(ONE)).mean() > 0.02
    assert (CorruptImage(name, 3, seed=1)(ONE) != transform(ONE)).mean() > 0.02


def test_no_random_state_is_read_or_advanced() -> None:
    transform = CorruptImage("gaussian_noise", 3)
    random.seed(1)
    np.random.seed(1)
    states = random.getstate(), np.random.get_state()[1].tolist()
    first = transform(ONE)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == states
    random.seed(2)
    np.random.seed(2)
    np.testing.assert_array_equal(transform(ONE), first)


def test_an_images_number_may_be_given() -> None:
    transform = CorruptImage("gaussian_noise", 3)
    whole = failmodes.corrupt(IMAGES, "gaussian_noise", 3)
    np.testing.assert_array_equal([transform(image, image_id=i) for i, image in enumerate(IMAGES)], whole)
    sample = transform(image=IMAGES[4], image_id=np.int32(4), label=1)
    np.testing.assert_array_equal(sample["image"], whole[4])
    assert (sample["image_id"], sample["label"]) == (4, 1)


def test_all_else_in_a_sample_passes_through() -> None:
    mask, boxes = ONE[..., 0], [[1.0, 2.0, 3.0, 4.0]]
    given = {"mask": mask, "image": ONE, "bboxes": boxes, "label": "cat", "nothing": None}
    sample = CorruptImage("contrast", 5)(**given)
    assert list(sample) == list(given)
    assert all(sample[key] is given[key] for key in given if key != "image")
    assert (sample["image"] != ONE).any()


def test_keywords_beside_a_positional_image_are_ignored_as_albumentations_gives_some() -> None:
    transform = CorruptImage("fog", 3)
    np.testing.assert_array_equal(transform(ONE, shape=ONE.shape, cols=24), transform(ONE))


def test_the_kind_that_is_given_comes_back() -> None:
    transform = CorruptImage("pixelate", 4)
    photograph = Image.fromarray(ONE)
    assert isinstance(transform(photograph), Image.Image)
    assert isinstance(transform(image=photograph)["image"], Image.Image)
    assert transform(ONE).dtype == np.uint8
    assert transform(ONE).flags.writeable


@pytest.mark.slow
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_make_the_same_in_any_order(start: str) -> None:
    transform = CorruptImage("glass_blur", 2, seed=1)
    expected = [transform(image) for image in IMAGES]
    with ProcessPoolExecutor(2, mp_context=get_context(start)) as pool:
        made = list(pool.map(transform, reversed(IMAGES)))
    np.testing.assert_array_equal(made[::-1], expected)


@pytest.mark.slow
def test_a_spawned_worker_learns_of_ones_own_corruptions(corruption_module: str) -> None:
    made = register_from(f"{corruption_module}:DIM")
    transforms = [CorruptImage(name, 2) for name in (f"{corruption_module}:darken", made, "dim")]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for transform in transforms:
            np.testing.assert_array_equal(pool.submit(transform, ONE).result(), (ONE * 0.8).astype(np.uint8))


def test_a_transform_keeps_its_own_corruption_when_another_takes_its_name() -> None:
    half = CorruptImage(CustomCorruption("own", lambda images, _: images // 2), 1)
    third = CorruptImage(CustomCorruption("own", lambda images, _: images // 3), 1)
    np.testing.assert_array_equal(half(ONE), ONE // 2)
    np.testing.assert_array_equal(third(ONE), ONE // 3)
    np.testing.assert_array_equal(failmodes.corrupt(ONE[None], "own", 1)[0], ONE // 3)
    assert list(registered()) == ["own"]


def test_a_copy_is_equal_and_does_the_same() -> None:
    transform = CorruptImage("frost", 2, recipe="cifar-c", noise="independent")
    for twin in (copy.copy(transform), copy.deepcopy(transform), pickle.loads(pickle.dumps(transform))):
        assert twin == transform
        np.testing.assert_array_equal(twin(ONE), transform(ONE))


def test_its_repr_makes_it_again() -> None:
    transform = CorruptImage("fog", 2.5, seed=4)
    assert repr(transform).startswith("CorruptImage(name='fog', severity=2.5, recipe=None, seed=4, ")
    assert eval(repr(transform)) == transform


@pytest.mark.parametrize(
    ("side", "recipe"), [(32, "cifar-c"), (84, "cifar-c"), (85, "imagenet-c"), (224, "imagenet-c")]
)
def test_without_a_recipe_it_is_that_of_the_nearest_size_as_for_corrupt_and_benchmark(side: int, recipe: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (side, side + 8, 3), dtype=np.uint8)
    found = CorruptImage("contrast", 2.5)(image)
    np.testing.assert_array_equal(found, failmodes.corrupt(image[None], "contrast", 2.5, recipe=recipe)[0])
    np.testing.assert_array_equal(found, failmodes.corrupt(image[None], "contrast", 2.5)[0])


AT_CONSTRUCTION: dict[str, tuple[str, dict[str, Any]]] = {
    "misspelt": ("did you mean 'fog'", {"name": "fogg"}),
    "a path": ("cannot be imported", {"name": "no_such_module:haze"}),
    "severity": ("out of range", {"severity": 6}),
    "between switches": ("not defined at severity 3.5", {"name": "spatter", "severity": 3.5}),
    "recipe": ("did you mean 'imagenet-c'", {"recipe": "imagenet"}),
    "noise": ("unknown noise", {"noise": "common"}),
    "seed": ("expected a whole number", {"seed": "1"}),
}


@pytest.mark.parametrize(("message", "change"), AT_CONSTRUCTION.values(), ids=AT_CONSTRUCTION.keys())
def test_arguments_are_checked_as_it_is_made(message: str, change: dict[str, Any]) -> None:
    arguments = {"name": "fog", "severity": 3, **change}
    with pytest.raises(StudyError, match=message):
        CorruptImage(arguments.pop("name"), arguments.pop("severity"), **arguments)


def test_missing_photographs_of_frost_are_missed_as_it_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="frost needs its photographs"):
        CorruptImage("frost", 3)


CALLS: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "floats": ((ONE / 255,), {}, r"pass np.rint\(image \* 255\)"),
    "floats by name": ((), {"image": ONE / 255}, r"pass np.rint\(image \* 255\)"),
    "a batch": ((IMAGES,), {}, r"of shape \(height, width, 3\), values 0-255, not uint8 \(6, 20, 24, 3\)"),
    "gray PIL": ((Image.fromarray(ONE[..., 0]),), {}, r"mode 'L': give image.convert\('RGB'\)"),
    "a dict": (({"image": ONE},), {}, r"transform\(\*\*sample\)"),
    "no image": ((), {"img": ONE}, r"no image to corrupt among \['img'\]"),
    "nothing": ((), {}, "no image to corrupt"),
    "too small": ((ONE[:4],), {}, "too small"),
    "negative number": ((ONE,), {"image_id": -1}, "image_id -1: expected a whole number"),
    "huge number": ((ONE,), {"image_id": 2**63}, "expected a whole number"),
    "half number": ((ONE,), {"image_id": 0.5}, "expected a whole number"),
}


@pytest.mark.parametrize(("positional", "named", "message"), CALLS.values(), ids=CALLS.keys())
def test_what_cannot_be_corrupted_is_one_clear_line(positional: Any, named: dict[str, Any], message: str) -> None:
    with pytest.raises(FailmodesError, match=message) as caught:
        CorruptImage("fog", 3)(*positional, **named)
    assert "\n" not in str(caught.value)
