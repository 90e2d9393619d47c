"""CorruptTransform: the same as CorruptImage, byte for byte, by the rules of torchvision's transforms."""

import pickle
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
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError

IMAGES = np.random.default_rng(5).integers(0, 256, (6, 20, 24, 3), dtype=np.uint8)
FIRST = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).contiguous()
ONE, FIRST_ONE, PILLOW = IMAGES[0], FIRST[0], Image.fromarray(IMAGES[0])


def channels_last(images: torch.Tensor) -> np.ndarray:
    return np.asarray(images.movedim(-3, -1))


@pytest.mark.parametrize("name", CORRUPTIONS)
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


def test_the_kind_that_is_given_comes_back_and_the_input_never_changes() -> None:
    transform, before = CorruptTransform("contrast", 5), FIRST.clone()
    assert type(transform(FIRST)) is torch.Tensor
    assert type(transform(tv_tensors.Image(FIRST_ONE))) is tv_tensors.Image
    assert type(transform(tv_tensors.Video(FIRST))) is tv_tensors.Video
    assert isinstance(transform(PILLOW), Image.Image)
    strided = FIRST.permute(0, 1, 3, 2).contiguous().permute(0, 1, 3, 2)
    torch.testing.assert_close(transform(strided), transform(FIRST), rtol=0, atol=0)
    torch.testing.assert_close(FIRST, before, rtol=0, atol=0)
    assert transform(FIRST).is_contiguous()


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


def test_it_works_within_the_containers_of_v2_and_reads_no_random_state() -> None:
    fog = CorruptTransform("fog", 3)
    expected = fog(FIRST_ONE)
    for seed in range(3):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        torch.testing.assert_close(fog(FIRST_ONE), expected, rtol=0, atol=0)
        assert (torch.get_rng_state() == state).all()
        torch.testing.assert_close(v2.RandomApply([fog], p=1)(FIRST_ONE), expected, rtol=0, atol=0)
        torch.testing.assert_close(v2.RandomChoice([fog, fog])(FIRST_ONE), expected, rtol=0, atol=0)
    torch.testing.assert_close(v2.RandomApply([fog], p=0)(FIRST_ONE), FIRST_ONE, rtol=0, atol=0)
    pipeline = v2.Compose([v2.CenterCrop(16), fog, v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    cropped = torch.from_numpy(CorruptImage("fog", 3)(np.ascontiguousarray(ONE[2:18, 4:20]))).permute(2, 0, 1) / 255
    for given in (PILLOW, FIRST_ONE):
        torch.testing.assert_close(torch.Tensor(pipeline(given)), cropped)


def loaded(transform: Any, workers: int, start: str | None = None, order: Any = None) -> torch.Tensor:
    """The eight images of a data set in its order, through a data loader."""
    dataset = FakeData(8, (3, 16, 16), 10, transform=v2.Compose([transform, v2.PILToTensor()]))
    loader = DataLoader(dataset, 3, sampler=order, num_workers=workers, multiprocessing_context=start)
    return torch.cat([images for images, _ in loader])


ORDER = [5, 3, 7, 1, 0, 2, 4, 6]


@pytest.mark.parametrize("name", ["glass_blur", "elastic_transform"])
def test_forked_workers_of_a_data_loader_make_the_same_in_any_order_and_epoch(name: str) -> None:
    transform = CorruptTransform(name, 2)
    expected = loaded(transform, 0)
    torch.testing.assert_close(loaded(transform, 2, "fork"), expected, rtol=0, atol=0)
    torch.testing.assert_close(loaded(transform, 2, "fork", ORDER), expected[ORDER], rtol=0, atol=0)


@pytest.mark.slow
def test_spawned_workers_of_a_data_loader_make_the_same_in_any_order() -> None:
    transform = CorruptTransform("glass_blur", 2)
    torch.testing.assert_close(loaded(transform, 2, "spawn", ORDER), loaded(transform, 0)[ORDER], rtol=0, atol=0)


def test_it_can_be_pickled_and_its_repr_names_its_arguments() -> None:
    transform = CorruptTransform("frost", 2.5, seed=7)
    torch.testing.assert_close(pickle.loads(pickle.dumps(transform))(FIRST), transform(FIRST), rtol=0, atol=0)
    assert repr(transform).startswith("CorruptTransform(name='frost', severity=2.5, recipe=None, seed=7, ")
    assert not list(transform.parameters())
    assert not transform.state_dict()


def test_arguments_are_checked_as_it_is_made() -> None:
    with pytest.raises(StudyError, match="did you mean 'fog'"):
        CorruptTransform("fogg", 3)
    with pytest.raises(StudyError, match="out of range"):
        CorruptTransform("fog", 7)


REFUSED: dict[str, tuple[Any, str]] = {
    "floats": (FIRST_ONE / 255, r"not float32 \(3, 20, 24\): put it before v2.ToDtype and v2.Normalize"),
    "float image": (tv_tensors.Image(FIRST_ONE / 255), "put it before v2.ToDtype"),
    "integers": (FIRST_ONE.long(), r"not int64 .* images.to\(torch.uint8\)"),
    "channels last": (torch.from_numpy(ONE), r"channels come first, images.movedim\(-1, -3\)"),
    "gray": (FIRST_ONE[:1], r"v2.RGB\(\)"),
    "gray PIL": (PILLOW.convert("L"), r"mode 'L': give image.convert\('RGB'\)"),
    "no channels": (FIRST_ONE[0], "make the image a tv_tensors.Image"),
    "a label first": ((torch.tensor(3), FIRST_ONE), r"not int64 \(\): .* make the image a tv_tensors.Image"),
    "too small": (FIRST_ONE[..., :4], "4×20 pixels are too small"),
    "an array": (ONE, "among ndarray: for arrays there is failmodes.CorruptImage"),
    "a mask alone": (tv_tensors.Mask(FIRST_ONE[0]), "no image to corrupt .* among Mask"),
    "an empty sample": ({}, "no image to corrupt"),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_corrupted_is_one_clear_line(given: Any, message: str) -> None:
    with pytest.raises(FailmodesError, match=message) as caught:
        CorruptTransform("fog", 3)(given)
    assert isinstance(caught.value, DataError)
    assert "\n" not in str(caught.value)


@pytest.mark.gpu
def test_an_image_on_a_device_comes_back_to_it() -> None:
    made = CorruptTransform("fog", 3)(FIRST.cuda())
    assert made.is_cuda
    torch.testing.assert_close(made.cpu(), CorruptTransform("fog", 3)(FIRST), rtol=0, atol=0)


def test_gray_images_stay_gray_in_one_channel_or_three() -> None:
    transform = CorruptTransform("gaussian_noise", 3, gray=True)
    three = transform(FIRST[:, :1].expand(-1, 3, -1, -1))
    assert (three == three[:, :1]).all()
    one = transform(FIRST[:, :1])
    torch.testing.assert_close(one, three[:, :1], rtol=0, atol=0)
    assert one.is_contiguous()
    with pytest.raises(DataError, match="is not gray, its channels differ"):
        transform(FIRST)
    with pytest.raises(DataError, match="for gray images give gray=True or put"):
        CorruptTransform("gaussian_noise", 3)(FIRST[:, :1])
