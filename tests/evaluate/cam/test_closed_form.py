"""Grad-CAM in closed form against the grad-cam package, and its check against the logits."""

import numpy as np
import pytest
import torch
from cam_models import (
    CASES,
    CLOSED,
    CPU,
    NEUTRAL,
    difference_from_package,
    images_of,
    model_of,
    two_targets,
    with_marks,
)
from model_specs import ready_model
from torch import nn

from failmodes.evaluate.cam.cam_method import TargetLayer
from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.cam.methods.closed_form import IDENTITY_TOLERANCE, ClosedFormCam, check_logit_identity
from failmodes.evaluate.cam.reshape_transform import CHANNELS_FIRST
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.runtime.errors import ModelError


@pytest.mark.parametrize("name", with_marks(CLOSED))
def test_the_head_is_found_and_maps_of_two_targets_equal_the_packages(name: str) -> None:
    prepared, case = model_of(name), CASES[name]
    cam_method = select_cam_method(prepared, case.image)
    assert (cam_method.method, cam_method.layer) == ("grad-cam (closed form)", case.layer)
    assert (cam_method.target.head, cam_method.target.reshape_transform) == (case.head, case.reshape_transform)
    error = cam_method(prepared.inputs(images_of(name)), two_targets).identity_error
    assert float(error) < IDENTITY_TOLERANCE["float32"]
    assert difference_from_package(prepared, name, images_of(name)) < 1e-4


@pytest.mark.test_all
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 5e-2)])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_maps_equal_the_package_on_real_images(real_data, tmp_path, architecture, precision, tolerance) -> None:
    dataset = open_dataset(DatasetSpec(kind="cifar10", path=real_data / "cifar10"), tmp_path)
    path = real_data / "checkpoints" / f"{architecture}-cifar10jpeg.safetensors"
    normalization = Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    spec = ModelSpec(label="x", architecture=architecture, checkpoint=path, normalization=normalization)
    prepared = load_model(spec, dataset, path).to(CPU, precision)
    assert difference_from_package(prepared, architecture, np.asarray(dataset.images[:32])) < tolerance


class Ending(nn.Module):
    def __init__(self, maximum: bool) -> None:
        super().__init__()
        self.conv, self.head, self.maximum = nn.Conv2d(3, 8, 3), nn.Linear(8, 5), maximum

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.conv(x).relu()
        return self.head(features.amax((2, 3)) if self.maximum else features.mean((2, 3)))


def test_identity_refuses_a_model_that_does_not_end_in_pooling_and_one_layer() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    errors = []
    for maximum in (False, True):
        prepared = ready_model(Ending(maximum), "odd", NEUTRAL, CPU, "float32")
        cam_method = ClosedFormCam(prepared, TargetLayer("conv", CHANNELS_FIRST, "head"))
        errors.append(float(cam_method(prepared.inputs(images), two_targets).identity_error))
    check_logit_identity(errors[0], "float32", "Mean")
    with pytest.raises(ModelError, match="attention = 'backward'"):
        check_logit_identity(errors[1], "float32", "Maximum")
