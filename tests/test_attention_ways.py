"""Ways to attend: what is found in networks of many endings, and their maps against the grad-cam package."""

import gc
import weakref
from collections import OrderedDict

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam import GradCAM
from torch import nn

from failmodes.evaluate.cam.cam_method import LIBRARY_CLASSES, CamUnavailable
from failmodes.evaluate.cam.closed_form import IDENTITY_TOLERANCE
from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.cam.pooled_head import find_pooled_linear_head
from failmodes.evaluate.cam.probe import probe_inputs
from failmodes.evaluate.cam.reshape_transform import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    ReshapeTransform,
    infer_reshape_transform,
    token_reshape_transform,
)
from failmodes.evaluate.models.network import compile_network, prepare_network
from failmodes.warehouse.errors import ModelError
from tests.attention_networks import (
    CASES,
    CLASSES,
    CLOSED,
    CPU,
    NEUTRAL,
    Odd,
    difference,
    images_of,
    network_of,
    package_maps,
    two_targets,
)


class Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def witness_of(name: str, module: nn.Module) -> tuple[nn.Module, str]:
    """The same network with a module that gives the map, runs once and is not written into, for the package to hook."""
    pool = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    if name == "densenet121":
        layers = {"features": module.features, "last": nn.ReLU(), **pool, "classifier": module.classifier}
    elif name.startswith("user's odd ending"):
        layers = {"first": module.first, "act": nn.ReLU(), "second": module.second, "last": nn.ReLU(), **pool}
        layers["out"] = module.out
    elif name == "user's head over a flattened map":
        layers = {"conv": module.conv, "last": module.norm, "twice": Twice(), "relu": nn.ReLU()}
        layers |= {"flatten": nn.Flatten(), "head": module.head}
    else:
        return module, CASES[name].layer
    return nn.Sequential(OrderedDict(layers)), "last"


def compare(name: str, wanted: str, precision: str = "float32") -> float:
    """The largest relative difference of both targets' maps from the package's Grad-CAM in float32."""
    network = network_of(name, precision)
    inputs = network.inputs(images_of(name))
    attended = select_cam_method(network, CASES[name].image, wanted=wanted)(inputs, two_targets)
    module, layer = witness_of(name, network.module)
    worst = 0.0
    for column in range(2):
        expected = package_maps(GradCAM, module, layer, CASES[name].layout, inputs, attended.targets[:, column])
        worst = max(worst, difference(attended.maps[:, column], expected))
    return worst


@pytest.mark.parametrize("name", CASES)
def test_maps_of_two_targets_equal_the_packages(name: str) -> None:
    assert compare(name, "auto") < 1e-4


@pytest.mark.parametrize("name", CASES)
def test_layer_and_method_are_found_and_no_hook_but_one_stays(name: str) -> None:
    case, network = CASES[name], network_of(name)
    way = select_cam_method(network, case.image)
    assert way.layer == case.layer
    assert way.method == ("grad-cam (closed form)" if case.head else "grad-cam (backward)")
    if case.head:
        pooled = find_pooled_linear_head(network, probe_inputs(network, case.image))
        assert (pooled.layer, pooled.head, pooled.layout) == (case.layer, case.head, case.layout)
    else:
        assert way.tail.layout == case.layout
    hooked = [label for label, part in network.module.named_modules() if part._forward_hooks]
    assert hooked == [case.layer]


@pytest.mark.parametrize("name", [name for name in CLOSED if name != "densenet121"])
def test_backward_at_the_pooled_layer_equals_the_closed_form(name: str) -> None:
    network = network_of(name)
    inputs = network.inputs(images_of(name))
    closed, backward = (select_cam_method(network, CASES[name].image, wanted=w) for w in ("closed-form", "backward"))
    expected, found = closed(inputs, two_targets), backward(inputs, two_targets)
    assert float(expected.identity_error) < IDENTITY_TOLERANCE["float32"]
    assert backward.layer == closed.layer
    assert found.identity_error is None
    assert torch.allclose(found.logits, expected.logits, atol=1e-5)
    assert difference(found.maps.reshape(8, -1), expected.maps.reshape(8, -1).numpy()) < 1e-4


