"""The corruptions against outputs and moments of the published generators, on real images."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.corruptions.kernels.blur import apply_motion_kernel
from failmodes.ingest.corruptions.sampling import NoiseMode
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset

pytestmark = pytest.mark.test_all
DETERMINISTIC = [name for name in CORRUPTIONS if not CORRUPTIONS[name].samples]
RANDOM = [name for name in CORRUPTIONS if CORRUPTIONS[name].samples]


class Witness(NamedTuple):
    """What a published generator made: images, the levels it was run at, outputs and moments."""

    recipe: str
    images: np.ndarray
    severities: list[int]
    exact: dict[str, np.ndarray]
    cells: dict[str, dict[str, list[float]]]

    def outputs(self, name: str) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Severity, clean images and published outputs."""
        for severity, published in zip(self.severities, self.exact[name], strict=True):
            yield severity, self.exact["clean"][: len(published)], published


@pytest.fixture(scope="module", params=["cifar-c", "imagenet-c"])
def witness(request: pytest.FixtureRequest, real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Witness:
    suffix = "" if request.param == "cifar-c" else "224"
    folder = real_data / "corruption_witness"
    exact = dict(np.load(folder / f"exact{suffix}.npz", allow_pickle=False))
    cells = json.loads((folder / f"moments{suffix}.json").read_text())["cells"]
    if suffix:
        return Witness(request.param, exact["clean"], [1, 3, 5], exact, cells)
    spec = DatasetSpec(kind="cifar10", path=real_data / "cifar10")
    images = np.asarray(open_dataset(spec, tmp_path_factory.mktemp("cache")).images[:200])
    return Witness(request.param, images, [1, 2, 3, 4, 5], exact, cells)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_deterministic_corruptions_equal_the_published_outputs(witness: Witness, name: str) -> None:
    for severity, clean, published in witness.outputs(name):
        difference = corrupt(clean, name, severity, recipe=witness.recipe).astype(int) - published
        assert (difference == 0).mean() >= 0.9999  # the issue asks for .999
        assert np.abs(difference).max() <= 1


def test_motion_blur_equals_imagemagick_at_the_recorded_angles(witness: Witness) -> None:
    angles = witness.exact["motion_blur_angles_deg"]
    for severity, clean, published in witness.outputs("motion_blur"):
        parameters = CORRUPTIONS["motion_blur"].levels[witness.recipe][severity]
        difference = np.abs(apply_motion_kernel(clean, parameters, angles).astype(int) - published)
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


@pytest.mark.parametrize(("noise", "step"), [("shared", 2), ("independent", 2), ("shared", 1)])
@pytest.mark.parametrize("name", RANDOM)
def test_moments_over_six_seeds_are_indistinguishable(witness: Witness, name: str, noise: NoiseMode, step: int) -> None:
    """Means over seeds on both sides, and the larger of the two spreads, for the published ones are few."""
    published_count = 5 if witness.recipe == "cifar-c" else 4
    for severity in witness.severities[::step]:
        options = {"recipe": witness.recipe, "noise": noise}
        sampled = [
            moments(witness.images, corrupt(witness.images, name, severity, seed=seed, **options)) for seed in range(6)
        ]
        for moment, (mean, deviation) in witness.cells[f"{name}/{severity}"].items():
            values = [one[moment] for one in sampled]
            own = float(np.std(values, ddof=1))
            spread = np.sqrt(own**2 / len(values) + max(own, deviation) ** 2 / published_count)
            tolerance = 4.5 * spread + 0.004 * abs(mean) + 2e-4
            assert np.mean(values) == pytest.approx(mean, abs=tolerance), f"{severity} {moment}"
