"""CAM methods: what is found in models of many endings, and their maps against the grad-cam package."""

import gc
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from cam_models import (
    CASES,
    CLASSES,
    CPU,
    NEUTRAL,
    Odd,
    difference,
    images_of,
    model_of,
    package_maps,
    two_targets,
)
from model_specs import ready_model
from pytorch_grad_cam import GradCAM
from torch import nn

import failmodes
from failmodes.evaluate.cam.method_selection import QUANTIZED, select_cam_method
from failmodes.evaluate.cam.methods.closed_form import find_pooled_layer
from failmodes.evaluate.cam.probe import probe_inputs
from failmodes.evaluate.models.model import CamUnavailable
from failmodes.warehouse.errors import ModelError, StudyError


@pytest.mark.parametrize("name", CASES)
def test_layer_and_method_are_found_and_no_hook_but_one_stays(name: str) -> None:
    case, prepared = CASES[name], model_of(name)
    cam_method = select_cam_method(prepared, case.image)
    assert cam_method.layer == case.layer
    assert cam_method.method == ("grad-cam (closed form)" if case.head else "grad-cam (backward)")
    if case.head:
        pooled = find_pooled_layer(prepared, probe_inputs(prepared, case.image))
        assert (pooled.layer, pooled.head, pooled.reshape_transform) == (case.layer, case.head, case.reshape_transform)
    else:
        assert cam_method.target.reshape_transform == case.reshape_transform
    hooked = [label for label, part in prepared.module.named_modules() if part._forward_hooks]
    assert hooked == [case.layer]


@pytest.mark.parametrize(
    ("name", "layer", "method"),
    [
        ("resnet18", "layer3", "grad-cam (backward)"),
        ("resnet18", "layer4.1", "grad-cam (closed form)"),
        ("densenet121", "features.norm5", "grad-cam (closed form)"),
        ("torchvision swin", "features.2", "grad-cam (backward)"),
        ("timm vit", "blocks.0", "grad-cam (backward)"),
    ],
)
def test_a_requested_layer_is_looked_at(name: str, layer: str, method: str) -> None:
    prepared = model_of(name)
    inputs = prepared.inputs(images_of(name))
    cam_method = select_cam_method(prepared, CASES[name].image, layer=layer)
    output = cam_method(inputs, two_targets)
    assert (cam_method.layer, cam_method.method) == (layer, method)
    if method == "grad-cam (closed form)":
        expected = select_cam_method(prepared, CASES[name].image)(inputs, two_targets).maps[:, 0].numpy()
    else:
        classes = output.targets[:, 0]
        expected = package_maps(GradCAM, prepared.module, layer, CASES[name].reshape_transform, inputs, classes)
    assert difference(output.maps[:, 0], expected) < 1e-4


