"""From uint8 pixels to a model's input: resize, crop and normalization, or one function instead."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

from failmodes.evaluate.models.code_identity import code_hash
from failmodes.evaluate.study.study_schema import Normalization
from failmodes.runtime.errors import ModelError, first_line
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse.evaluation_facts import normalization_words

UNIT_RANGE = Normalization(mean=(0, 0, 0), std=(1, 1, 1))  # values / 255, unchanged
PIXEL_VALUES = "pixel_values"  # key of the result of Hugging Face image processors
TOLERANCE = 1e-3  # allowed difference between an image in a batch of one and of two
MAX_NAME_LETTERS = 200  # of a function's name in the results
TRIAL_SIZE = (96, 96)  # of an image that a library's transform is tried on, in pixels
CALLS = 100  # to detect random results, even those that differ only once in twenty calls


class Geometry(NamedTuple):
    """A resize and a center crop.

    Attributes:
        interpolation: filter of the resize, such as bicubic.
        resize_px: length of the shorter side after the resize; None if images are resized to the input side.
        crop_px: side of the crop; None without one.
    """

    interpolation: str
    resize_px: int | None = None
    crop_px: int | None = None


@dataclass(frozen=True)
class Preprocessing:
    """How uint8 images become a model's input: resize, crop and normalization, or one function for all of it.

    Attributes:
        normalization: mean and std of values / 255; with `function`, those that it applies, if known.
        input_side_px: side of the model's input if it is a square. Without `resize`, images of another size are resized
            to it (bilinear, anti-aliased). None: as the images come, or not a square.
        is_assumed: whether the normalization is unknown, so that the model gets values in [0, 1].
        resize: a library's resize and crop, from a uint8 tensor (N, 3, H, W) on the CPU to one of (N, 3, h, w).
        function: a function of the user or a library from a uint8 tensor (N, 3, H, W) on the CPU to the model's input,
            N first.
        identity: hash of the code or settings of `resize` or `function`.
        name: its name and output size, for the results.
        description: a short description of it, for the assumptions of a model.
        geometry: resize and crop, if they are only these.
        crops: whether it ignores the border of an image.
        replaced: a short description of the preprocessing that the study replaced; may be empty.
    """

    normalization: Normalization | None = UNIT_RANGE
    input_side_px: int | None = None
    is_assumed: bool = False
    resize: Callable[[torch.Tensor], torch.Tensor] | None = None
    function: Callable[[torch.Tensor], torch.Tensor] | None = None
    identity: str | None = None
    name: str | None = None
    description: str = ""
    geometry: "Geometry | None" = None
    crops: bool = False
    replaced: str = ""

    def __call__(self, images: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
        """Prepare uint8 images (N, H, W, 3) as floats (N, 3, h, w) on the device; they are transferred as bytes."""
        if isinstance(images, np.ndarray):
            images = torch.from_numpy(np.require(images, requirements=["C", "W"]))  # torch takes no read-only memory
        if self.function is not None:
            return self.function(images.permute(0, 3, 1, 2).contiguous()).to(device)
        if self.resize is not None:
            images = self.resize(images.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        # (N, H, W, 3) memory viewed as (N, 3, H, W) is already channels_last: no copy
        values = images.to(device, non_blocking=True).permute(0, 3, 1, 2)
        side = self.input_side_px
        if self.resize is None and side is not None and values.shape[2:] != (side, side):
            values = interpolate(values.float(), (side, side), mode="bilinear", antialias=True)
        return _normalized(values.float(), self.normalization or UNIT_RANGE)

    @property
    def columns(self) -> dict[str, Any]:
        """Its columns of `models`."""
        geometry = self.geometry
        if geometry is None and self.function is None and self.resize is None and self.input_side_px is not None:
            geometry = Geometry("bilinear")
        normalization = self.normalization
        return {
            "input_mean": None if normalization is None else list(normalization.mean),
            "input_std": None if normalization is None else list(normalization.std),
            "input_side_px": self.input_side_px,
            "resize_px": geometry and geometry.resize_px,
            "crop_px": geometry and geometry.crop_px,
            "interpolation": geometry and geometry.interpolation,
            "preprocessing": self.name if self.geometry is None else None,
        }

    def seen(self, image_shape: tuple[int, ...]) -> str:
        """The input size of images (H, W, 3), in words."""
        height, width = (self.input_side_px,) * 2 if self.input_side_px else image_shape[:2]
        return f"{width}×{height} px"

    def describe(self, image_shape: tuple[int, ...] | None = None) -> str:
        """A short description, for the assumptions of a model: after the size of the images (H, W, 3) if it is given.

        Corruptions apply to the images as they come, so a resize comes after them.
        """
        side = self.input_side_px
        resizes = self.description or ("" if side is None else f"resized to {side} px (bilinear)")
        steps = [resizes, *([] if self.function is not None else [describe_normalization(self.normalization)])]
        if image_shape is not None and resizes and (image_shape[:2] != (side, side) or self.description):
            steps.insert(0, f"corrupted at {image_shape[1]}×{image_shape[0]} px, then")
        text = ", ".join(filter(None, steps)).replace("then, ", "then ")
        return f"{text}; set in the study instead of: {self.replaced}" if self.replaced else text


def describe_normalization(normalization: Normalization | None) -> str:
    """Mean and std in words."""
    if normalization in (None, UNIT_RANGE):
        return "values in [0, 1]"
    return f"normalized by {normalization_words(normalization.mean, normalization.std)}"


def _normalized(values: torch.Tensor, normalization: Normalization) -> torch.Tensor:
    """(x / 255 − mean) / std of floats (N, 3, h, w) in channels_last, in place.

    In rows of width × channels: over the three channels alone, the same operations take ten times as long.
    """
    count, channels, height, width = values.shape
    rows = values.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    scale, shift = (factor.repeat(width) for factor in _factors(normalization.mean, normalization.std, values.device))
    return rows.mul_(scale).add_(shift).view(count, height, width, channels).permute(0, 3, 1, 2)


@lru_cache(64)
@torch.inference_mode(False)  # cached, and used with gradients later
def _factors(
    mean: tuple[float, ...], std: tuple[float, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale and shift (3,) of values up to 255."""
    means, stds = (torch.tensor(values, dtype=torch.float32, device=device) for values in (mean, std))
    return 1 / (255 * stds), -means / stds


