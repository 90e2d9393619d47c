"""A model ready to run prepares its inputs."""

import numpy as np
import pytest
import torch
from model_specs import ready_model
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from failmodes.evaluate.study.study_schema import Normalization


@pytest.mark.parametrize("size", [(3, 20, 28), (2, 12, 12)], ids=str)
@pytest.mark.parametrize("side", [None, 12])
def test_inputs_are_the_plain_product_and_sum_byte_for_byte_in_channels_last(
    size: tuple[int, int, int], side: int | None
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    kept = images.copy()
    normalization = Normalization(mean=(0.4914, 0.4822, 0.4465), std=(0.2470, 0.2435, 0.2616))
    prepared = ready_model(
        torch.nn.Sequential(), "any", normalization, torch.device("cpu"), "float32", input_side_px=side
    )
    values = torch.from_numpy(images).permute(0, 3, 1, 2)
    if side is not None:
        values = resize(values.float(), [side, side], interpolation=InterpolationMode.BILINEAR, antialias=True)
    found = prepared.inputs(images)
    mean, std = (torch.tensor(channels).view(1, 3, 1, 1) for channels in (normalization.mean, normalization.std))
    torch.testing.assert_close(found, values * (1 / (255 * std)) + -mean / std, rtol=0, atol=0)
    assert found.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(images, kept)
