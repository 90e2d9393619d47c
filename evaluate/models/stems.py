"""The CIFAR stem for other people's ResNets and DenseNets: a 3×3 first convolution with stride 1, and no max-pool."""

from torch import nn

from warehouse.errors import ModelError

PLACES = (("conv1", "maxpool"), ("features.conv0", "features.pool0"))  # of ResNets and of DenseNets


def lay_cifar_stem(module: nn.Module, architecture: str) -> nn.Module:
    """Replace the stem of a ResNet or DenseNet, in place.

    Raises:
        ModelError: the network does not begin with one 7×7 convolution and a max-pool in the usual places.
    """
    for convolution, pool in PLACES:
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
