"""CorruptTransform equals CorruptImage byte for byte, and follows the rules of torchvision transforms."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.datasets import FakeData
from torchvision.transforms import v2

from failmodes import CorruptImage, CorruptTransform
from failmodes.runtime.errors import DataError

IMAGES = np.random.default_rng(5).integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
FIRST = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).contiguous()
ONE, FIRST_ONE, PILLOW = IMAGES[0], FIRST[0], Image.fromarray(IMAGES[0])


def channels_last(images: torch.Tensor) -> np.ndarray:
    return np.asarray(images.movedim(-3, -1))


@pytest.mark.parametrize("name", ["fog", "pixelate", "shot_noise"])
def test_every_kind_of_image_is_corrupted_as_by_corrupt_image(name: str) -> None:
    transform, expected = CorruptTransform(name, 3, seed=2), CorruptImage(name, 3, seed=2)(ONE)
    np.testing.assert_array_equal(channels_last(transform(FIRST_ONE)), expected)
    np.testing.assert_array_equal(channels_last(transform(tv_tensors.Image(FIRST_ONE))), expected)
    np.testing.assert_array_equal(np.asarray(transform(PILLOW)), expected)
    np.testing.assert_array_equal(channels_last(transform(FIRST[None]))[0, 0], expected)


def test_each_image_of_a_batch_and_each_frame_of_a_video_is_seeded_by_its_own_pixels() -> None:
    transform, one = CorruptTransform("fog", 4, noise="independent"), CorruptImage("fog", 4, noise="independent")
    expected = np.stack([one(image) for image in IMAGES])
    np.testing.assert_array_equal(channels_last(transform(FIRST)), expected)
    np.testing.assert_array_equal(channels_last(transform(FIRST.flip(0))), expected[::-1])
    np.testing.assert_array_equal(channels_last(transform(tv_tensors.Video(FIRST))), expected)
    np.testing.assert_array_equal(
        channels_last(transform(FIRST.reshape(2, 3, 3, 20, 24))), expected.reshape(2, 3, 20, 24, 3)
    )
    assert transform(FIRST[:0]).shape == (0, 3, 20, 24)


def test_labels_masks_and_boxes_of_a_sample_pass_through() -> None:
    mask = tv_tensors.Mask(torch.ones(20, 24, dtype=torch.uint8))
    boxes = tv_tensors.BoundingBoxes(torch.tensor([[1.0, 2, 3, 4]]), format="XYXY", canvas_size=(20, 24))
    target = {"masks": mask, "boxes": boxes, "label": torch.tensor(3), "features": torch.rand(4), "name": "cat"}
    for given in (PILLOW, tv_tensors.Image(FIRST_ONE)):
        image, passed = CorruptTransform("fog", 3)(given, target)
        assert (np.asarray(image) != np.asarray(given)).any()
        assert all(passed[key] is target[key] for key in target)
    sample = CorruptTransform("fog", 3)({"image": FIRST_ONE, "label": 3})
    torch.testing.assert_close(sample["image"], CorruptTransform("fog", 3)(FIRST_ONE), rtol=0, atol=0)
    assert sample["label"] == 3


@pytest.mark.test_all
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_of_a_data_loader_make_the_same_in_any_order(start: str) -> None:
    """Within a container of v2, whatever the random state of a process."""
    transform = CorruptTransform("glass_blur", 2)
    dataset = FakeData(8, (3, 16, 16), 10, transform=v2.Compose([v2.RandomApply([transform], p=1), v2.PILToTensor()]))
    order = [5, 3, 7, 1, 0, 2, 4, 6]
    loader = DataLoader(dataset, 3, sampler=order, num_workers=2, multiprocessing_context=start)
    expected = torch.stack([dataset[index][0] for index in order])
    torch.testing.assert_close(torch.cat([images for images, _ in loader]), expected, rtol=0, atol=0)


REFUSED: dict[str, tuple[Any, str]] = {
    "floats": (FIRST_ONE / 255, r"v2.ToDtype"),
    "channels last": (torch.from_numpy(ONE), r"movedim\(-1, -3\)"),
    "gray": (FIRST_ONE[:1], r"v2.RGB\(\)"),
    "gray PIL": (PILLOW.convert("L"), "mode 'L'"),
    "a label first": ((torch.tensor(3), FIRST_ONE), "tv_tensors.Image"),
    "too small": (FIRST_ONE[..., :4], "too small"),
    "an array": (ONE, "CorruptImage"),
    "a mask alone": (tv_tensors.Mask(FIRST_ONE[0]), "no image to corrupt"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_corrupted_is_one_clear_line(given: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        CorruptTransform("fog", 3)(given)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_an_image_on_a_device_comes_back_to_it() -> None:
    made = CorruptTransform("fog", 3)(FIRST.cuda())
    assert made.is_cuda
    torch.testing.assert_close(made.cpu(), CorruptTransform("fog", 3)(FIRST), rtol=0, atol=0)
