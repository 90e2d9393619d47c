"""What `corrupt` promises whatever the corruption: severities, independence of batches, shared noise, clear errors."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_images

from failmodes.ingest.corruptions import apply as engine
from failmodes.ingest.corruptions.apply import MixtureComponent, corrupt, mixture_at
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES, as_severity
from failmodes.ingest.corruptions.corruption import RECIPES
from failmodes.ingest.distortion import rmse
from failmodes.runtime.errors import DataError, FailmodesError, StudyError

ALL = tuple(CORRUPTIONS)
IMAGES = np.random.default_rng(3).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)


def smooth_images(count: int, side: int) -> np.ndarray:
    """Images with structure at every scale, which blur and shuffling can hurt, and room for light at both ends."""
    rng = np.random.default_rng(0)
    scales = [rng.normal(size=(count, side // k, side // k, 3)).repeat(k, 1).repeat(k, 2) for k in (8, 4, 2, 1)]
    return np.clip(128 + 22 * sum(scales), 0, 255).astype(np.uint8)


def photographs(recipe: str) -> np.ndarray:
    """Crops of scikit-learn's two photographs: 32 px of reduced ones for cifar-c, else 224."""
    whole = load_sample_images().images
    if recipe == "cifar-c":
        reduced = [np.asarray(Image.fromarray(image).resize((160, 96), Image.Resampling.BOX)) for image in whole]
        return np.stack([r[y : y + 32, x : x + 32] for r in reduced for y in (0, 32, 64) for x in range(0, 160, 32)])
    return np.stack([image[100:324, x : x + 224] for image in whole for x in (0, 300)])


@pytest.mark.parametrize("name", ALL)
def test_result_does_not_depend_on_order_blocks_layout_or_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = corrupt(IMAGES, name, 4, seed=1)
    assert corrupt(IMAGES[:0], name, 4).shape == (0, 16, 16, 3)
    ids = np.array([11, 3, 0, 7])
    np.testing.assert_array_equal(corrupt(IMAGES[ids], name, 4, seed=1, image_ids=ids), whole[ids])
    flipped = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(corrupt(flipped, name, 4, seed=1), whole)
    monkeypatch.setattr(engine, "BLOCK_VALUES", 16 * 16 * 3 * 5)
    np.testing.assert_array_equal(corrupt(IMAGES, name, 4, seed=1), whole)
    np.testing.assert_array_equal(corrupt(IMAGES, name, 4, seed=1, threads=3), whole)


@pytest.mark.parametrize("name", ALL)
def test_severity_zero_is_a_copy_and_the_input_never_changes(name: str) -> None:
    images = smooth_images(3, 40)
    before = images.copy()
    clean = corrupt(images, name, 0)
    np.testing.assert_array_equal(clean, images)
    assert not np.shares_memory(clean, images)
    assert (corrupt(images, name, Decimal("5.000")) != images).any()
    np.testing.assert_array_equal(images, before)


@pytest.mark.test_all
@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("name", [c.name for c in CORRUPTIONS.values() if c.dose_ordered])
def test_distortion_never_falls_along_a_dose_ordered_curve(name: str, recipe: str) -> None:
    images = photographs(recipe)
    # qualities and sides are whole, and between levels some suit an image better than coarser ones (half the side)
    steps_per_level = 1 if name in ("jpeg_compression", "pixelate") else 4
    severities = [Decimal(step) / steps_per_level for step in range(5 * steps_per_level + 1)]
    curve = [float(rmse(images, corrupt(images, name, s, recipe=recipe)).mean()) for s in severities]
    # motion blur 3 and 4 by CIFAR-C are the same pixels; a Gaussian below an eighth of a pixel is none
    assert np.diff(curve).min() >= 0, dict(zip(map(str, severities), curve, strict=True))
    assert curve[0] == 0
    assert curve[-1] > curve[-1 - 4 * steps_per_level] + 0.01


def residual(images: np.ndarray, name: str, severity: float, noise: Any = "shared") -> np.ndarray:
    return corrupt(images, name, severity, noise=noise).astype(float) - images


@pytest.mark.parametrize("name", ["gaussian_noise", "speckle_noise", "shot_noise"])
def test_noise_along_a_curve_shares_its_ranks_only_with_shared_noise(name: str) -> None:
    gray = np.full((8, 16, 16, 3), 128, np.uint8)
    mild, harsh = residual(gray, name, 1), residual(gray, name, 5)
    assert spearmanr(mild.ravel(), harsh.ravel()).statistic > 0.97
    mild, harsh = residual(gray, name, 1, "independent"), residual(gray, name, 5, "independent")
    assert abs(spearmanr(mild.ravel(), harsh.ravel()).statistic) < 0.06