@pytest.mark.parametrize(
    ("name", "requested", "message"),
    [
        ("resnet18", {"method": "gradcamm"}, "unknown attention method 'gradcamm'.*choose from auto, none"),
        ("resnet18", {"layer": "layer5"}, "no layer 'layer5': .*such as layer[1-4]"),
        ("resnet18", {"layer": "avgpool"}, "'avgpool' gives .*no places.*earlier layer"),
        ("resnet18", {"layer": "fc"}, "'fc' gives .*no places"),
        ("resnet18", {"method": "closed-form", "layer": "layer3"}, "does not end in global average pooling"),
        ("timm vit", {"method": "closed-form"}, "does not end in global average pooling"),
        ("timm vit", {"layer": "norm"}, "do not depend on the places of layer 'norm'"),
        ("timm swin", {"layer": "layers.0.blocks.0.attn"}, "'layers.0.blocks.0.attn' gives .* on 3 images .*no places"),
        ("torchvision convnext", {"layer": "features.9"}, "no layer 'features.9': .*such as features[.]"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(name: str, requested: dict, message: str) -> None:
    with pytest.raises(StudyError, match=message) as caught:
        select_cam_method(model_of(name), CASES[name].image, **requested)
    assert "\n" not in str(caught.value)


def test_a_model_without_positions_has_no_cam_and_says_why() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    prepared = ready_model(module, "mlp", NEUTRAL, CPU, "float32", label="MLP")
    assert select_cam_method(prepared, (8, 8)) == CamUnavailable(
        "no layer that the logits depend on has places on the image"
    )
    assert select_cam_method(prepared, (8, 8), method="none") == CamUnavailable("switched off in the study")
    for method in ("grad-cam", "backward", "layercam"):
        with pytest.raises(StudyError, match="MLP: no layer .*set attention to 'auto' or 'none'"):
            select_cam_method(prepared, (8, 8), method=method)


class Quantizable(nn.Module):
    """A model with a pooled linear head, the last part of which is then quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3), nn.Linear(8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).relu().mean((2, 3)))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_dynamically_quantized_model_is_evaluated_without_attention_and_says_why(tmp_path: Path) -> None:
    module = torch.ao.quantization.quantize_dynamic(Quantizable().eval(), {nn.Linear}, torch.qint8)
    prepared = ready_model(module, "quantized", NEUTRAL, CPU, "float32", label="Quantized")
    assert select_cam_method(prepared, (8, 8)) == CamUnavailable(QUANTIZED)
    for method in ("grad-cam", "closed-form", "backward", "layercam", "eigencam"):
        with pytest.raises(StudyError, match=f"^Quantized: it has quantized layers, .* so there is no {method}: set "):
            select_cam_method(prepared, (8, 8), method)
    with pytest.raises(StudyError, match="^Quantized: no gradient of the logits reaches layer .conv. .*quantized"):
        select_cam_method(prepared, (8, 8), layer="conv")
    images = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    options = {"corruptions": ["contrast"], "severities": [1], "progress": False}
    options["options"] = failmodes.Options(deterministic=False)
    with failmodes.benchmark(module, images, np.arange(6), to=tmp_path, **options) as warehouse:
        (row,) = warehouse.table("evaluations").rows(named=True)
        assert (row["attention_method"], row["attention_note"]) == ("none", QUANTIZED)
        assert warehouse.table("predictions").height == 2 * 6


def test_a_model_that_does_not_run_on_such_images_is_named() -> None:
    with pytest.raises(ModelError, match="timm vit cannot take images of 24×24 px: .*input_side_px"):
        select_cam_method(model_of("timm vit"), (24, 24))
    pair = ready_model(nn.Conv2d(3, 4, 3), "conv", NEUTRAL, CPU, "float32", label="Conv")
    with pytest.raises(ModelError, match=r"Conv gives \(3, 4, 6, 6\) for 3 images instead of .*logits"):
        select_cam_method(pair, (8, 8))


def test_a_single_position_is_taken_only_where_there_is_no_other() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    only = select_cam_method(ready_model(pooled, "one place", NEUTRAL, CPU, "float32"), (8, 8))
    assert (only.method, only.layer) == ("grad-cam (closed form)", "1")
    larger = select_cam_method(model_of("resnet18"), (8, 8))  # its last stage is 1×1 there
    assert (larger.method, larger.layer) == ("grad-cam (backward)", "layer3")


@pytest.mark.slow
def test_nothing_of_a_batch_is_kept_after_the_call() -> None:
    for name in ("resnet18", "torchvision convnext"):
        prepared, kept = model_of(name), []
        cam_method = select_cam_method(prepared, CASES[name].image)

        def remember(_module: nn.Module, _inputs: object, output: torch.Tensor, kept: list = kept) -> None:
            kept.append(weakref.ref(output))

        prepared.module.get_submodule(cam_method.layer).register_forward_hook(remember)
        cam_method(prepared.inputs(images_of(name)), two_targets)
        prepared.predict(images_of(name))
        gc.collect()
        assert [reference() for reference in kept] == [None, None]


def test_a_failing_pass_leaves_nothing_behind() -> None:
    prepared = model_of("torchvision convnext")
    cam_method = select_cam_method(prepared, (32, 32))
    handle = prepared.module.classifier.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        cam_method(prepared.inputs(images_of("torchvision convnext")), two_targets)
    assert cam_method.captured is None
    assert not cam_method.listening
    handle.remove()
    assert cam_method(prepared.inputs(images_of("torchvision convnext")), two_targets).maps.max() > 0


def test_a_cam_method_works_where_the_caller_is_in_inference_mode() -> None:
    for name in ("resnet18", "timm vit"):
        prepared = model_of(name)
        cam_method = select_cam_method(prepared, CASES[name].image)
        expected = cam_method(prepared.inputs(images_of(name)), two_targets).maps
        with torch.inference_mode():
            assert torch.allclose(cam_method(prepared.inputs(images_of(name)), two_targets).maps, expected)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["closed-form", "backward"])
def test_a_model_compiled_after_the_cam_method_was_made_still_gives_maps(method: str) -> None:
    module = Odd()
    prepared = ready_model(module, "odd", NEUTRAL, CPU, "float32")
    inputs = prepared.inputs(np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    cam_method = select_cam_method(prepared, (16, 16), method=method)
    expected = cam_method(inputs, two_targets)
    module.compile(backend="eager")
    assert torch.allclose(cam_method(inputs, two_targets).maps, expected.maps)


def test_a_model_that_diverged_has_a_cam_method_like_any_other() -> None:
    prepared = model_of("torchvision convnext")
    prepared.module.features[0][0].weight.fill_(torch.nan)
    cam_method = select_cam_method(prepared, (32, 32))
    assert cam_method.layer == "features"
    assert cam_method(prepared.inputs(images_of("torchvision convnext")), two_targets).maps.isnan().all()
