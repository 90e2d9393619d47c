"""Attention against the grad-cam package, and its statistics against SciPy and cases by hand."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from scipy.ndimage import zoom
from scipy.stats import entropy, wasserstein_distance
from torch import nn

from failmodes.evaluate.cam.closed_form import IDENTITY_TOLERANCE, ClosedFormCam, check_logit_identity
from failmodes.evaluate.cam.map_statistics import drift_between, map_statistics, mask_share, mask_weights
from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.engine.clean_baseline import sample_null_pairs
from failmodes.evaluate.models.architectures import ARCHITECTURES
from failmodes.evaluate.models.checkpoints import load_checkpoint
from failmodes.evaluate.models.network import prepare_network
from failmodes.evaluate.study.study_schema import ModelSpec, Normalisation
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import ModelError

CPU = torch.device("cpu")

NEUTRAL = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


class RawGradCAM(GradCAM):
    """The package's Grad-CAM without its min-max scaling and its enlargement: the raw map."""

    def aggregate_multi_layers(self, cam_per_target_layer: list[np.ndarray]) -> np.ndarray:
        return cam_per_target_layer[0][:, 0]

    def compute_cam_per_layer(self, input_tensor, targets, eigen_smooth):
        activations = self.activations_and_grads.activations[0].cpu().data.numpy()
        gradients = self.activations_and_grads.gradients[0].cpu().data.numpy()
        cam = self.get_cam_image(input_tensor, self.target_layers[0], targets, activations, gradients, eigen_smooth)
        return [np.maximum(cam, 0)[:, None]]


