"""Small models of many endings with random weights, and the grad-cam package's raw maps of them."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from model_specs import ready_model
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig

from failmodes.evaluate.cam.method_selection import select_cam_method
from failmodes.evaluate.cam.reshape_transform import CHANNELS_FIRST, CHANNELS_LAST, ReshapeTransform
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_schema import Normalization

CPU = torch.device("cpu")
NEUTRAL = Normalization(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
CLASSES = 7


class Case(NamedTuple):
    """A model, the images it meets, and what must be found: layer, its reshape transform, head of a closed form."""

    build: Callable[[], nn.Module]
    image: tuple[int, int]
    layer: str
    head: str | None = None
    reshape_transform: ReshapeTransform = CHANNELS_FIRST


class Odd(nn.Module):
    """A user's model: squeezed in an odd way, dropout twice, one shared ReLU, a head that is not last in the list."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(12, CLASSES, bias=False)
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 12, 3, stride=2, padding=1)
        self.act, self.drop = nn.ReLU(inplace=True), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.drop(self.act(self.second(self.act(self.first(x)))))
        return self.out(self.drop(x.flatten(2).transpose(1, 2).mean(1)))


class Unpooled(nn.Module):
    """A user's model whose head reads the flattened map, so that it has no closed form; writes in place behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6 * 8 * 8, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.conv(x)).mul_(2).relu_().flatten(1))


def _timm(name: str, **options) -> nn.Module:
    import timm

    return timm.create_model(name, num_classes=CLASSES, **options)


def _timm_vit(**options) -> nn.Module:
    size = {"img_size": 32, "patch_size": 4, "embed_dim": 32, "depth": 2, "num_heads": 2}
    return _timm("vit_tiny_patch16_224", **(size | options))


def _torchvision_vit() -> nn.Module:
    model = models.VisionTransformer(32, 4, 2, 2, 32, 64, num_classes=CLASSES)
    nn.init.normal_(model.heads.head.weight)  # torchvision starts from zeros, where no gradient is
    return model


def _torchvision_convnext() -> nn.Module:
    return models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=CLASSES)


def _torchvision_swin() -> nn.Module:
    return models.SwinTransformer([2, 2], 16, [1, 1], [1, 2], [4, 4], num_classes=CLASSES)


def _timm_swin() -> nn.Module:
    return _timm(
        "swin_tiny_patch4_window7_224", img_size=32, patch_size=2, window_size=4, embed_dim=16, depths=(1, 1),
        num_heads=(1, 2),
    )  # fmt: skip


def _tokens(rows: int, columns: int) -> ReshapeTransform:
    return ReshapeTransform("tokens", 1, (rows, columns))


CASES = {
    "resnet18": Case(lambda: ARCHITECTURES["resnet18"](CLASSES, 16), (32, 32), "layer4", "fc"),
    "densenet121": Case(lambda: ARCHITECTURES["densenet121"](CLASSES, 16), (32, 32), "features", "classifier"),
    "torchvision efficientnet_b0": Case(
        lambda: models.efficientnet_b0(num_classes=CLASSES), (64, 64), "features", "classifier.1"
    ),
    "torchvision swin": Case(_torchvision_swin, (32, 32), "norm", "head", CHANNELS_LAST),
    "timm resnet": Case(
        lambda: _timm("test_resnet"), (64, 64), "layer4", "fc"
    ),
    "timm efficientnet": Case(
        lambda: _timm("test_efficientnet"), (64, 64), "bn2", "classifier"
    ),
    "timm swin": Case(_timm_swin, (32, 32), "norm", "head.fc", CHANNELS_LAST),
    "timm vit, patches averaged": Case(
        lambda: _timm_vit(global_pool="avg", fc_norm=False), (32, 32), "norm", "head", _tokens(8, 8)
    ),
    "user's odd ending": Case(Odd, (16, 16), "act", "out"),
    "user's odd ending, oblong": Case(Odd, (16, 24), "act", "out"),
    "torchvision mobilenet_v3_small": Case(
        lambda: models.mobilenet_v3_small(num_classes=CLASSES), (64, 64), "features"
    ),
    "torchvision convnext": Case(_torchvision_convnext, (32, 32), "features"),
    "timm convnext": Case(lambda: _timm("test_convnext"), (64, 64), "stages"),
    "timm vit": Case(_timm_vit, (32, 32), "blocks.1.norm1", None, _tokens(8, 8)),
    "timm vit, oblong": Case(
        lambda: _timm_vit(img_size=(32, 48)), (32, 48), "blocks.1.norm1", None, _tokens(8, 12)
    ),
    "torchvision vit": Case(
        _torchvision_vit, (32, 32), "encoder.layers.encoder_layer_1.ln_1", None, _tokens(8, 8)
    ),
    "user's head over a flattened map": Case(Unpooled, (16, 16), "norm"),
}  # fmt: skip

CLOSED = [name for name, case in CASES.items() if case.head is not None]


def with_marks(names: Iterable[str]) -> list[Any]:
    """Names of cases as parameters of a test; large models and those of timm run in `make test-all`."""
    return [
        pytest.param(
            name,
            marks=[pytest.mark.test_all]
            * (name.startswith("timm") or name in ("torchvision efficientnet_b0", "torchvision mobilenet_v3_small")),
        )
        for name in names
    ]


def model_of(name: str, precision: str = "float32", outputs: list[int] | None = None) -> Model:
    """The model of a case, with weights drawn from one seed."""
    torch.manual_seed(0)
    return ready_model(CASES[name].build(), name, NEUTRAL, CPU, precision, label=name, outputs=outputs)


def images_of(name: str, count: int = 4) -> np.ndarray:
    """Images (count, H, W, 3) uint8 as the case meets them; others than the trial's."""
    return np.random.default_rng(7).integers(0, 256, (count, *CASES[name].image, 3), dtype=np.uint8)


