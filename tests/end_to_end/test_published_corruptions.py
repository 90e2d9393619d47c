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
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec

pytestmark = pytest.mark.data
DETERMINISTIC = [name for name in CORRUPTIONS if not CORRUPTIONS[name].samples]
WIDE_SPREAD = ["fog", "frost"]  # their moments on few images vary more from seed to seed than any fixed tolerance
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


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in WIDE_SPREAD])
@pytest.mark.parametrize("noise", ["shared", "independent"])
def test_moments_are_the_published_ones(witness: Witness, name: str, noise: NoiseMode) -> None:
    if noise == "independent" and name in DETERMINISTIC:
        pytest.skip("nothing is drawn")
    for severity in witness.severities:
        found = moments(witness.images, corrupt(witness.images, name, severity, recipe=witness.recipe, noise=noise))
        for moment, (mean, deviation) in witness.cells[f"{name}/{severity}"].items():
            tolerance = max(0.03 * abs(mean), 0.01) + 3 * deviation
            assert found[moment] == pytest.approx(mean, abs=tolerance), f"{severity} {moment}"


def assert_indistinguishable(
    witness: Witness, name: str, severities: list[int], seeds: range, noise: NoiseMode
) -> None:
    """Means over seeds on both sides, and the larger of the two spreads, for the published ones are few."""
    published_count = 5 if witness.recipe == "cifar-c" else 4
    for severity in severities:
        sampled = [
            moments(
                witness.images, corrupt(witness.images, name, severity, recipe=witness.recipe, seed=seed, noise=noise)
            )
            for seed in seeds
        ]
        for moment, (mean, deviation) in witness.cells[f"{name}/{severity}"].items():
            values = [one[moment] for one in sampled]
            own = float(np.std(values, ddof=1))
            spread = np.sqrt(own**2 / len(seeds) + max(own, deviation) ** 2 / published_count)
            assert np.mean(values) == pytest.approx(mean, abs=4.5 * spread + 0.004 * abs(mean) + 2e-4), (
                f"{severity} {moment}"
            )


@pytest.mark.parametrize("name", WIDE_SPREAD)
@pytest.mark.parametrize("noise", ["shared", "independent"])
def test_moments_of_fog_and_frost_over_ten_seeds(witness: Witness, name: str, noise: NoiseMode) -> None:
    assert_indistinguishable(witness, name, witness.severities, range(10), noise)


@pytest.mark.slow
@pytest.mark.parametrize("step", [2, pytest.param(1, marks=pytest.mark.corpus)], ids=["every other", "all"])
@pytest.mark.parametrize("name", RANDOM)
def test_moments_over_six_seeds_are_indistinguishable(witness: Witness, name: str, step: int) -> None:
    assert_indistinguishable(witness, name, witness.severities[::step], range(6), "shared")
