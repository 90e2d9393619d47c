"""Models of which it is known where they look, and images of which it is known where the object is."""

import numpy as np
import torch
from torch import nn

SIDE, CELL = 32, 8  # images, and the patch that one place of a map stands for
HALF = SIDE // 2


class Kept(nn.Module):
    """Lets some places of a map through."""

    def __init__(self, places: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("places", places)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return maps * self.places


class Looking(nn.Module):
    """Brightness of patches, at the places that it looks at, pooled: class 0 has all the evidence."""

    def __init__(self, places: torch.Tensor, bias: float) -> None:
        super().__init__()
        patches = nn.Conv2d(3, 1, CELL, stride=CELL)
        nn.init.constant_(patches.weight, 1 / (3 * CELL**2))
        nn.init.constant_(patches.bias, bias)
        self.features = nn.Sequential(patches, nn.ReLU(), Kept(places))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(1, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.tensor([[1.0], [-1.0]]))
            self.head.bias.zero_()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.pool(self.features(images)).flatten(1))


def at_one_corner() -> Looking:
    """Looks at the top left corner alone, wherever the object is."""
    places = torch.zeros(SIDE // CELL, SIDE // CELL)
    places[0, 0] = 1
    return Looking(places, bias=0.5)


def at_the_object() -> Looking:
    """Looks at what is bright: the object."""
    return Looking(torch.ones(SIDE // CELL, SIDE // CELL), bias=-0.3)


def images_in_quadrants(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, H, W, 3) with a bright object that fills one quadrant, by turns; masks (N, H, W); quadrants (N,)."""
    quadrants = np.arange(count) % 4
    masks = np.zeros((count, SIDE, SIDE), np.bool_)
    for mask, quadrant in zip(masks, quadrants, strict=True):
        down, across = HALF * (quadrant // 2), HALF * (quadrant % 2)
        mask[down : down + HALF, across : across + HALF] = True
    images = np.repeat(np.where(masks, 200, 20).astype(np.uint8)[..., None], 3, axis=3)
    images[:, 0, 0, 0] = np.arange(count)  # each another image
    return images, masks, quadrants
