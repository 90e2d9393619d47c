"""The corruptions against outputs and moments of the published generator, on real images."""

import json
from pathlib import Path

import numpy as np
import pytest

from ingest.corruptions import STUDY_CORRUPTIONS, corrupt
from ingest.corruptions.blur import motion_blur
from ingest.corruptions.recipes import CIFAR_C, SEVERITIES
from ingest.datasets import open_dataset
from ingest.specification import DatasetSpec

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def real_images(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    spec = DatasetSpec(kind="cifar10", path=real_data / "cifar10")
    return np.asarray(open_dataset(spec, tmp_path_factory.mktemp("cache")).images[:200])


@pytest.mark.parametrize("name", ["brightness", "contrast", "jpeg_compression"])
def test_deterministic_corruptions_equal_the_published_outputs(real_data: Path, name: str) -> None:
    witness = np.load(real_data / "corruption_witness" / "exact.npz")
    for severity in SEVERITIES:
        difference = corrupt(witness["clean"], name, severity).astype(int) - witness[name][severity - 1]
        assert (difference == 0).mean() >= 0.999
        assert np.abs(difference).max() <= 1


def test_motion_blur_equals_imagemagick_at_the_recorded_angles(real_data: Path) -> None:
    witness = np.load(real_data / "corruption_witness" / "exact.npz")
    for severity, parameters in zip(SEVERITIES, CIFAR_C["motion_blur"], strict=True):
        found = motion_blur(witness["clean"], parameters, witness["motion_blur_angles_deg"]).astype(int)
        difference = np.abs(found - witness["motion_blur"][severity - 1])
        assert difference.mean() < 0.01  # the issue asks for 1.5
        assert (difference == 0).mean() >= 0.999


def moments(clean: np.ndarray, corrupted: np.ndarray) -> dict[str, float]:
    """As moments.json defines them."""
    values = corrupted / 255.0
    residual = values - clean / 255.0
    pairs = [(0, 1), (0, 2), (1, 2)]

    def correlation(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])

    return {
        "rmse": float(np.sqrt((residual**2).mean(axis=(1, 2, 3))).mean()),
        "value_mean": float(values.mean()),
        "value_std": float(values.std()),
        "bias": float(residual.mean()),
        "lag1_x": correlation(residual[:, :, 1:], residual[:, :, :-1]),
        "lag1_y": correlation(residual[:, 1:], residual[:, :-1]),
        "channels": float(np.mean([correlation(residual[..., a], residual[..., b]) for a, b in pairs])),
    }


@pytest.mark.parametrize("name", STUDY_CORRUPTIONS)
def test_moments_are_the_published_ones(real_data: Path, real_images: np.ndarray, name: str) -> None:
    published = json.loads((real_data / "corruption_witness" / "moments.json").read_text())["cells"]
    for severity in SEVERITIES:
        found = moments(real_images, corrupt(real_images, name, severity))
        for moment, (mean, deviation) in published[f"{name}/{severity}"].items():
            tolerance = max(0.03 * abs(mean), 0.01) + 3 * deviation
            assert found[moment] == pytest.approx(mean, abs=tolerance), f"{name} {severity} {moment}"


@pytest.mark.parametrize("name", ["fog", "gaussian_noise", "motion_blur"])
def test_moments_over_five_seeds_are_indistinguishable(real_data: Path, real_images: np.ndarray, name: str) -> None:
    # both figures are means over five draws, of the same deviation: 4.5 deviations of their difference
    published = json.loads((real_data / "corruption_witness" / "moments.json").read_text())["cells"]
    for severity in SEVERITIES:
        drawn = [moments(real_images, corrupt(real_images, name, severity, seed=seed)) for seed in range(5)]
        for moment, (mean, deviation) in published[f"{name}/{severity}"].items():
            values = [one[moment] for one in drawn]
            spread = np.sqrt((deviation**2 + np.var(values, ddof=1)) / 5)
            assert np.mean(values) == pytest.approx(mean, abs=4.5 * spread + 2e-4), f"{name} {severity} {moment}"
