"""The spatial layout of a layer's output: channels first, channels last, or tokens on a grid."""

import math
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

import torch
from torch import nn

Grid = tuple[int, int]  # rows, columns
MAX_PREFIX_TOKENS = 5  # a class token, a distillation token and up to four registers


class ReshapeTransform(NamedTuple):
    """The positions of rows, columns and channels in an output.

    Attributes:
        kind: (N, K, h, w), (N, h, w, K), or tokens (N, prefix + h·w, K).
        num_prefix_tokens: tokens before those of the grid (class, registers), without a position on the image.
        grid: rows and columns of the tokens; None if the output has these axes.
    """

    kind: Literal["channels first", "channels last", "tokens"]
    num_prefix_tokens: int = 0
    grid: Grid | None = None

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        """The output as (N, K, h, w) without prefix tokens, a view if strides allow."""
        if self.kind == "channels first":
            return output
        if self.kind == "channels last":
            return output.permute(0, 3, 1, 2)
        assert self.grid is not None
        return torch.unflatten(output[:, self.num_prefix_tokens :].transpose(1, 2), 2, self.grid)


CHANNELS_FIRST, CHANNELS_LAST = ReshapeTransform("channels first"), ReshapeTransform("channels last")


def infer_reshape_transform(output: torch.Tensor, image: Grid, patches: Grid | None) -> ReshapeTransform | None:
    """The transform of a module's output, inferred from its shape; None without spatial positions or with only one.

    Args:
        output: (N, …).
        image: rows and columns of the model's input.
        patches: the token grid that the model states, if any.
    """
    if output.ndim == 3:
        return next(token_transforms(output.shape[1], image, patches), None)
    if output.ndim != 4 or min(output.shape) == 0:
        return None
    _, first, second, third = output.shape
    if _divides((second, third), image):
        return CHANNELS_FIRST if second * third > 1 else None
    if _divides((first, second), image):
        return CHANNELS_LAST if first * second > 1 else None
    return CHANNELS_FIRST if _is_proportional((second, third), image) else None


def token_transforms(length: int, image: Grid, patches: Grid | None) -> Iterator[ReshapeTransform]:
    """Transforms of (N, length, K) tokens: the stated grid, then grids after the fewest prefix tokens."""
    if patches is not None and 0 <= length - math.prod(patches) <= MAX_PREFIX_TOKENS:
        yield ReshapeTransform("tokens", length - math.prod(patches), patches)
    for count in range(MAX_PREFIX_TOKENS + 1):
        grid = _grid_of(length - count, image)
        if grid is not None:
            yield ReshapeTransform("tokens", count, grid)


def image_grids(module: nn.Module, inputs: torch.Tensor) -> tuple[Grid, Grid | None]:
    """Rows and columns of inputs (N, 3, h, w), and of the patches of the model (timm), if stated."""
    image: Grid = (inputs.shape[2], inputs.shape[3])
    for part in module.modules():
        grid = getattr(part, "grid_size", None)
        size = getattr(part, "img_size", None)
        if isinstance(grid, tuple) and isinstance(size, tuple) and size == image and len(grid) == 2:
            return image, grid
    return image, None


@cache
def _grid_of(count: int, image: Grid) -> Grid | None:
    """The grid of `count` > 1 square patches on the image, with cropped or padded edges if necessary."""
    sides = range(1, max(image) + 1)
    floors = ((image[0] // side, image[1] // side) for side in sides)
    ceilings = ((-(-image[0] // side), -(-image[1] // side)) for side in sides)
    fitting = (grid for grids in (floors, ceilings) for grid in grids if math.prod(grid) == count)
    return next(fitting, None) if count > 1 else None


def _divides(grid: Grid, image: Grid) -> bool:
    """Whether square patches of the image form this grid."""
    return grid == (1, 1) or _grid_of(math.prod(grid), image) == grid


def _is_proportional(grid: Grid, image: Grid) -> bool:
    """Whether the grid has nearly the proportions of the image (unpadded convolutions lose a little at the edge)."""
    if grid[0] > image[0] or grid[1] > image[1]:
        return False
    if image[0] == image[1]:
        return grid[0] == grid[1] > 1
    return 0.8 <= (grid[0] * image[1]) / (grid[1] * image[0]) <= 1.25