def two_targets(logits: torch.Tensor) -> torch.Tensor:
    """Targets (N, 2): the largest logit, and for every other image the second largest."""
    ranked = logits.argsort(1, descending=True)
    second = torch.where(torch.arange(len(logits)) % 2 == 0, ranked[:, 0], ranked[:, 1])
    return torch.stack([ranked[:, 0], second], 1)


def package_maps(
    cam_class: str,
    module: nn.Module,
    layer: str,
    reshape_transform: ReshapeTransform,
    inputs: torch.Tensor,
    classes: torch.Tensor,
) -> np.ndarray:
    """Rectified raw maps (N, h, w) of the package, which runs the model forward and backward itself."""
    import pytorch_grad_cam  # takes a second
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    class Raw(getattr(pytorch_grad_cam, cam_class)):
        def compute_cam_per_layer(self, input_tensor, targets, eigen_smooth):
            kept = self.activations_and_grads
            features = kept.activations[0].numpy()
            gradients = kept.gradients[0].numpy() if kept.gradients else None
            return self.get_cam_image(input_tensor, self.target_layers[0], targets, features, gradients, eigen_smooth)

        def aggregate_multi_layers(self, cam_per_target_layer):
            return np.maximum(cam_per_target_layer, 0)

    module.requires_grad_(True)
    place = module.get_submodule(layer)
    transform = None if reshape_transform == CHANNELS_FIRST else reshape_transform
    try:
        with Raw(model=module, target_layers=[place], reshape_transform=transform) as cam:
            return cam(inputs.clone(), [ClassifierOutputTarget(int(c)) for c in classes])
    finally:
        module.requires_grad_(False)


def difference(ours: torch.Tensor, expected: np.ndarray) -> float:
    """The largest difference, relative to the largest value expected."""
    assert expected.max() > 0
    return float(np.abs(ours.numpy() - expected).max() / expected.max())


class _Twice(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2


def _witness_of(name: str, module: nn.Module) -> tuple[nn.Module, str]:
    """The same model with a module that gives the map, runs once and is not written into, for the package to hook."""
    pool = {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten()}
    if name == "densenet121":
        layers = {"features": module.features, "last": nn.ReLU(), **pool, "classifier": module.classifier}
    elif name.startswith("user's odd ending"):
        layers = {"first": module.first, "act": nn.ReLU(), "second": module.second, "last": nn.ReLU(), **pool}
        layers["out"] = module.out
    elif name == "user's head over a flattened map":
        layers = {"conv": module.conv, "last": module.norm, "twice": _Twice(), "relu": nn.ReLU()}
        layers |= {"flatten": nn.Flatten(), "head": module.head}
    else:
        return module, CASES[name].layer
    return nn.Sequential(OrderedDict(layers)), "last"


def difference_from_package(prepared: Model, name: str, images: np.ndarray) -> float:
    """The largest relative difference of both targets' maps from the package's Grad-CAM in float32."""
    inputs = prepared.inputs(images)
    output = select_cam_method(prepared, images.shape[1:3])(inputs, two_targets)
    module, layer = _witness_of(name, prepared.module)
    expected = [
        package_maps("GradCAM", module, layer, CASES[name].reshape_transform, inputs, output.targets[:, column])
        for column in range(2)
    ]
    return max(difference(output.maps[:, column], expected[column]) for column in range(2))


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