@pytest.mark.parametrize("name", ["resnet18", "torchvision convnext", "timm vit"])
def test_bfloat16_stays_near_float32(name: str) -> None:
    network, rough = network_of(name), network_of(name, "bfloat16")
    inputs = network.inputs(images_of(name))
    expected, found = (
        select_cam_method(one, CASES[name].image)(inputs, two_targets_of_first) for one in (network, rough)
    )
    assert found.maps.dtype == torch.float32
    assert difference(found.maps, expected.maps.numpy()) < 5e-2


def two_targets_of_first(logits: torch.Tensor) -> torch.Tensor:
    return torch.tensor([[0, 1]]).expand(len(logits), 2)


@pytest.mark.parametrize("name", ["torchvision efficientnet_b0", "torchvision convnext", "timm swin"])
def test_a_subset_of_the_outputs_has_the_maps_of_its_classes(name: str) -> None:
    everything, some = network_of(name), network_of(name, outputs=[5, 2])
    inputs = everything.inputs(images_of(name))
    full = select_cam_method(everything, CASES[name].image)(inputs, lambda logits: torch.tensor([[5, 2]]).expand(4, 2))
    part = select_cam_method(some, CASES[name].image)(inputs, two_targets_of_first)
    assert torch.equal(part.logits, full.logits[:, [5, 2]])
    assert torch.allclose(part.maps, full.maps, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["torchvision convnext", "timm vit"])
def test_three_targets_need_a_backward_pass_each_only_where_they_differ(name: str, monkeypatch) -> None:
    network = network_of(name)
    way, inputs = select_cam_method(network, CASES[name].image), network.inputs(images_of(name))
    passes = []
    real = torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *a, **k: passes.append(1) or real(*a, **k))
    alike = way(inputs, lambda logits: logits.argmax(1, keepdim=True).expand(-1, 3))
    assert len(passes) == 1
    assert torch.equal(alike.maps[:, 0], alike.maps[:, 2])
    apart = way(inputs, lambda logits: torch.cat([logits.argsort(1, descending=True)[:, :2], alike.targets[:, :1]], 1))
    assert len(passes) == 3
    assert torch.equal(apart.maps[:, 0], apart.maps[:, 2])
    assert not torch.equal(apart.maps[:, 0], apart.maps[:, 1])


@pytest.mark.parametrize("method", LIBRARY_CLASSES)
@pytest.mark.parametrize("name", ["torchvision convnext", "timm vit", "timm swin"])
def test_each_method_of_the_package_equals_a_direct_call(name: str, method: str, capsys) -> None:
    network = network_of(name)
    inputs = network.inputs(images_of(name, 2))
    way = select_cam_method(network, CASES[name].image, wanted=method)
    attended = way(inputs, two_targets)
    assert (way.method, way.layer) == (f"{method} (grad-cam package)", CASES[name].layer)
    cam_class = getattr(pytorch_grad_cam, LIBRARY_CLASSES[method])
    for column in range(2):
        arguments = (network.module, way.layer, CASES[name].layout, inputs, attended.targets[:, column])
        assert difference(attended.maps[:, column], package_maps(cam_class, *arguments)) < 1e-4
    assert capsys.readouterr().err == ""  # Score-CAM's progress bars


