"""The spatial layout of a layer's output is inferred from its shape."""

import pytest
import torch

from failmodes.evaluate.cam.reshape_transform import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    ReshapeTransform,
    infer_reshape_transform,
    token_transforms,
)


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
def test_reshape_transforms_are_distinguished_from_shapes(
    shape: tuple, image: tuple, expected: ReshapeTransform | None
) -> None:
    assert infer_reshape_transform(torch.zeros(shape), image, None) == expected


def test_the_models_own_grid_comes_first() -> None:
    assert next(token_transforms(17, (32, 32), (2, 8))) == ReshapeTransform("tokens", 1, (2, 8))
    assert next(token_transforms(17, (32, 32), (8, 8))) == ReshapeTransform("tokens", 1, (4, 4))
