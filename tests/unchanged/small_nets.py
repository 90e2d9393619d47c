"""Small networks with weights drawn from one seed: a user's own code, in memory or beside a study."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig


def drawn(module: nn.Module, seed: int = 0, side: int = 32) -> nn.Module:
    """The module with weights of its own, and with logits that differ between images."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in module.named_parameters():
            if values.ndim > 1:
                values.copy_(torch.randn(values.shape, generator=random) * (2.0 / values[0].numel()) ** 0.5)
            else:
                of_norm = name.endswith("weight")
                values.copy_(of_norm + torch.randn(values.shape, generator=random) / 8)
        for name, values in module.named_buffers():
            if name.endswith("running_mean"):
                values.copy_(torch.randn(values.shape, generator=random) / 8)
    return spread(module, side)


def spread(module: nn.Module, side: int = 32) -> nn.Module:
    """The module with a last linear layer whose outputs have a mean of 0 and a deviation of 2 over some images."""
    images = torch.rand(32, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    images = nn.functional.interpolate(images, (side, side), mode="bicubic") * 4 - 1.5
    head = [part for part in module.modules() if isinstance(part, nn.Linear)][-1]
    seen: list[torch.Tensor] = []
    handle = head.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    was_training = module.training
    with torch.no_grad():
        module.eval()(images)
        handle.remove()
        module.train(was_training)
        outputs = seen[0].flatten(1) @ head.weight.T
        head.weight.mul_(2 / outputs.std(0)[:, None])
        head.bias.copy_(-outputs.mean(0) * 2 / outputs.std(0))
    return module


class Plain(nn.Module):
    """Two convolutions, global average pooling and a linear layer; statistics of batches and dropout, in train mode."""

    def __init__(self, num_classes: int = 3, seed: int = 0) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.conv2, self.drop = nn.Conv2d(8, 12, 3, stride=2), nn.Dropout(0.5)
        self.add_head(num_classes)
        drawn(self, seed)

    def add_head(self, num_classes: int) -> None:
        self.fc = nn.Linear(12, num_classes)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return self.conv2(self.bn1(self.conv1(images)).relu()).relu()

    def forward(self, images: torch.Tensor) -> Any:
        return self.fc(self.drop(self.features(images).mean((2, 3))))


class Flat(Plain):
    """A head over the flattened map of images of 32 pixels: no closed form of attention."""

    def add_head(self, num_classes: int) -> None:
        self.fc = nn.Linear(12 * 7 * 7, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(images).flatten(1))


class Branches(Plain):
    """Two branches that are added up, then an ending without closed form."""

    def add_head(self, num_classes: int) -> None:
        self.side, self.hidden, self.fc = nn.Conv2d(8, 12, 1, stride=2), nn.Linear(12, 12), nn.Linear(12, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        images = self.bn1(self.conv1(images)).relu()
        both = self.conv2(images) + self.side(images)[:, :, :7, :7]
        return self.fc(self.hidden(both.relu().mean((2, 3))).relu())


class NoMap(nn.Module):
    """No layer has positions: no attention."""

    def __init__(self, num_classes: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(3, num_classes)
        drawn(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(images.mean((2, 3)))


class Mapping(Plain):
    def forward(self, images: torch.Tensor) -> Any:
        logits = super().forward(images)
        return {"features": images.mean((2, 3)), "scores": logits, "others": 2 * logits}


class Tuple(Plain):
    def forward(self, images: torch.Tensor) -> Any:
        return images, super().forward(images)


class Object(Plain):
    """As models of transformers."""

    def forward(self, images: torch.Tensor) -> Any:
        return SimpleNamespace(logits=super().forward(images), hidden_states=None)


class Soft(Plain):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).softmax(1)


class One(Plain):
    """One logit per image."""

    def __init__(self) -> None:
        super().__init__(1)


class OneSoft(One):
    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return super().forward(images).sigmoid()[:, 0]


class Stated(Plain):
    """States its preprocessing and the names of its outputs, which are more than the classes, in another order."""

    normalization = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.6, 0.7]}
    input_side_px = 32
    class_names = ["tench", "cock", "goldfish", "hen", "ostrich"]

    def __init__(self) -> None:
        super().__init__(5)


class Imagenet(Plain):
    def __init__(self) -> None:
        super().__init__(1000)


def vision_transformer(num_classes: int = 3) -> nn.Module:
    return drawn(models.VisionTransformer(32, 4, 2, 2, 32, 64, num_classes=num_classes))


def swin_transformer(num_classes: int = 3) -> nn.Module:
    return drawn(models.SwinTransformer([2, 2], 16, [1, 1], [1, 2], [4, 4], num_classes=num_classes))


def convnext(num_classes: int = 3) -> nn.Module:
    return drawn(models.ConvNeXt([CNBlockConfig(8, 16, 1), CNBlockConfig(16, None, 1)], num_classes=num_classes))


def loaded(num_classes: int) -> nn.Module:
    """As a user's function that reads a program of TorchScript."""
    return torch.jit.script(NoMap(num_classes))
