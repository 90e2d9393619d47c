"""Corrupting batches: input is checked, random variables are sampled, and kernels run block by block.

A severity is any number from 0 to 5. Whole numbers have exactly the published parameters; between them, by corruption:
- most interpolate their parameters on a straight line from level to level, and below 1 from the clean anchor of the
  recipe's table (shot noise the inverse root of its photons, which is the deviation of its noise);
- those whose parameters do not lead smoothly from level to level mix the images of the two (`MIXTURE_CORRUPTIONS`):
  defocus and zoom blur, linear filters whose disk gains whole pixels and whose zoom gains whole exposures (a mixture of
  images is then the image of a mixed kernel), and snow, whose flakes a layer zoomed by little more than 1 smooths away;
- those with switches (iterations, water or mud, less or more saturation) are refused, unless `across_switches` requests
  the same mixture, a cross-fade.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions import sampling
from failmodes.ingest.corruptions.catalogue import Corruption, Recipe, Severity, as_severity, corruption_info, recipe_of
from failmodes.ingest.corruptions.kernels.base import Images, Levels, Parameters
from failmodes.warehouse.errors import DataError, StudyError

ImageIds = Sequence[int] | NDArray[np.integer]
BLOCK_VALUES = 1 << 18  # values corrupted at a time: scratch stays at a few megabytes, mostly in cache
MIXTURE_CORRUPTIONS = {"defocus_blur", "zoom_blur", "snow"}
INVERSE_ROOT_CORRUPTIONS = {"shot_noise"}
CHANNEL_HINTS = {  # by dimensions and channels of arrays that are refused
    (4, 4): ": drop the alpha channel with images[..., :3]",
    (4, 1): ": repeat the grey channel with np.repeat(images, 3, axis=3)",
    (3, 3): ": one image is images[None]",
    (3, 4): ": one image is images[None]",
}


class MixtureComponent(NamedTuple):
    """One image of a mixture: its weight, and its parameters (None: the clean image)."""

    weight: float
    parameters: Parameters | None


def corrupt(
    images: Images,
    name: str,
    severity: Severity,
    *,
    recipe: str = "cifar-c",
    seed: int = 0,
    image_ids: ImageIds | None = None,
    draws: sampling.SamplingMode = "paired",
    across_switches: bool = False,
    threads: int = 1,
) -> Images:
    """Corrupt a batch of images.

    An image's result depends on its pixels, its `image_ids`, `seed`, `recipe`, the corruption and severity: not on the
    other images of the batch, their order, the number of threads, or the process. Samples are the same on every
    machine; pixels are for the same versions of NumPy, SciPy, OpenCV, Pillow and libjpeg and the same kind of
    processor, elsewhere they may differ by 1 in rare values, where rounding meets truncation.

    Args:
        images: (N, H, W, 3) uint8, RGB; never changed. Greyscale and RGBA arrays are refused: the caller decides which
            three channels to make of them.
        name: name of the corruption, "fog" for example; also one that was registered.
        severity: 0 (the clean images, copied) to 5, taken to thousandths. Whole numbers have the published parameters,
            others lie between them (see above).
        recipe: "cifar-c" (published for 32×32 pixels) or "imagenet-c" (224×224). Other sizes are fine from 8 and 32
            pixels: lengths stay pixels; fog's grid, elastic's unit, zoom and pixelate follow the image's side.
        seed: seed of all samples.
        image_ids: (N,) whole numbers from 0 that identify the images; 0 … N-1 if not given.
        draws: "paired": an image has the same samples at every severity; "independent": new ones at each, as
            published. Either way every severity by itself has the published distribution.
        across_switches: between severities of a corruption that does not interpolate, cross-fade.
        threads: how many blocks are corrupted at once.

    Returns:
        (N, H, W, 3) uint8.

    Raises:
        StudyError: an unknown corruption, recipe, severity or sampling mode, or a severity between switches.
        DataError: images or image_ids of another type or shape, images too small, no photographs of frost.
    """
    exact = as_severity(severity)
    chosen = recipe_of(recipe)
    corruption = corruption_info(name)
    _check_images(images, recipe, chosen)
    ids = _checked_ids(images, image_ids)
    if draws not in sampling.SAMPLING_MODES:
        raise StudyError(f"unknown draws {draws!r}: expected 'paired' or 'independent'")
    stream = sampling.Stream(int(seed), corruption.name, str(exact) if draws == "independent" else None)
    mixture = mixture_at(corruption, corruption.levels[recipe], exact, across_switches=across_switches)
    if mixture == (MixtureComponent(1.0, None),):
        return np.array(images)
    result = np.empty(images.shape, np.uint8)

    def corrupt_block(rows: slice) -> None:
        result[rows] = _apply_mixture(np.ascontiguousarray(images[rows]), ids[rows], corruption, mixture, stream)

    step = max(1, BLOCK_VALUES // int(np.prod(images.shape[1:])))
    _for_each([slice(start, start + step) for start in range(0, len(images), step)], corrupt_block, threads)
    return result


def mixture_at(
    corruption: Corruption, levels: Levels, severity: Decimal, *, across_switches: bool
) -> tuple[MixtureComponent, ...]:
    """What makes the image at a severity: one component, or two neighbouring levels to mix.

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
            " use whole severities, or ask for a cross-fade with across_switches"
        )
    lower, upper = levels[below], levels[below + 1]
    if corruption.name in MIXTURE_CORRUPTIONS or not corruption.interpolable or lower is None or upper is None:
        return MixtureComponent(1 - share, known[below]), MixtureComponent(share, upper)
    power = -0.5 if corruption.name in INVERSE_ROOT_CORRUPTIONS else 1.0
    line = [(1 - share) * a**power + share * b**power for a, b in zip(lower, upper, strict=True)]
    return (MixtureComponent(1.0, tuple(value ** (1 / power) for value in line)),)


