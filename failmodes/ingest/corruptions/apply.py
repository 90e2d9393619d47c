"""Corrupt batches: check the input, sample random variables, run kernels block by block.

A severity is any number from 0 to 5. Whole numbers have exactly the published parameters; between them, by corruption:
- most interpolate their parameters on a straight line from level to level, and below 1 from the clean anchor of the
  recipe's table (shot noise the inverse root of its photons, which is the deviation of its noise);
- those whose parameters do not lead smoothly from level to level mix the images of the two (`between="images"`):
  defocus and zoom blur, linear filters whose disk gains whole pixels and whose zoom gains whole exposures (a mixture of
  images is then the image of a mixed kernel), and snow, whose flakes a layer zoomed by little more than 1 smooths away;
- those with switches (iterations, water or mud, less or more saturation) are refused, unless `across_switches` requests
  the same mixture, a cross-fade.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions import sampling
from failmodes.ingest.corruptions.catalog import Severity, as_severity, nearest_recipe, recipe_of
from failmodes.ingest.corruptions.corruption import RECIPES, Corruption
from failmodes.ingest.corruptions.custom import GivenCorruption, resolve_corruption
from failmodes.ingest.corruptions.pixels import Images, Levels, Parameters, check_gray, in_gray, same_in_channels
from failmodes.runtime.errors import DataError, StudyError, shown
from failmodes.runtime.packages import require

ImageIds = Sequence[int] | NDArray[np.integer]
BLOCK_VALUES = 1 << 18  # values corrupted at a time: temporary arrays stay at a few megabytes, mostly in cache


class MixtureComponent(NamedTuple):
    """One image of a mixture: its weight, and its parameters (None: the clean image)."""

    weight: float
    parameters: Parameters | None


class CorruptionSettings(NamedTuple):
    """One corruption at one severity, checked: everything that shapes the result besides the image.

    Attributes:
        corruption: the corruption.
        severity: to thousandths.
        recipe: name of the recipe; None: that of the nearest size.
        stream: the random streams.
        mixtures: components of the image at the severity, by recipe.
        gray: whether images are gray and stay gray.
    """

    corruption: Corruption
    severity: Decimal
    recipe: str | None
    stream: sampling.Stream
    mixtures: dict[str, tuple[MixtureComponent, ...]]
    gray: bool = False

    def mixture_of(self, images: NDArray[Any]) -> tuple[MixtureComponent, ...]:
        """The components of the image at the severity, for images (N, H, W, 3) or masks (N, H, W) of their size."""
        return self.mixtures[self.recipe or nearest_recipe(images.shape[1], images.shape[2])]


def corrupt(
    images: Images,
    name: GivenCorruption,
    severity: Severity,
    *,
    recipe: str | None = None,
    seed: int = 0,
    image_ids: ImageIds | None = None,
    noise: sampling.NoiseMode = "shared",
    across_switches: bool = False,
    gray: bool = False,
    threads: int = 1,
) -> Images:
    """Corrupt a batch of images.

    An image's result depends on its pixels, its `image_ids`, `seed`, `recipe`, the corruption and severity: not on the
    other images of the batch, their order, the number of threads, or the process. Samples are the same on every
    machine; pixels are for the same versions of NumPy, SciPy, OpenCV, Pillow and libjpeg and the same kind of
    processor, elsewhere they may differ by 1 in rare values, where rounding meets truncation.

    Images are given as uint8, resized and cropped to one size, before scaling to 0-1 and normalization. For samples one
    by one, as a data loader has them, there are `failmodes.CorruptImage` (arrays, albumentations) and
    `failmodes.CorruptTransform` (tensors, torchvision).

    Example:
        >>> images = np.stack([np.asarray(Image.open(path).convert("RGB").resize((224, 224))) for path in paths])
        >>> foggy = failmodes.corrupt(images, "fog", 3)
        >>> one = failmodes.corrupt(images[7:8], "fog", 3, image_ids=[7])[0]  # is foggy[7]

    Args:
        images: (N, H, W, 3) uint8, RGB; never changed. Grayscale and RGBA arrays are refused: the caller decides which
            three channels to make of them.
        name: name of the corruption, "fog" for example: `failmodes.corruptions()` lists them. Or one of your own: a
            `failmodes.CustomCorruption`, a function of (images, parameters), or where to import one from, as
            "module:name".
        severity: 0 (the clean images, copied) to 5, taken to thousandths. Whole numbers have the published parameters,
            others lie between them; a few corruptions are not defined there, see `failmodes.corruptions()`.
        recipe: "cifar-c" (published for 32×32 pixels) or "imagenet-c" (224×224); default: the one whose size is
            nearer to that of the images: "cifar-c" up to 84 pixels. Other sizes are fine from 8 and 32 pixels: lengths
            stay pixels; fog's grid, elastic's unit, zoom and pixelate follow the image's side.
        seed: random seed.
        image_ids: (N,) whole numbers from 0 that identify the images; default: 0 … N-1. Give them if images come
            batch by batch: otherwise the first image of each batch has the same samples.
        noise: "shared": an image has the same samples at every severity; "independent": new ones at each, as
            published. Either way every severity by itself has the published distribution.
        across_switches: between severities of a corruption that does not interpolate, cross-fade.
        gray: images are gray, their three channels equal, and stay gray: noise is the same in all channels, and color
            of corruptions (frost, mud, saturation) is converted to luma.
        threads: how many blocks are corrupted in parallel.

    Returns:
        (N, H, W, 3) uint8.

    Raises:
        MissingExtraError: OpenCV is not installed.
        StudyError: an unknown corruption, recipe, severity, seed or sampling mode, or a severity between switches.
        DataError: images or image_ids of another type or shape, images too small, no photographs of frost; an image
            that is not gray although `gray` is set.
    """
    settings = check_settings(
        name, severity, recipe=recipe, seed=seed, noise=noise, across_switches=across_switches, gray=gray
    )
    check_images(images, recipe)
    if gray:
        check_gray(images)
    ids = np.arange(len(images), dtype=np.int64) if image_ids is None else _checked_ids(image_ids, len(images))
    return apply_settings(images, settings, ids, threads)


def check_settings(
    name: GivenCorruption,
    severity: Severity,
    *,
    recipe: str | None,
    seed: int,
    noise: sampling.NoiseMode,
    across_switches: bool,
    gray: bool,
) -> CorruptionSettings:
    """Check all arguments of `corrupt` except the images.

    Raises:
        MissingExtraError, StudyError: as `corrupt` does.
    """
    require("images", "corrupting images", ["cv2"])
    exact = as_severity(severity)
    if recipe is not None:
        recipe_of(recipe)
    corruption = resolve_corruption(name)
    if noise not in sampling.NOISE_MODES:
        raise StudyError(f"unknown noise {noise!r}: expected 'shared' or 'independent'")
    if not isinstance(seed, Integral) or abs(seed) > sampling.MAX_SEED:
        raise StudyError(f"seed {shown(seed)}: expected a whole number of 64 bits")
    stream = sampling.Stream(int(seed), corruption.name, str(exact) if noise == "independent" else None)
    mixtures = {
        name: mixture_at(corruption, corruption.levels[name], exact, across_switches=across_switches)
        for name in ([recipe] if recipe is not None else RECIPES)
    }
    return CorruptionSettings(corruption, exact, recipe, stream, mixtures, gray)


def apply_settings(
    images: Images, settings: CorruptionSettings, image_ids: NDArray[np.int64], threads: int = 1
) -> Images:
    """Corrupt checked images (N, H, W, 3) of `image_ids` (N,)."""
    if settings.mixture_of(images) == (MixtureComponent(1.0, None),):
        return np.array(images)
    result = np.empty(images.shape, np.uint8)

    def corrupt_block(rows: slice) -> None:
        result[rows] = _apply_mixture(np.ascontiguousarray(images[rows]), image_ids[rows], settings)

    _for_blocks(images.shape, corrupt_block, threads)
    return result


def move_masks(
    masks: NDArray[np.bool_], settings: CorruptionSettings, image_ids: NDArray[np.int64], threads: int = 1
) -> NDArray[np.bool_]:
    """Object masks (N, H, W) of `image_ids` (N,), moved like their images, with the same samples.

    Corruptions that move nothing, and users' own, return the masks unchanged.
    """
    moves = settings.corruption.moves
    mixture = settings.mixture_of(masks)
    (_, parameters), *others = mixture
    if moves is None or parameters is None or others:  # no corruption that moves objects mixes images
        return masks
    result = np.empty(masks.shape, np.bool_)

    def move_block(rows: slice) -> None:
        block = np.ascontiguousarray(masks[rows])
        samples = sampling.sample(settings.stream, image_ids[rows], block.shape[1:], settings.corruption.samples)
        result[rows] = moves(block, parameters, **samples)

    _for_blocks(masks.shape, move_block, threads)
    return result


def mixture_at(
    corruption: Corruption, levels: Levels, severity: Decimal, *, across_switches: bool
) -> tuple[MixtureComponent, ...]:
    """The components of the image at a severity: one, or two neighboring levels to mix.

    Raises:
        StudyError: between two levels of a corruption that does not interpolate, unless `across_switches`.
    """
    below = int(severity)
    share = float(severity - below)
    known = (None, *levels[1:])
    if not share:
        return (MixtureComponent(1.0, known[below]),)
    if not corruption.interpolable and not across_switches:
        raise StudyError(
            f"{corruption.name!r} is not defined at severity {severity.normalize()}: {corruption.switch};"
            " use whole severities, or request a cross-fade with across_switches"
        )
    lower, upper = levels[below], levels[below + 1]
    if corruption.between == "images" or not corruption.interpolable or lower is None or upper is None:
        return MixtureComponent(1 - share, known[below]), MixtureComponent(share, upper)
    power = -0.5 if corruption.between == "inverse roots" else 1.0
    line = [(1 - share) * a**power + share * b**power for a, b in zip(lower, upper, strict=True)]
    return (MixtureComponent(1.0, tuple(value ** (1 / power) for value in line)),)


def _apply_mixture(images: Images, ids: NDArray[np.int64], settings: CorruptionSettings) -> Images:
    corruption = settings.corruption
    mixture = settings.mixture_of(images)
    samples = sampling.sample(settings.stream, ids, (images.shape[1], images.shape[2]), corruption.samples)
    if settings.gray:
        samples = same_in_channels(samples, images.shape)
    corrupted = [
        images if component.parameters is None else corruption.apply(images, component.parameters, **samples)
        for component in mixture
    ]
    if settings.gray:
        corrupted = [in_gray(component_images) for component_images in corrupted]
    if len(corrupted) == 1:
        return corrupted[0]
    mixed = sum(
        np.float32(component.weight) * component_images
        for component, component_images in zip(mixture, corrupted, strict=True)
    )
    return np.rint(mixed).astype(np.uint8)


def _for_blocks(shape: tuple[int, ...], action: Callable[[slice], None], threads: int) -> None:
    """Run an action on blocks of rows of an array of this shape."""
    step = max(1, BLOCK_VALUES // int(np.prod(shape[1:])))
    blocks = [slice(start, start + step) for start in range(0, shape[0], step)]
    if threads <= 1 or len(blocks) <= 1:
        for block in blocks:
            action(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(action, blocks))  # raises the error of a block


def _checked_ids(image_ids: ImageIds, count: int) -> NDArray[np.int64]:
    ids = np.asarray(image_ids)
    if ids.shape != (count,) or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise DataError(f"image_ids must be {count} whole numbers, one per image, not {ids.dtype} {ids.shape}")
    if ids.size and (ids.min() < 0 or ids.max() > sampling.MAX_IMAGE_ID):
        problem = f"{ids.min()} is negative" if ids.min() < 0 else f"{ids.max()} exceeds 63 bits"
        raise DataError(f"image_ids are whole numbers from 0: {problem}")
    return ids.astype(np.int64)


def check_images(images: object, recipe: str | None) -> None:
    """Check a batch of images; model inputs, often passed by mistake, differ from them in all respects.

    Raises:
        DataError: it is not (N, H, W, 3) uint8, or its images are too small for the recipe.
    """
    _check_array("images", ("N", "height", "width", "3"), images, recipe)


def check_image(image: object, recipe: str | None) -> None:
    """Check one image.

    Raises:
        DataError: it is not (H, W, 3) uint8, or too small for the recipe.
    """
    _check_array("image", ("height", "width", "3"), image, recipe)


def check_size(height: int, width: int, recipe: str | None) -> None:
    """Check the size of images.

    Raises:
        DataError: a side is shorter than the recipe needs.
    """
    recipe = recipe or nearest_recipe(height, width)
    needed = recipe_of(recipe)
    if min(height, width) < needed.least_side_px:
        raise DataError(
            f"images of {width}×{height} pixels are too small for recipe {recipe!r}: expected at least"
            f" {needed.least_side_px} pixels a side (it was published for {needed.side_px})"
        )


def _check_array(argument: str, dimensions: tuple[str, ...], array: object, recipe: str | None) -> None:
    if isinstance(array, np.ndarray) and array.dtype == np.uint8 and array.ndim == len(dimensions):
        height, width, channels = array.shape[-3:]
        if channels == 3 and height and width:
            check_size(height, width, recipe)
            return
    raise DataError(
        f"{argument} must be a uint8 array of shape ({', '.join(dimensions)}), values 0-255, not"
        f" {_kind(array)}{_hint(argument, array)}"
    )


def _kind(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    name = f"{type(value).__module__.split('.')[0]}.{type(value).__name__}".removeprefix("builtins.")
    dtype = getattr(value, "dtype", None)
    shape = getattr(value, "shape", None)
    return name if dtype is None or shape is None else f"{name} {str(dtype).removeprefix('torch.')} {tuple(shape)}"


def _hint(argument: str, value: object) -> str:
    """What to pass instead of a common other kind of image; empty for others."""
    if hasattr(value, "detach"):
        return "; failmodes.CorruptTransform takes tensors"
    if hasattr(value, "convert"):
        return ': pass np.asarray(image.convert("RGB")), a batch with np.stack'
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f" or not value.size:
        return ""
    if value.min() < 0 or value.max() > 255:
        return f" from {value.min():.3g} to {value.max():.3g}: corrupt images first, then normalize them"
    factor = " * 255" if value.max() <= 1 else ""
    return f": pass np.rint({argument}{factor}).astype(np.uint8)"