# No preprocessing: a user's function takes the uint8 pixels
INSIDE_THE_FUNCTION = Preprocessing(
    None,
    function=lambda images: images,
    identity="uint8",
    name="inside the function",
    description="its own preparation of the pixels",
)


def pil_preprocessing(
    transform: Callable[[Image.Image], torch.Tensor],
    normalization: Normalization,
    settings: Mapping[str, Any],
    description: str,
    geometry: Geometry | None = None,
) -> Preprocessing:
    """The preprocessing of a library whose resize and crop take a PIL image, followed by a normalization.

    Args:
        transform: resize and crop, from one PIL image to a uint8 tensor (3, h, w).
        normalization: of its result.
        settings: everything that `transform` depends on, for the identity.
        description: the resize and crop, in words.
        geometry: the same in numbers, if it is a resize of the shorter side and a center crop.
    """
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, *TRIAL_SIZE), dtype=np.uint8))
    resize = partial(_resized, transform)
    result = resize(image)
    height, width = result.shape[2:]
    return Preprocessing(
        normalization,
        width if height == width else None,
        resize=resize,
        identity=identity_of(dict(settings)),
        name=description,
        description=description,
        geometry=geometry,
        crops=_crops(resize, image, result),
    )


def _resized(transform: Callable[[Image.Image], torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """Images (N, 3, H, W) uint8 after a resize and crop of PIL images, in threads: Pillow releases the interpreter."""
    pixels = images.permute(0, 2, 3, 1).contiguous().numpy()

    def apply(image: np.ndarray) -> torch.Tensor:
        return transform(Image.fromarray(image))

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return torch.stack(list(pool.map(apply, pixels)))


def own_preprocessing(
    function: Callable[..., Any], images: np.ndarray, *, subject: str, version: str | None = None
) -> Preprocessing:
    """Find out how to call a user's preprocessing, by trying it on two images.

    It may take a batch of uint8 tensors (N, 3, H, W), like transforms of torchvision and image processors of Hugging
    Face, or one PIL image at a time, like those of timm. Batches are preferred.

    Args:
        function: returns floats (N, 3, h, w), or (3, h, w) for one PIL image.
        images: (1 or more, H, W, 3) uint8; it is tried on the first one and its negative.
        subject: the model, for errors.
        version: replaces the hash of its code in the identity.

    Raises:
        ModelError: neither works, it returns no floats, or the result for an image is random or depends on its batch.
    """
    image = torch.from_numpy(np.array(images[:1])).permute(0, 3, 1, 2).contiguous()
    two = torch.cat([image, 255 - image])  # two different images
    problems = []
    for apply, taken in ((_of_batch, "a uint8 tensor (N, 3, H, W)"), (_of_pil_images, "one PIL image")):
        applied = torch.no_grad()(partial(apply, function))
        try:
            result = applied(two.clone())
            alone = applied(image.clone())
            is_random = not all(_is_same(applied(image.clone()), alone) for _ in range(CALLS))
        except Exception as error:  # any error of a user's function
            problems.append(f"given {taken}: {type(error).__name__}: {first_line(error)}")
            continue
        if is_random:
            raise ModelError(
                f"{subject}: preprocess returns a different result for the same image each time: remove random "
                "augmentation"
            )
        if not _is_same(result[:1], alone):
            raise ModelError(
                f"{subject}: preprocess returns a different result for the same image in another batch: it must not"
            )
        code = {"version": version} if version else code_hash(function, subject=f"{subject}: preprocess")
        name = getattr(function, "__name__", type(function).__name__)
        side = f"{result.shape[2]}×{result.shape[3]}"
        return Preprocessing(
            None,
            function=applied,
            identity=identity_of([code, taken]),
            name=f"{name[:MAX_NAME_LETTERS]} to {side} px",
            description=f"preprocess {name} (of {taken}) to {side} px",
            crops=_crops(applied, image, alone),
        )
    raise ModelError(
        f"{subject}: preprocess must take a uint8 tensor (N, 3, H, W) or one PIL image, and return floats: "
        + "; ".join(problems)
    )


def _of_batch(function: Callable[..., Any], images: torch.Tensor) -> torch.Tensor:
    return _floats(function(images), len(images))


def _of_pil_images(function: Callable[..., Any], images: torch.Tensor) -> torch.Tensor:
    pixels = images.permute(0, 2, 3, 1).numpy()
    inputs = [_floats(function(Image.fromarray(image)), None) for image in pixels]
    return torch.cat(inputs)


def _crops(apply: Callable[[torch.Tensor], torch.Tensor], image: torch.Tensor, result: torch.Tensor) -> bool:
    """Whether the result ignores the border of the image, a fiftieth of each side."""
    height, width = image.shape[2:]
    edge = max(1, min(height, width) // 50)
    other = 255 - image
    other[:, :, edge:-edge, edge:-edge] = image[:, :, edge:-edge, edge:-edge]
    return _is_same(apply(other), result)


def _is_same(values: torch.Tensor, other: torch.Tensor) -> bool:
    return values.shape == other.shape and torch.allclose(values, other, atol=TOLERANCE, equal_nan=True)


def _floats(result: Any, count: int | None) -> torch.Tensor:
    """The result as a float tensor (N, C, h, w).

    Raises:
        TypeError: it has another dtype or shape.
    """
    if isinstance(result, Mapping) and PIXEL_VALUES in result:
        result = result[PIXEL_VALUES]
    if isinstance(result, list | tuple) and result:
        result = torch.stack([torch.as_tensor(image) for image in result])
    values = torch.as_tensor(result)
    if count is None and values.ndim == 3:
        values = values[None]
    if not values.is_floating_point() or values.ndim != 4 or len(values) != (count or 1):
        raise TypeError(f"it returned {values.dtype} {tuple(values.shape)}")
    return values.float()
