"""The built-in ResNet-18 and DenseNet-121 with the CIFAR stem and any width, trained or from a checkpoint.

A `width` below the published 64 scales every layer and makes the model a variant.
"""

from collections.abc import Callable

from torch import nn
from torchvision.models import DenseNet, ResNet
from torchvision.models.resnet import BasicBlock

from failmodes.evaluate.study.study_schema import PUBLISHED_WIDTH, ModelSpec
from failmodes.ingest.data_files import check_memory

BYTES_TO_TRAIN = 12 * 11_200_000  # weights, gradients and momentum at the published width; proportional to its square


def build(spec: ModelSpec, name: str, class_count: int) -> nn.Module:
    """Build a model with fresh weights."""
    needed = BYTES_TO_TRAIN * spec.width**2 // PUBLISHED_WIDTH**2
    check_memory(needed, f"model {spec.label!r} of width {spec.width}")
    return ARCHITECTURES[name](class_count, spec.width)


def densenet121(classes: int, width: int = PUBLISHED_WIDTH) -> DenseNet:
    """DenseNet-121 (Huang et al. 2017) with the CIFAR stem; growth rate is half the width."""
    model = DenseNet(growth_rate=width // 2, block_config=(6, 12, 24, 16), num_init_features=width, num_classes=classes)
    model.features.conv0 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    model.features.pool0 = nn.Identity()
    return model


def resnet18(classes: int, width: int = PUBLISHED_WIDTH) -> ResNet:
    """ResNet-18 (He et al. 2016) with the CIFAR stem; stages of width, 2, 4 and 8 × width channels."""
    model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes)
    if width != PUBLISHED_WIDTH:  # torchvision fixes the stage widths, so the stages are rebuilt
        model.inplanes = width
        model.bn1 = nn.BatchNorm2d(width)
        for stage, stride in enumerate((1, 2, 2, 2)):
            layer = model._make_layer(BasicBlock, width * 2**stage, 2, stride=stride)
            setattr(model, f"layer{stage + 1}", layer)
        model.fc = nn.Linear(width * 8, classes)
    model.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    model.set_submodule("maxpool", nn.Identity())
    return model


ARCHITECTURES: dict[str, Callable[[int, int], nn.Module]] = {"resnet18": resnet18, "densenet121": densenet121}
