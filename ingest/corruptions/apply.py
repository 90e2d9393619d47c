"""The engine: checks what it is given, draws, and runs a corruption over whole batches, block by block."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions import sampling
from failmodes.ingest.corruptions.kernels.pixels import Images
from failmodes.ingest.corruptions.recipes import Recipe, recipe_of
from failmodes.ingest.corruptions.registry import RunnableCorruption, get_corruption
from failmodes.ingest.corruptions.severity import MixtureComponent, Severity, as_severity, mixture_at
from failmodes.warehouse.errors import DataError, StudyError

BLOCK_VALUES = 1 << 18  # values corrupted at a time: scratch stays at a few megabytes, mostly in cache


def corrupt(
    images: Images,
    name: str,
    severity: Severity,
    *,
    recipe: str = "cifar-c",
    seed: int = 0,
    image_ids: Sequence[int] | NDArray[np.integer] | None = None,
    draws: sampling.SamplingMode = "paired",
    across_switches: bool = False,
    threads: int = 1,
) -> Images:
    """Corrupt a batch of images.

    An image's result depends on its pixels, its number in `image_ids`, `seed`, `recipe`, the corruption and severity:
    not on the other images of the batch, their order, the number of threads, or the process. Draws are the same on
    every machine; pixels are for the same versions of NumPy, SciPy, OpenCV, Pillow and libjpeg and the same kind of
    processor, elsewhere they may differ by 1 in rare values, where rounding meets truncation.

    Args:
        images: (N, H, W, 3) uint8, RGB; never changed. Greyscale and RGBA arrays are refused: which three channels to
            make of them is the caller's to say.
        name: name of the corruption, such as "fog"; also one that was registered.
        severity: 0 (the clean images, copied) to 5, taken to thousandths. Whole numbers have the published parameters,
            others lie between them (`failmodes.ingest.corruptions.severity`).
        recipe: "cifar-c" (published for 32×32 pixels) or "imagenet-c" (224×224). Other sizes are fine from 8 and 32
            pixels: lengths stay pixels; fog's grid, elastic's unit, zoom and pixelate follow the image's side.
        seed: seed of all draws.
        image_ids: (N,) whole numbers from 0 that name the images; 0 … N-1 if not given.
        draws: "paired": an image meets the same draws at every severity; "independent": fresh ones at each, as
            published. Either way every severity by itself has the published distribution.
        across_switches: between severities of a corruption that does not interpolate, cross-fade.
        threads: how many blocks are corrupted at once.

    Returns:
        (N, H, W, 3) uint8.

    Raises:
        StudyError: an unknown corruption, recipe, severity or kind of draws, or a severity between switches.
        DataError: images or image_ids of another type or shape, images too small, no photographs of frost.
    """
    exact = as_severity(severity)
    chosen = recipe_of(recipe)
    definition = get_corruption(name, chosen)
    ids = _checked_ids(_checked_images(images, recipe, chosen), image_ids)
    stream = _stream(seed, definition.corruption.name, exact, draws)
    parts = mixture_at(definition.corruption, definition.levels, exact, across_switches=across_switches)
    if parts == (MixtureComponent(1.0, None),):
        return np.array(images)
    result = np.empty(images.shape, np.uint8)

    def corrupt_block(rows: slice) -> None:
        result[rows] = _mixed(np.ascontiguousarray(images[rows]), ids[rows], definition, parts, stream)

    _for_each(_blocks(images.shape), corrupt_block, threads)
    return result


def _mixed(
    images: Images,
    ids: NDArray[np.int64],
    definition: RunnableCorruption,
    parts: tuple[MixtureComponent, ...],
    stream: sampling.Stream,
) -> Images:
    drawn = sampling.sample(stream, ids, (images.shape[1], images.shape[2]), definition.draws)
    made = [images if p.parameters is None else definition.apply(images, p.parameters, drawn) for p in parts]
    if len(made) == 1:
        return made[0]
    mixture = sum(np.float32(part.weight) * one for part, one in zip(parts, made, strict=True))
    return np.rint(mixture).astype(np.uint8)


def _blocks(shape: tuple[int, ...]) -> list[slice]:
    step = max(1, BLOCK_VALUES // int(np.prod(shape[1:])))
    return [slice(start, start + step) for start in range(0, shape[0], step)]


def _for_each(blocks: list[slice], action: Callable[[slice], None], threads: int) -> None:
    if threads <= 1 or len(blocks) <= 1:
        for block in blocks:
            action(block)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(action, blocks):
            pass  # raises what a block raised


def _stream(seed: int, name: str, severity: Decimal, kind: str) -> sampling.Stream:
    if kind not in sampling.SAMPLING_MODES:
        raise StudyError(f"unknown draws {kind!r}: expected 'paired' or 'independent'")
    return sampling.Stream(int(seed), name, str(severity) if kind == "independent" else None)


def _checked_images(images: Images, name: str, recipe: Recipe) -> Images:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        raise DataError(f"images must be uint8 values 0-255, not {getattr(images, 'dtype', type(images).__name__)}")
    if images.ndim != 4 or images.shape[3] != 3 or 0 in images.shape[1:]:
        raise DataError(f"images must have shape (N, height, width, 3), not {images.shape}{_channels_hint(images)}")
    if min(images.shape[1:3]) < recipe.least_side_px:
        raise DataError(
            f"images of {images.shape[2]}×{images.shape[1]} pixels are too small for recipe {name!r}: expected at least"
            f" {recipe.least_side_px} pixels a side (it was published for {recipe.side_px})"
        )
    return images


def _channels_hint(images: Images) -> str:
    if images.ndim == 4 and images.shape[3] == 4:
        return ": drop the alpha channel with images[..., :3]"
    if images.ndim == 4 and images.shape[3] == 1:
        return ": repeat the grey channel with np.repeat(images, 3, axis=3)"
    if images.ndim == 3:
        one_image = images.shape[2] in (3, 4)
        return (
            ": one image is images[None]" if one_image else ": repeat grey with np.repeat(images[..., None], 3, axis=3)"
        )
    return ""


def _checked_ids(images: Images, image_ids: Sequence[int] | NDArray[np.integer] | None) -> NDArray[np.int64]:
    if image_ids is None:
        return np.arange(len(images), dtype=np.int64)
    ids = np.asarray(image_ids)
    if ids.shape != (len(images),) or (ids.size and not np.issubdtype(ids.dtype, np.integer)):
        raise DataError(f"image_ids must be {len(images)} whole numbers, one an image, not {ids.dtype} {ids.shape}")
    if ids.size and ids.min() < 0:
        raise DataError(f"image_ids count from 0: {ids.min()} is negative")
    return ids.astype(np.int64)
