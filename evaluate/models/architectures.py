"""Built-in architectures: torchvision's networks with the CIFAR stem; and that stem for other ResNets and DenseNets.

The CIFAR stem replaces the first convolution by 3×3, stride 1, padding 1 and drops the max-pool, as the field does for
32-pixel images. A `width` below the published 64 scales every layer; such a network is named as a variant.
"""

from collections.abc import Callable

from torch import nn
from torchvision.models import DenseNet, ResNet
from torchvision.models.resnet import BasicBlock

from failmodes.warehouse.errors import ModelError

PUBLISHED_WIDTH = 64
STEM = "cifar (3x3 stride 1, no max-pool)"
STEM_LAYERS = (("conv1", "maxpool"), ("features.conv0", "features.pool0"))  # of ResNets and of DenseNets


def densenet121(classes: int, width: int = PUBLISHED_WIDTH) -> DenseNet:
    """DenseNet-121 (Huang et al. 2017) with the CIFAR stem; growth rate is half the width."""
    network = DenseNet(
        growth_rate=width // 2, block_config=(6, 12, 24, 16), num_init_features=width, num_classes=classes
    )
    network.features.conv0 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    network.features.pool0 = nn.Identity()
    return network


def resnet18(classes: int, width: int = PUBLISHED_WIDTH) -> ResNet:
    """ResNet-18 (He et al. 2016) with the CIFAR stem; stages of width, 2, 4 and 8 × width channels."""
    network = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes)
    if width != PUBLISHED_WIDTH:  # torchvision fixes the stage widths, so the narrow stages are built again
        network.inplanes = width
        network.bn1 = nn.BatchNorm2d(width)
        for stage, stride in enumerate((1, 2, 2, 2)):
            layer = network._make_layer(BasicBlock, width * 2**stage, 2, stride=stride)
            setattr(network, f"layer{stage + 1}", layer)
        network.fc = nn.Linear(width * 8, classes)
    network.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    network.set_submodule("maxpool", nn.Identity())
    return network


ARCHITECTURES: dict[str, Callable[[int, int], nn.Module]] = {"resnet18": resnet18, "densenet121": densenet121}


def replace_stem(module: nn.Module, architecture: str) -> nn.Module:
    """Replace the stem of a ResNet or DenseNet by the CIFAR stem, in place.

    Raises:
        ModelError: the network does not begin with one 7×7 convolution and a max-pool in the usual places.
    """
    for convolution, pool in STEM_LAYERS:
        try:
            first, second = module.get_submodule(convolution), module.get_submodule(pool)
        except AttributeError:
            continue
        if isinstance(first, nn.Conv2d) and first.kernel_size == (7, 7) and isinstance(second, nn.MaxPool2d):
            smaller = nn.Conv2d(
                first.in_channels, first.out_channels, kernel_size=3, stride=1, padding=1, bias=first.bias is not None
            )
            module.set_submodule(convolution, smaller)
            module.set_submodule(pool, nn.Identity())
            return module
    raise ModelError(
        f'stem = "cifar" does not fit {architecture}: expected a ResNet or DenseNet that begins with one 7×7 '
        "convolution and a max-pool; leave `stem` out"
    )
