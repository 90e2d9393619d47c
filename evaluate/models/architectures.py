"""Architectures of ours: torchvision's networks with the CIFAR stem.

The CIFAR stem replaces the first convolution by 3×3, stride 1, padding 1 and drops the max-pool, as the field does for
32-pixel images. A `width` below the published 64 scales every layer; such a network is named as a variant.

The CIFAR stem for other people's ResNets and DenseNets: a 3×3 first convolution with stride 1, and no max-pool.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import nn
from torchvision.models import DenseNet, ResNet
from torchvision.models.resnet import BasicBlock

from failmodes.warehouse.errors import ModelError

PUBLISHED_WIDTH = 64

STEM = "cifar (3x3 stride 1, no max-pool)"


class Architecture(NamedTuple):
    """How to build a network.

    Attributes:
        family: family name.
        build: (classes, width) → network.
    """

    family: str
    build: Callable[[int, int], nn.Module]


def densenet121(classes: int, width: int = PUBLISHED_WIDTH) -> nn.Module:
    """DenseNet-121 (Huang et al. 2017) with the CIFAR stem; growth rate is half the width."""
    network = DenseNet(
        growth_rate=width // 2, block_config=(6, 12, 24, 16), num_init_features=width, num_classes=classes
    )
    network.features.conv0 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    network.features.pool0 = nn.Identity()
    return network


def resnet18(classes: int, width: int = PUBLISHED_WIDTH) -> nn.Module:
    """ResNet-18 (He et al. 2016) with the CIFAR stem; stages of width, 2, 4 and 8 × width channels."""
    network = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes)
    if width != PUBLISHED_WIDTH:  # torchvision fixes the stage widths, so the narrow stages are laid anew
        network.inplanes = width
        network.bn1 = nn.BatchNorm2d(width)
        for stage, stride in enumerate((1, 2, 2, 2)):
            layer = network._make_layer(BasicBlock, width * 2**stage, 2, stride=stride)
            setattr(network, f"layer{stage + 1}", layer)
        network.fc = nn.Linear(width * 8, classes)
    network.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    network.maxpool = nn.Identity()
    return network


ARCHITECTURES = {
    "resnet18": Architecture("resnet", resnet18),
    "densenet121": Architecture("densenet", densenet121),
}

STEM_LAYERS = (("conv1", "maxpool"), ("features.conv0", "features.pool0"))  # of ResNets and of DenseNets


def variant_of(width: int) -> str | None:
    """How a network of this width differs from the published one, in words."""
    return None if width == PUBLISHED_WIDTH else f"small: width {width} instead of {PUBLISHED_WIDTH}"


def replace_stem(module: nn.Module, architecture: str) -> nn.Module:
    """Replace the stem of a ResNet or DenseNet, in place.

    Raises:
        ModelError: the network does not begin with one 7×7 convolution and a max-pool in the usual places.
    """
    for convolution, pool in STEM_LAYERS:
        try:
            first, second = module.get_submodule(convolution), module.get_submodule(pool)
        except AttributeError:
            continue
        if isinstance(first, nn.Conv2d) and first.kernel_size == (7, 7) and isinstance(second, nn.MaxPool2d):
            laid = nn.Conv2d(
                first.in_channels, first.out_channels, kernel_size=3, stride=1, padding=1, bias=first.bias is not None
            )
            module.set_submodule(convolution, laid)
            module.set_submodule(pool, nn.Identity())
            return module
    raise ModelError(
        f'stem = "cifar" does not fit {architecture}: expected a ResNet or DenseNet that begins with one 7×7 '
        "convolution and a max-pool; leave `stem` out"
    )