def _apply_mixture(
    images: Images,
    ids: NDArray[np.int64],
    corruption: Corruption,
    mixture: tuple[MixtureComponent, ...],
    stream: sampling.Stream,
) -> Images:
    samples = sampling.sample(stream, ids, (images.shape[1], images.shape[2]), corruption.samples)
    corrupted = [
        images if component.parameters is None else corruption.apply(images, component.parameters, **samples)
        for component in mixture
    ]
    if len(corrupted) == 1:
        return corrupted[0]
    mixed = sum(np.float32(component.weight) * one for component, one in zip(mixture, corrupted, strict=True))
    return np.rint(mixed).astype(np.uint8)


def _for_each(blocks: list[slice], action: Callable[[slice], None], threads: int) -> None:
    if threads <= 1 or len(blocks) <= 1:
        for block in blocks:
            action(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(action, blocks):
            pass  # raises what a block raised


def _check_images(images: Images, name: str, recipe: Recipe) -> None:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise DataError(f"images must be uint8 values 0-255, not {getattr(images, 'dtype', type(images).__name__)}")
    if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        hint = CHANNEL_HINTS.get((images.ndim, images.shape[-1] if images.ndim else 0), "")
        if images.ndim == 3 and not hint:
            hint = ": repeat grey with np.repeat(images[..., None], 3, axis=3)"
        raise DataError(f"images must have shape (N, height, width, 3), not {images.shape}{hint}")
    if min(images.shape[1:3]) < recipe.least_side_px:
        raise DataError(
            f"images of {images.shape[2]}×{images.shape[1]} pixels are too small for recipe {name!r}: expected at least"
            f" {recipe.least_side_px} pixels a side (it was published for {recipe.side_px})"
        )


def _checked_ids(images: Images, image_ids: ImageIds | None) -> NDArray[np.int64]:
    if image_ids is None:
        return np.arange(len(images), dtype=np.int64)
    ids = np.asarray(image_ids)
    if ids.shape != (len(images),) or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise DataError(f"image_ids must be {len(images)} whole numbers, one an image, not {ids.dtype} {ids.shape}")
    if ids.size and ids.min() < 0:
        raise DataError(f"image_ids count from 0: {ids.min()} is negative")
    return ids.astype(np.int64)