def test_a_method_of_the_package_meets_the_outputs_that_are_classes() -> None:
    network = network_of("torchvision convnext", outputs=[5, 2])
    inputs = network.inputs(images_of("torchvision convnext", 2))
    for method in ("layercam", "scorecam"):
        found = select_cam_method(network, (32, 32), wanted=method)(inputs, lambda logits: torch.tensor([[1], [1]]))
        cam_class = getattr(pytorch_grad_cam, LIBRARY_CLASSES[method])
        expected = package_maps(cam_class, network.module, "features", CHANNELS_FIRST, inputs, torch.tensor([2, 2]))
        assert difference(found.maps[:, 0], expected) < 1e-4


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
def test_a_layer_asked_for_is_looked_at(name: str, layer: str, method: str) -> None:
    network = network_of(name)
    inputs = network.inputs(images_of(name))
    way = select_cam_method(network, CASES[name].image, layer=layer)
    attended = way(inputs, two_targets)
    assert (way.layer, way.method) == (layer, method)
    if method == "grad-cam (closed form)":
        expected = select_cam_method(network, CASES[name].image)(inputs, two_targets).maps[:, 0].numpy()
    else:
        classes = attended.targets[:, 0]
        expected = package_maps(GradCAM, network.module, layer, CASES[name].layout, inputs, classes)
    assert difference(attended.maps[:, 0], expected) < 1e-4


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("resnet18", {"wanted": "gradcamm"}, "unknown attention method 'gradcamm'.*choose from auto, none"),
        ("resnet18", {"layer": "layer5"}, "no layer 'layer5': .*such as layer[1-4]"),
        ("resnet18", {"layer": "avgpool"}, "'avgpool' gives .*no places.*earlier layer"),
        ("resnet18", {"layer": "fc"}, "'fc' gives .*no places"),
        ("resnet18", {"wanted": "closed-form", "layer": "layer3"}, "does not end in global average pooling"),
        ("timm vit", {"wanted": "closed-form"}, "does not end in global average pooling"),
        ("timm vit", {"layer": "norm"}, "do not depend on the places of layer 'norm'"),
        ("torchvision convnext", {"layer": "features.9"}, "no layer 'features.9': .*such as features[.]"),
    ],
)
def test_what_cannot_be_had_is_said_in_one_line(name: str, asked: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        select_cam_method(network_of(name), CASES[name].image, **asked)
    assert "\n" not in str(caught.value)


def test_a_network_without_places_has_no_way_and_says_why() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 16), nn.ReLU(), nn.Linear(16, CLASSES))
    network = prepare_network(module, "mlp", NEUTRAL, CPU, "float32", label="MLP")
    assert select_cam_method(network, (8, 8)) == CamUnavailable(
        "no layer that the logits depend on has places on the image"
    )
    assert select_cam_method(network, (8, 8), wanted="none") == CamUnavailable("switched off in the study")
    for wanted in ("grad-cam", "backward", "layercam"):
        with pytest.raises(ModelError, match="MLP: no layer .*set attention to 'auto' or 'none'"):
            select_cam_method(network, (8, 8), wanted=wanted)


def test_a_network_that_does_not_run_on_such_images_is_named() -> None:
    with pytest.raises(ModelError, match="timm vit does not run on images of 24×24 pixels .*input_side_px"):
        select_cam_method(network_of("timm vit"), (24, 24))
    pair = prepare_network(nn.Conv2d(3, 4, 3), "conv", NEUTRAL, CPU, "float32", label="Conv")
    with pytest.raises(ModelError, match=r"Conv gives \(3, 4, 6, 6\) for 3 images instead of .*logits"):
        select_cam_method(pair, (8, 8))