@pytest.mark.parametrize("name", ["fog", "snow", "elastic_transform", "motion_blur"])
def test_fields_crops_and_angles_are_shared_only_with_shared_noise(name: str) -> None:
    images = smooth_images(24, 32)
    levels = (1, 2) if name in ("spatter", "snow") else (3, 5)

    def correlation(noise: str) -> float:
        mild, harsh = (residual(images, name, level, noise).reshape(24, -1) for level in levels)
        each = [np.corrcoef(a, b)[0, 1] for a, b in zip(mild, harsh, strict=True)]
        return float(np.mean(each))

    assert correlation("shared") > correlation("independent") + 0.08


BAD: dict[str, tuple[type[FailmodesError], str, dict[str, Any]]] = {
    "misspelt": (StudyError, "did you mean 'motion_blur'", {"name": "motion_blurr"}),
    "too severe": (StudyError, "out of range: expected a number from 0", {"severity": 6}),
    "not a number": (StudyError, "out of range", {"severity": float("nan")}),
    "recipe": (StudyError, "did you mean 'cifar-c'", {"recipe": "cifar_c"}),
    "noise": (StudyError, "unknown noise", {"noise": "common"}),
    "seed": (StudyError, "seed 0.5: expected a whole number", {"seed": 0.5}),
    "float images": (DataError, "must be a uint8 array", {"images": IMAGES / 255.0}),
    "too small": (DataError, "4×16 pixels are too small .* at least 8 pixels", {"images": IMAGES[:, :, :4]}),
    "too small for photographs": (DataError, "expected at least 32 pixels a side", {"recipe": "imagenet-c"}),
    "too few ids": (DataError, "one per image", {"image_ids": [1, 2]}),
    "negative id": (DataError, "negative", {"image_ids": np.arange(12) - 1}),
}  # fmt: skip


@pytest.mark.parametrize(("error", "message", "change"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_one_clear_line(error: type[FailmodesError], message: str, change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"images": IMAGES, "name": "fog", "severity": 2, **change}
    with pytest.raises(error, match=message) as caught:
        corrupt(arguments.pop("images"), arguments.pop("name"), arguments.pop("severity"), **arguments)
    assert "\n" not in str(caught.value)


CELLS = [(recipe, name) for recipe in RECIPES for name in CORRUPTIONS]


def parts(recipe: str, name: str, severity: float, *, across_switches: bool = False) -> tuple[MixtureComponent, ...]:
    levels = CORRUPTIONS[name].levels[recipe]
    return mixture_at(CORRUPTIONS[name], levels, as_severity(severity), across_switches=across_switches)


@pytest.mark.parametrize(("recipe", "name"), CELLS)
def test_whole_severities_have_the_published_parameters(recipe: str, name: str) -> None:
    for severity in SEVERITIES:
        assert parts(recipe, name, severity) == (MixtureComponent(1.0, CORRUPTIONS[name].levels[recipe][severity]),)
    assert parts(recipe, name, 0) == (MixtureComponent(1.0, None),)


@pytest.mark.parametrize(
    ("recipe", "name"), [c for c in CELLS if CORRUPTIONS[c[1]].interpolable and CORRUPTIONS[c[1]].between != "images"]
)
def test_between_levels_every_parameter_lies_between(recipe: str, name: str) -> None:
    ends = CORRUPTIONS[name].levels[recipe]
    for below in range(5):
        ((weight, found),) = parts(recipe, name, below + 0.25)
        assert weight == 1.0
        for low, value, high in zip(ends[below], found, ends[below + 1], strict=True):
            assert min(low, high) - 1e-9 <= value <= max(low, high) + 1e-9


def test_shot_noise_interpolates_the_deviation_of_its_noise() -> None:
    ((_, (photons,)),) = parts("cifar-c", "shot_noise", 1.5)
    assert photons**-0.5 == pytest.approx((500**-0.5 + 250**-0.5) / 2)
    ((_, (photons,)),) = parts("cifar-c", "shot_noise", 0.5)
    assert photons**-0.5 == pytest.approx(500**-0.5 / 2), "no noise at severity 0"


@pytest.mark.parametrize("name", [c.name for c in CORRUPTIONS.values() if c.between == "images"])
def test_mixtures_are_the_weighted_images_of_the_two_levels(name: str) -> None:
    for below in (0, 2):
        low, high = corrupt(IMAGES, name, below).astype(float), corrupt(IMAGES, name, below + 1).astype(float)
        np.testing.assert_array_equal(corrupt(IMAGES, name, below + 0.25), np.rint(0.75 * low + 0.25 * high))


@pytest.mark.parametrize("name", [c.name for c in CORRUPTIONS.values() if not c.interpolable])
def test_switches_are_refused_with_the_reason_unless_asked_for(name: str) -> None:
    with pytest.raises(StudyError, match=r"not defined at severity 2\.5: .*across_switches"):
        corrupt(IMAGES, name, 2.5)
    low, high = corrupt(IMAGES, name, 2).astype(float), corrupt(IMAGES, name, 3).astype(float)
    np.testing.assert_array_equal(corrupt(IMAGES, name, 2.5, across_switches=True), np.rint((low + high) / 2))
    corrupt(IMAGES, name, 2.0)
