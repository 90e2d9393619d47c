"""Selection of CAM method and layer, requested methods and layers, and errors."""

import pytest
import torch
from cam_models import (
    CASES,
    CLASSES,
    CPU,
    NEUTRAL,
    Branches,
    difference,
    images_of,
    model_of,
    package_maps,
    two_targets,
)
from model_specs import ready_model
from torch import nn

from failmodes.evaluate.cam.cam_method import CamUnavailable
from failmodes.evaluate.cam.method_selection import (
    QUANTIZED,
    cam_methods,
    method_meanings,
    parse_method,
    select_cam_method,
)
from failmodes.runtime.errors import StudyError


@pytest.mark.test_all
@pytest.mark.parametrize(("name", "layer"), [("resnet18", "layer3"), ("torchvision swin", "features.2")])
def test_a_requested_layer_is_looked_at(name: str, layer: str) -> None:
    prepared = model_of(name)
    inputs = prepared.inputs(images_of(name))
    cam_method = select_cam_method(prepared, CASES[name].image, layer=layer)
    output = cam_method(inputs, two_targets)
    assert (cam_method.layer, cam_method.method) == (layer, "grad-cam (backward)")
    classes = output.targets[:, 0]
    expected = package_maps("GradCAM", prepared.module, layer, CASES[name].reshape_transform, inputs, classes)
    assert difference(output.maps[:, 0], expected) < 1e-4


@pytest.mark.parametrize(
    ("name", "requested", "message"),
    [
        ("resnet18", {"method": "gradcamm"}, "'gradcamm'"),
        ("resnet18", {"layer": "layer5"}, "'layer5': .*layer[1-4]"),
        ("resnet18", {"layer": "avgpool"}, "'avgpool' returns .*no spatial positions"),
        ("resnet18", {"method": "closed-form", "layer": "layer3"}, "global average pooling"),
        ("torchvision vit", {"layer": "encoder.ln"}, "do not depend on the spatial positions of layer 'encoder.ln'"),
        pytest.param(
            "timm swin", {"layer": "layers.0.blocks.0.attn"}, "no spatial positions", marks=pytest.mark.test_all
        ),
    ],
)
def test_an_impossible_method_or_layer_is_one_line(name: str, requested: dict, message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        select_cam_method(model_of(name), CASES[name].image, **requested)
    assert "\n" not in str(caught.value)


def test_a_model_without_positions_has_no_cam_unless_one_is_asked_for() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    prepared = ready_model(module, "mlp", NEUTRAL, CPU, "float32", label="MLP")
    assert isinstance(select_cam_method(prepared, (8, 8)), CamUnavailable)
    assert isinstance(select_cam_method(model_of("resnet18"), (32, 32), method="none"), CamUnavailable)
    with pytest.raises(StudyError, match="MLP: no layer .*'auto' or 'none'"):
        select_cam_method(prepared, (8, 8), method="backward")


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_dynamically_quantized_model_has_no_cam() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    module = torch.ao.quantization.quantize_dynamic(pooled.eval(), {nn.Linear}, torch.qint8)
    prepared = ready_model(module, "quantized", NEUTRAL, CPU, "float32", label="Quantized")
    assert select_cam_method(prepared, (8, 8)) == CamUnavailable(QUANTIZED)
    with pytest.raises(StudyError, match="^Quantized: it has quantized layers"):
        select_cam_method(prepared, (8, 8), "closed-form")


def test_a_single_position_is_used_only_without_an_alternative() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    only = select_cam_method(ready_model(pooled, "one place", NEUTRAL, CPU, "float32"), (8, 8))
    assert (only.method, only.layer) == ("grad-cam (closed form)", "1")
    larger = select_cam_method(model_of("resnet18"), (8, 8))  # its last stage is 1×1 there
    assert (larger.method, larger.layer) == ("grad-cam (backward)", "layer3")


def test_a_branch_alone_is_not_looked_at_where_all_evidence_passes_elsewhere() -> None:
    torch.manual_seed(0)
    cam_method = select_cam_method(ready_model(Branches(), "branches", NEUTRAL, CPU, "float32"), (16, 16))
    assert (cam_method.method, cam_method.layer) == ("grad-cam (backward)", "stem")


def test_neither_a_failed_pass_nor_the_callers_inference_mode_changes_maps() -> None:
    prepared = model_of("torchvision convnext")
    cam_method = select_cam_method(prepared, (32, 32))
    inputs = prepared.inputs(images_of("torchvision convnext"))
    expected = cam_method(inputs, two_targets).maps
    handle = prepared.module.classifier.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cam_method(inputs, two_targets)
    handle.remove()
    with torch.inference_mode():
        assert torch.allclose(
            cam_method(prepared.inputs(images_of("torchvision convnext")), two_targets).maps, expected
        )


IN_RESULTS = {
    "closed-form": "grad-cam (closed form)",
    "backward": "grad-cam (backward)",
    "gradcam++": "gradcam++ (grad-cam package)",
    "hirescam": "hirescam (grad-cam package)",
    "xgradcam": "xgradcam (grad-cam package)",
    "gradcamelementwise": "gradcamelementwise (grad-cam package)",
    "layercam": "layercam (grad-cam package)",
    "eigencam": "eigencam (grad-cam package)",
    "eigengradcam": "eigengradcam (grad-cam package)",
    "scorecam": "scorecam (grad-cam package)",
}  # they are part of identities


def test_each_method_has_its_name_in_results_and_a_study_may_give_either() -> None:
    assert set(method_meanings()) == {"auto", "none", "grad-cam", *IN_RESULTS}
    assert {name: cam_methods()[name].method for name in IN_RESULTS} == IN_RESULTS
    for name, in_results in IN_RESULTS.items():
        assert parse_method(f" {name.upper()} ") == parse_method(in_results) == name
    with pytest.raises(StudyError, match="'layercm' .*'layercam'"):
        parse_method("layercm")


class InPlace(nn.Module):
    """Changes a tensor that its gradient needs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.next, self.fc = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Linear(4, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        gate = self.conv(images).sigmoid()
        values = self.next(gate)
        gate += 1
        return self.fc(values.mean((2, 3)) + gate.mean((2, 3)))


def test_a_model_that_breaks_its_gradient_has_no_attention() -> None:
    model = ready_model(InPlace(), "in place", NEUTRAL, CPU, "float32")
    found = select_cam_method(model, (16, 16))
    assert isinstance(found, CamUnavailable)
    assert "modified by an inplace operation" in found.reason
    with pytest.raises(StudyError, match="cannot compute its gradients"):
        select_cam_method(model, (16, 16), "grad-cam")