class PooledDenseNet(nn.Module):
    """DenseNet with its rectification as a module, so that the package can hook the map after the ReLU."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.features, self.relu, self.classifier = network.features, nn.ReLU(), network.classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.relu(self.features(x)).mean((2, 3)))


def package_maps(module: nn.Module, architecture: str, inputs: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    witness = PooledDenseNet(module) if architecture == "densenet121" else module
    layer = witness.relu if architecture == "densenet121" else witness.layer4
    for parameter in witness.parameters():
        parameter.requires_grad_(True)
    with RawGradCAM(model=witness, target_layers=[layer]) as cam:
        return cam(inputs, [ClassifierOutputTarget(int(c)) for c in classes])


def compare_with_package(module: nn.Module, architecture: str, normalisation, images, precision: str) -> float:
    """Largest difference of raw maps, relative to the largest value, over two targets an image."""
    network = prepare_network(module, architecture, normalisation, CPU, precision)
    inputs = network.inputs(images)
    way = select_cam_method(network, (32, 32))
    _, targets, maps, error = way(inputs, lambda logits: logits.argsort(1, descending=True)[:, :2])
    check_logit_identity(float(error), precision, architecture)
    worst = 0.0
    for position in range(2):
        expected = package_maps(module, architecture, inputs, targets[:, position])
        ours = maps[:, position].numpy()
        worst = max(worst, float(np.abs(ours - expected).max() / expected.max()))
    return worst


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_maps_equal_the_package_for_random_weights(architecture: str) -> None:
    torch.manual_seed(0)
    module = ARCHITECTURES[architecture].build(5, 16)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    assert compare_with_package(module, architecture, NEUTRAL, images, "float32") < 1e-4


@pytest.mark.data
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 5e-2)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_maps_equal_the_package_on_real_images(real_data, tmp_path, architecture, precision, tolerance) -> None:
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=real_data / "cifar10"), tmp_path)
    path = real_data / "checkpoints" / f"{architecture}-cifar10jpeg.safetensors"
    spec = ModelSpec(label="x", architecture=architecture, checkpoint=path)
    checkpoint = load_checkpoint(path, spec, dataset.class_names)
    images = np.asarray(dataset.images[:32])
    difference = compare_with_package(checkpoint.module, architecture, checkpoint.normalisation, images, precision)
    assert difference < tolerance


def test_identity_refuses_a_network_that_does_not_end_in_pooling_and_one_layer() -> None:
    class Odd(nn.Module):
        def __init__(self, maximum: bool) -> None:
            super().__init__()
            self.conv, self.head, self.maximum = nn.Conv2d(3, 8, 3), nn.Linear(8, 5), maximum

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            features = self.conv(x).relu()
            return self.head(features.amax((2, 3)) if self.maximum else features.mean((2, 3)))

    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    errors = []
    for maximum in (False, True):
        network = prepare_network(Odd(maximum), "odd", NEUTRAL, CPU, "float32")
        way = ClosedFormCam(network, "conv", "head")
        errors.append(float(way(network.inputs(images), lambda logits: logits.argsort(1)[:, :2]).identity_error))
    assert errors[0] < IDENTITY_TOLERANCE["float32"]
    with pytest.raises(ModelError, match="do not sum to the logits.*attention = 'backward'"):
        check_logit_identity(errors[1], "float32", "Odd network")


def test_statistics_of_a_map_worked_by_hand() -> None:
    heat = torch.zeros(1, 1, 2, 4)
    heat[0, 0, 0, 0], heat[0, 0, 1, 3] = 3.0, 1.0
    found = map_statistics(heat)
    assert found.mass.item() == 4
    assert found.centroid_x.item() == pytest.approx(0.75 * 0.125 + 0.25 * 0.875)
    assert found.centroid_y.item() == pytest.approx(0.75 * 0.25 + 0.25 * 0.75)
    variance_x = 0.75 * 0.1875**2 + 0.25 * 0.5625**2
    variance_y = 0.75 * 0.125**2 + 0.25 * 0.375**2
    assert found.spread.item() == pytest.approx(np.sqrt(variance_x + variance_y))
    assert found.attention_entropy_nats.item() == pytest.approx(entropy([0.75, 0.25]))
    assert not found.empty.item()


def test_an_empty_map_is_flagged_and_has_no_place() -> None:
    found = map_statistics(torch.zeros(1, 1, 4, 4))
    assert found.empty.item()
    assert found.mass.item() == 0
    assert found.centroid_x.isnan().item()
    assert found.attention_entropy_nats.isnan().item()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 4), (2, 7), (3, 1)]))
def test_drift_agrees_with_scipy_and_numpy(seed: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.exponential(1, (2, *shape)).astype(np.float32)
    first[0, 0] = 0
    second[-1, -1] += 1
    first[-1, 0] += 1
    found = drift_between(torch.from_numpy(first)[None, None], torch.from_numpy(second)[None, None])
    x, y = (np.arange(shape[1]) + 0.5) / shape[1], (np.arange(shape[0]) + 0.5) / shape[0]
    assert found.w1_x.item() == pytest.approx(wasserstein_distance(x, x, first.sum(0), second.sum(0)), abs=1e-5)
    assert found.w1_y.item() == pytest.approx(wasserstein_distance(y, y, first.sum(1), second.sum(1)), abs=1e-5)
    cosine = (first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second)
    assert found.cosine.item() == pytest.approx(cosine, abs=1e-5)
    centroids = [np.array([(m.sum(0) * x).sum(), (m.sum(1) * y).sum()]) / m.sum() for m in (first, second)]
    assert found.centroid_shift.item() == pytest.approx(np.linalg.norm(centroids[0] - centroids[1]), abs=1e-5)


def test_drift_of_a_map_from_itself_is_none_and_from_nothing_unknown() -> None:
    heat = torch.rand(5, 2, 4, 4)
    same = drift_between(heat, heat)
    assert max(float(v.abs().max()) for v in (same.centroid_shift, same.w1_x, same.w1_y)) < 1e-6
    assert float((same.cosine - 1).abs().max()) < 1e-6
    nothing = drift_between(heat, torch.full((5, 1, 4, 4), torch.nan))
    assert all(bool(value.isnan().all()) for value in nothing)


def test_share_inside_a_mask_is_that_of_the_enlarged_map() -> None:
    rng = np.random.default_rng(1)
    maps = torch.from_numpy(rng.random((3, 2, 4, 4), dtype=np.float32))
    masks = rng.random((3, 32, 32)) < 0.3
    found = mask_share(maps, *mask_weights(torch.from_numpy(masks), 4, 4)).numpy()
    for image in range(3):
        for target in range(2):
            enlarged = zoom(maps[image, target].numpy(), 8, order=1, grid_mode=True, mode="nearest")
            expected = enlarged[masks[image]].sum() / enlarged.sum()
            assert found[image, target] == pytest.approx(expected, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_partners_are_derangements_within_their_bounds(labels: list[int]) -> None:
    labels_array = np.array(labels)
    partners = sample_null_pairs(labels_array)
    positions = np.arange(len(labels))
    if len(labels) > 1:
        assert sorted(partners.any_image) == list(positions)
        assert not (partners.any_image == positions).any()
    has = partners.same_class >= 0
    assert (partners.same_class[has] != positions[has]).all()
    assert (labels_array[partners.same_class[has]] == labels_array[has]).all()
    assert [labels.count(c) == 1 for c in labels] == list(~has)


def test_stated_normalisation_is_json_in_the_checkpoint() -> None:
    assert Normalisation.model_validate(json.loads(NEUTRAL.model_dump_json())) == NEUTRAL
