"""Preprocessing: normalization against the plain formula, and a user's function against calling it by hand."""

import collections

import numpy as np
import pytest
import torch
from model_specs import ready_model
from PIL import Image
from torchvision import transforms as v1
from torchvision.models import ResNet18_Weights
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from failmodes.evaluate.models.preprocessing import own_preprocessing
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.runtime.errors import ModelError

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 40, 36, 3), dtype=np.uint8)
BATCH = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).contiguous()


def prepare(function, images=IMAGES, version=None):
    return own_preprocessing(function, images[:2], subject="model 'A'", version=version)


def scaled(images: torch.Tensor) -> torch.Tensor:
    return images.float() / 255


class Processor:
    """As an image processor of Hugging Face's: a batch in, a mapping with arrays out."""

    def __call__(self, images) -> collections.UserDict:
        values = [np.asarray(image, np.float32)[:, ::2, ::2] / 255 for image in images]
        return collections.UserDict(pixel_values=np.stack(values))


class ProcessorOfPil:
    """As its slow ones are, which take one PIL image or a list of them."""

    def __call__(self, images) -> dict:
        images = images if isinstance(images, list) else [images]
        return {"pixel_values": [np.asarray(i.reduce(2), np.float64).transpose(2, 0, 1) for i in images]}


def timm_transform():
    import timm

    return timm.data.create_transform(24, mean=tuple(MEAN), std=tuple(STD))


BY_BATCH = {
    "function": lambda: scaled,
    "v2": lambda: v2.Compose([v2.Resize(16), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]),
    "published weights": lambda: ResNet18_Weights.DEFAULT.transforms(),
    "module": lambda: torch.nn.Sequential(v2.ToDtype(torch.float32, scale=True), torch.nn.AvgPool2d(2)),
    "with gradients": lambda: torch.nn.Sequential(v2.ToDtype(torch.float32), torch.nn.Conv2d(3, 3, 1)),
    "list of tensors": lambda: lambda images: [image / 255 for image in images],
    "processor": Processor,
    "not a number": lambda: lambda images: torch.where(images > 250, torch.nan, images.float()),
    "randomness without effect": lambda: v2.Compose([v2.RandomHorizontalFlip(0), v2.ToDtype(torch.float32)]),
}
BY_PIL_IMAGE = {
    "v1": lambda: v1.Compose([v1.Resize(16), v1.CenterCrop(12), v1.ToTensor(), v1.Normalize(MEAN, STD)]),
    "timm": timm_transform,
    "processor": ProcessorOfPil,
    "function": lambda: lambda image: np.asarray(image.convert("L"), np.float32)[None] / 255,
}


def as_floats(result) -> torch.Tensor:
    values = result["pixel_values"] if isinstance(result, dict | collections.UserDict) else result
    values = torch.stack([torch.as_tensor(value) for value in values]) if isinstance(values, list) else values
    return torch.as_tensor(values).detach().float()


@pytest.mark.parametrize("make", BY_BATCH.values(), ids=BY_BATCH)
def test_a_batch_is_prepared_as_by_hand(make) -> None:
    function = make()
    prepared = prepare(function)
    result = prepared.function(BATCH.clone())
    torch.testing.assert_close(result, as_floats(function(BATCH)), equal_nan=True)
    assert not result.requires_grad


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.test_all] * (name == "timm")) for name in BY_PIL_IMAGE]
)
def test_pil_images_are_prepared_one_by_one_as_by_hand(name: str) -> None:
    function = BY_PIL_IMAGE[name]()
    prepared = prepare(function)
    by_hand = [as_floats(function(Image.fromarray(image))) for image in IMAGES]
    by_hand = [values[None] if values.ndim == 3 else values for values in by_hand]
    torch.testing.assert_close(prepared.function(BATCH), torch.cat(by_hand))


class Refused:
    """Functions that are refused, and what is said of them."""

    own = np.random.default_rng()
    CASES = {
        "whole numbers": (lambda images: images, "returned torch.uint8 (2, 3, 40, 36)"),
        "neither batch nor PIL image": (lambda images: 1 / 0, "ZeroDivisionError"),
        "logits": (lambda images: torch.ones(len(images), 10), "returned torch.float32"),
        "mean of the batch": (
            lambda x: scaled(x) - scaled(x).mean(),
            "result for the same image in another batch",
        ),
        "shape by the batch": (
            lambda x: scaled(x)[..., : 10 + len(x)],
            "result for the same image in another batch",
        ),
        "noise": (lambda x: scaled(x) + torch.randn(x.shape), "for the same image each time"),
        "rare flip": (
            v2.Compose([v2.RandomHorizontalFlip(0.1), v2.ToDtype(torch.float32)]),
            "for the same image each",
        ),
        "flip of PIL images": (
            v1.Compose([v1.RandomVerticalFlip(), v1.ToTensor()]),
            "for the same image each time",
        ),
        "NumPy's random": (lambda x: scaled(x) * np.random.rand(), "for the same image each time"),
        "a generator of its own": (
            lambda x: scaled(x) * Refused.own.random(),
            "for the same image each time",
        ),
    }


@pytest.mark.parametrize(("function", "said"), Refused.CASES.values(), ids=Refused.CASES)
def test_unsuitable_preprocessing_is_refused(function, said: str) -> None:
    with pytest.raises(ModelError, match=r"^model 'A': preprocess ") as refused:
        prepare(function)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_equal_images_do_not_hide_what_mixes_a_batch() -> None:
    with pytest.raises(ModelError, match="result for the same image in another batch"):
        prepare(lambda x: scaled(x) - scaled(x).mean(), np.full((2, 8, 8, 3), 90, np.uint8))


def test_its_identity_is_its_code_and_how_it_is_called() -> None:
    def with_mean(mean):
        return v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, STD)])

    def of_images(image):
        return scaled(image) if isinstance(image, torch.Tensor) else v2.functional.to_image(image).float() / 255

    def of_pil_images(image):
        return v2.functional.to_image(image.convert("RGB")).float() / 255

    functions = [with_mean(MEAN), with_mean([0.5, 0.4, 0.2]), scaled, of_images, of_pil_images]
    found = [prepare(function).identity for function in functions]
    assert len(set(found)) == len(found)
    assert [prepare(function).identity for function in functions] == found


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


def named(transform) -> dict[str, object]:
    """The steps of a composed transform by the names of their classes."""
    return {type(step).__name__: step for step in transform.transforms}


@pytest.mark.test_all
@pytest.mark.parametrize("name", ["resnet10t.c3_in1k", "test_vit.r160_in1k", "efficientnet_b0.ra_in1k"])
def test_the_resize_and_crop_of_timm_are_those_of_its_transform(name) -> None:
    import timm

    from failmodes.evaluate.models.sources.timm import published_preprocessing

    module = timm.create_model(name, pretrained=False)
    geometry = published_preprocessing(module).geometry
    steps = named(timm.data.create_transform(**timm.data.resolve_model_data_config(module)))
    assert geometry == (steps["Resize"].interpolation.value, steps["Resize"].size, steps["CenterCrop"].size[0])


@pytest.mark.test_all
def test_the_resize_and_crop_of_open_clip_are_those_of_its_transform() -> None:
    import open_clip

    from failmodes.evaluate.models.sources.open_clip import published_preprocessing

    model, _, transform = open_clip.create_model_and_transforms("RN50")
    steps = named(transform)
    assert published_preprocessing(model.visual).geometry == (
        steps["Resize"].interpolation.value,
        steps["Resize"].size,
        steps["CenterCrop"].size[0],
    )
