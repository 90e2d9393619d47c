"""Grad-CAM in closed form against the grad-cam package, and the proof by the logits."""

import numpy as np
import pytest
import torch
from model_specs import ready_model
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from failmodes.evaluate.cam.cam_method import TargetLayer
from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.cam.methods.closed_form import IDENTITY_TOLERANCE, ClosedFormCam, check_logit_identity
from failmodes.evaluate.cam.reshape_transform import CHANNELS_FIRST
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import ModelError

CPU = torch.device("cpu")
NEUTRAL = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))


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

    def __init__(self, prepared: nn.Module) -> None:
        super().__init__()
        self.features, self.relu, self.classifier = prepared.features, nn.ReLU(), prepared.classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.relu(self.features(x)).mean((2, 3)))


def package_maps(module: nn.Module, architecture: str, inputs: torch.Tensor, classes: torch.Tensor) -> np.ndarray:
    witness = PooledDenseNet(module) if architecture == "densenet121" else module
    layer = witness.relu if architecture == "densenet121" else witness.layer4
    for parameter in witness.parameters():
        parameter.requires_grad_(True)
    with RawGradCAM(model=witness, target_layers=[layer]) as cam:
        return cam(inputs, [ClassifierOutputTarget(int(c)) for c in classes])


def compare_with_package(module: nn.Module, architecture: str, normalization, images, precision: str) -> float:
    """Largest difference of raw maps, relative to the largest value, over two targets an image."""
    prepared = ready_model(module, architecture, normalization, CPU, precision)
    inputs = prepared.inputs(images)
    cam_method = select_cam_method(prepared, (32, 32))
    _, targets, maps, error = cam_method(inputs, lambda logits: logits.argsort(1, descending=True)[:, :2])
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
    module = ARCHITECTURES[architecture](5, 16)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    assert compare_with_package(module, architecture, NEUTRAL, images, "float32") < 1e-4


@pytest.mark.data
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 5e-2)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_maps_equal_the_package_on_real_images(real_data, tmp_path, architecture, precision, tolerance) -> None:
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=real_data / "cifar10"), tmp_path)
    path = real_data / "checkpoints" / f"{architecture}-cifar10jpeg.safetensors"
    normalization = Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    spec = ModelSpec(label="x", architecture=architecture, checkpoint=path, normalization=normalization)
    checkpoint = load_model(spec, dataset, path)
    images = np.asarray(dataset.images[:32])
    difference = compare_with_package(
        checkpoint.module, architecture, checkpoint.preprocessing.normalization, images, precision
    )
    assert difference < tolerance


def test_identity_refuses_a_model_that_does_not_end_in_pooling_and_one_layer() -> None:
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
        prepared = ready_model(Odd(maximum), "odd", NEUTRAL, CPU, "float32")
        cam_method = ClosedFormCam(prepared, TargetLayer("conv", CHANNELS_FIRST, "head"))
        errors.append(
            float(cam_method(prepared.inputs(images), lambda logits: logits.argsort(1)[:, :2]).identity_error)
        )
    assert errors[0] < IDENTITY_TOLERANCE["float32"]
    with pytest.raises(ModelError, match="do not sum to the logits.*attention = 'backward'"):
        check_logit_identity(errors[1], "float32", "Odd model")
