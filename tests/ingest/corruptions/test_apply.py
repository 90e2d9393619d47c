"""What `corrupt` promises whatever the corruption: independence of batches, common random numbers, clear errors."""

import subprocess
import sys
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import spearmanr
from sklearn.datasets import load_sample_images

from failmodes.ingest.corruptions import apply as engine
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.distortion import rmse
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError

ALL = tuple(CORRUPTIONS)
RANDOM = tuple(name for name in ALL if CORRUPTIONS[name].samples)
IMAGES = np.random.default_rng(3).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
RECIPES = ("cifar-c", "imagenet-c")


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


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(ALL),
    severity=st.integers(1, 5),
    order=st.permutations(range(12)),
    cut=st.integers(1, 11),
)
def test_result_depends_on_neither_order_nor_split(name: str, severity: int, order: list[int], cut: int) -> None:
    whole = corrupt(IMAGES, name, severity, seed=2)
    ids = np.array(order)
    parts = [corrupt(IMAGES[i], name, severity, seed=2, image_ids=i) for i in (ids[:cut], ids[cut:])]
    np.testing.assert_array_equal(np.concatenate(parts), whole[ids])


@pytest.mark.parametrize("name", ALL)
def test_result_does_not_depend_on_blocks_layout_or_threads(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = corrupt(IMAGES, name, 4, seed=1)
    flipped = np.ascontiguousarray(IMAGES.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(corrupt(flipped, name, 4, seed=1), whole)
    monkeypatch.setattr(engine, "BLOCK_VALUES", 16 * 16 * 3 * 5)
    np.testing.assert_array_equal(corrupt(IMAGES, name, 4, seed=1), whole)
    np.testing.assert_array_equal(corrupt(IMAGES, name, 4, seed=1, threads=3), whole)


def test_another_process_makes_the_same_of_half_the_batch() -> None:
    code = (
        "import numpy as np, sys; from failmodes.ingest.corruptions import CORRUPTIONS, corrupt;"
        "x = np.random.default_rng(3).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)[6:];"
        "made = [corrupt(x, name, 3, image_ids=range(6, 12)) for name in CORRUPTIONS];"
        "sys.stdout.buffer.write(np.stack(made).tobytes())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert other == np.stack([corrupt(IMAGES, name, 3)[6:] for name in ALL]).tobytes()


@pytest.mark.parametrize("name", RANDOM)
def test_seed_image_and_corruption_decide_the_draws(name: str) -> None:
    same = np.repeat(IMAGES[:1], 2, axis=0)
    first = corrupt(same, name, 3, seed=0)
    assert (first[0] != first[1]).any(), "two images, two draws"
    assert (corrupt(same, name, 3, seed=1)[0] != first[0]).any()
    np.testing.assert_array_equal(corrupt(same, name, 3, seed=0, image_ids=[1, 0]), first[::-1])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("recipe", RECIPES)
def test_severity_zero_is_a_copy_and_the_input_never_changes(name: str, recipe: str) -> None:
    images = smooth_images(3, 40)
    before = images.copy()
    clean = corrupt(images, name, 0, recipe=recipe)
    np.testing.assert_array_equal(clean, images)
    assert not np.shares_memory(clean, images)
    for severity in (1, Decimal("5.000")):
        harmed = corrupt(images, name, severity, recipe=recipe)
        assert (harmed != images).any()
        assert harmed.flags.writeable
    np.testing.assert_array_equal(images, before)


@pytest.mark.slow
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


@pytest.mark.parametrize("name", ["fog", "frost", "snow", "elastic_transform", "motion_blur", "spatter"])
def test_fields_crops_and_angles_are_shared_only_with_shared_noise(name: str) -> None:
    images = smooth_images(24, 32)
    levels = (1, 2) if name in ("spatter", "snow") else (3, 5)

    def correlation(noise: str) -> float:
        mild, harsh = (residual(images, name, level, noise).reshape(24, -1) for level in levels)
        each = [np.corrcoef(a, b)[0, 1] for a, b in zip(mild, harsh, strict=True)]
        return float(np.mean(each))

    assert correlation("shared") > correlation("independent") + 0.08


def test_impulses_are_nested_only_with_shared_noise() -> None:
    gray = np.full((8, 16, 16, 3), 128, np.uint8)
    for mild, harsh in ((0.5, 1), (1, 2), (2, 5)):
        few, many = residual(gray, "impulse_noise", mild) != 0, residual(gray, "impulse_noise", harsh) != 0
        assert few.any()
        assert (many[few]).all()
        kept = residual(gray, "impulse_noise", mild)[few] == residual(gray, "impulse_noise", harsh)[few]
        assert kept.all(), "salt stays salt"
    few, many = (residual(gray, "impulse_noise", s, "independent") != 0 for s in (2, 5))
    assert many[few].mean() < 0.3


def test_independent_noise_has_the_same_distribution_as_shared_noise() -> None:
    gray = np.full((64, 16, 16, 3), 128, np.uint8)
    for name in ("gaussian_noise", "shot_noise", "impulse_noise"):
        spreads = [residual(gray, name, 3, noise).std() for noise in ("shared", "independent")]
        assert spreads[0] == pytest.approx(spreads[1], rel=0.05)


@pytest.mark.parametrize("name", ALL)
def test_an_empty_batch_and_odd_sizes_are_fine(name: str) -> None:
    odd = np.random.default_rng(0).integers(0, 256, (2, 37, 50, 3), dtype=np.uint8)
    for recipe in RECIPES:
        assert corrupt(odd[:0], name, 3, recipe=recipe).shape == (0, 37, 50, 3)
        for severity in (1, 5):
            assert corrupt(odd, name, severity, recipe=recipe).shape == odd.shape


BAD: dict[str, tuple[type[FailmodesError], str, dict[str, Any]]] = {
    "misspelt": (StudyError, "did you mean 'motion_blur'", {"name": "motion_blurr"}),
    "between switches": (StudyError, r"at severity 3\.5: .* turns to mud", {"name": "spatter", "severity": 3.5}),
    "too severe": (StudyError, "out of range: expected a number from 0", {"severity": 6}),
    "negative": (StudyError, "out of range", {"severity": -1e-3}),
    "not a number": (StudyError, "out of range", {"severity": float("nan")}),
    "infinite": (StudyError, "out of range", {"severity": float("inf")}),
    "a word": (StudyError, "severity mild is out of range", {"severity": "mild"}),
    "recipe": (StudyError, "did you mean 'cifar-c'", {"recipe": "cifar_c"}),
    "noise": (StudyError, "unknown noise", {"noise": "common"}),
    "seed": (StudyError, "seed 0.5: expected a whole number", {"seed": 0.5}),
    "a switched argument": (StudyError, "severity fog is out of range", {"name": 3, "severity": "fog"}),
    "float images": (DataError, "must be a uint8 array", {"images": IMAGES / 255.0}),
    "too small": (DataError, "4×16 pixels are too small .* at least 8 pixels", {"images": IMAGES[:, :, :4]}),
    "too small for photographs": (DataError, "expected at least 32 pixels a side", {"recipe": "imagenet-c"}),
    "too few ids": (DataError, "one an image", {"image_ids": [1, 2]}),
    "negative id": (DataError, "negative", {"image_ids": np.arange(12) - 1}),
}  # fmt: skip


@pytest.mark.parametrize(("error", "message", "change"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_one_clear_line(error: type[FailmodesError], message: str, change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"images": IMAGES, "name": "fog", "severity": 2, **change}
    with pytest.raises(error, match=message) as caught:
        corrupt(arguments.pop("images"), arguments.pop("name"), arguments.pop("severity"), **arguments)
    assert "\n" not in str(caught.value)