def test_a_single_place_is_taken_only_where_there_is_no_other() -> None:
    pooled = nn.Sequential(nn.Conv2d(3, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    only = select_cam_method(prepare_network(pooled, "one place", NEUTRAL, CPU, "float32"), (8, 8))
    assert (only.method, only.layer) == ("grad-cam (closed form)", "1")
    larger = select_cam_method(network_of("resnet18"), (8, 8))  # its last stage is 1×1 there
    assert (larger.method, larger.layer) == ("grad-cam (backward)", "layer3")


def test_nothing_of_a_batch_is_kept_after_the_call() -> None:
    for name in ("resnet18", "torchvision convnext"):
        network, kept = network_of(name), []
        way = select_cam_method(network, CASES[name].image)

        def remember(_module: nn.Module, _inputs: object, output: torch.Tensor, kept: list = kept) -> None:
            kept.append(weakref.ref(output))

        network.module.get_submodule(way.layer).register_forward_hook(remember)
        way(network.inputs(images_of(name)), two_targets)
        network.predict(images_of(name))
        gc.collect()
        assert [reference() for reference in kept] == [None, None]


def test_a_failing_pass_leaves_nothing_behind() -> None:
    network = network_of("torchvision convnext")
    way = select_cam_method(network, (32, 32))
    handle = network.module.classifier.register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        way(network.inputs(images_of("torchvision convnext")), two_targets)
    assert way.tail.start is None
    assert not way.tail.listening
    handle.remove()
    assert way(network.inputs(images_of("torchvision convnext")), two_targets).maps.max() > 0


def test_a_way_works_where_the_caller_is_in_inference_mode() -> None:
    for name in ("resnet18", "timm vit"):
        network = network_of(name)
        way = select_cam_method(network, CASES[name].image)
        expected = way(network.inputs(images_of(name)), two_targets).maps
        with torch.inference_mode():
            assert torch.allclose(way(network.inputs(images_of(name)), two_targets).maps, expected)


@pytest.mark.parametrize("wanted", ["closed-form", "backward"])
def test_a_network_compiled_after_the_way_was_made_still_gives_maps(wanted: str) -> None:
    module = Odd()
    network = prepare_network(module, "odd", NEUTRAL, CPU, "float32")
    inputs = network.inputs(np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8))
    way = select_cam_method(network, (16, 16), wanted=wanted)
    expected = way(inputs, two_targets)
    module.compile(backend="eager")
    assert torch.allclose(way(inputs, two_targets).maps, expected.maps)


def test_a_network_that_diverged_has_a_way_like_any_other() -> None:
    network = network_of("torchvision convnext")
    network.module.features[0][0].weight.fill_(torch.nan)
    way = select_cam_method(network, (32, 32))
    assert way.layer == "features"
    assert way(network.inputs(images_of("torchvision convnext")), two_targets).maps.isnan().all()


@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((2, 64, 7, 7), (224, 224), CHANNELS_FIRST),
        ((2, 7, 7, 64), (224, 224), CHANNELS_LAST),
        ((2, 8, 12, 16), (32, 48), CHANNELS_LAST),
        ((2, 16, 30, 30), (32, 32), CHANNELS_FIRST),
        ((2, 16, 1, 1), (32, 32), None),
        ((2, 3, 197, 64), (224, 224), None),
        ((2, 197, 64), (224, 224), ReshapeTransform("tokens", 1, (14, 14))),
        ((2, 101, 64), (224, 224), ReshapeTransform("tokens", 1, (10, 10))),
        ((2, 261, 64), (224, 224), ReshapeTransform("tokens", 5, (16, 16))),
        ((2, 31, 64), (100, 80), ReshapeTransform("tokens", 1, (6, 5))),
        ((2, 1, 64), (224, 224), None),
        ((2, 64), (224, 224), None),
    ],
)
def test_layouts_are_told_from_shapes(shape: tuple, image: tuple, expected: ReshapeTransform | None) -> None:
    assert infer_reshape_transform(torch.zeros(shape), image, None) == expected


def test_the_grid_that_the_network_states_comes_first() -> None:
    assert token_reshape_transform(17, (32, 32), (2, 8)) == ReshapeTransform("tokens", 1, (2, 8))
    assert token_reshape_transform(17, (32, 32), (8, 8)) == ReshapeTransform("tokens", 1, (4, 4))


class Branches(nn.Module):
    """Two branches that are added up, then an ending that has no closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2)
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.head = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, CLASSES))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        return self.head((self.left(x) + self.right(x)).relu().mean((2, 3)))


def test_a_branch_alone_is_not_looked_at_where_all_evidence_passes_elsewhere() -> None:
    torch.manual_seed(0)
    network = prepare_network(Branches(), "branches", NEUTRAL, CPU, "float32")
    way = select_cam_method(network, (16, 16))
    assert (way.method, way.layer) == ("grad-cam (backward)", "stem")


@pytest.mark.slow
def test_a_backward_pass_through_a_compiled_network_gives_the_same_maps() -> None:
    """Compiled for real, in batches of two sizes, with targets that differ."""
    torch.manual_seed(0)
    network = prepare_network(Branches(), "branches", NEUTRAL, CPU, "float32")
    way = select_cam_method(network, (16, 16))
    images = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), dtype=np.uint8)

    def maps(count: int) -> torch.Tensor:
        return way(network.inputs(images[:count]), lambda logits: logits.argsort(1)[:, -2:]).maps

    plain = [maps(count) for count in (5, 8, 3)]
    compile_network(network)
    for expected, count in zip(plain, (5, 8, 3), strict=True):
        torch.testing.assert_close(maps(count), expected, rtol=1e-4, atol=1e-6)
