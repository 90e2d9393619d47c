"""Check images before they are corrupted: stored values, uint8, 0-255, RGB, channels last.

Model inputs, often passed by mistake, differ in all of these.
"""

import numpy as np

from failmodes.ingest.corruptions.catalog import nearest_recipe, recipe_of
from failmodes.runtime.errors import DataError


def check_images(images: object, recipe: str | None) -> None:
    """Check a batch of images.

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


def _check_array(argument: str, dimensions: tuple[str, ...], given: object, recipe: str | None) -> None:
    if isinstance(given, np.ndarray) and given.dtype == np.uint8 and given.ndim == len(dimensions):
        height, width, channels = given.shape[-3:]
        if channels == 3 and height and width:
            check_size(height, width, recipe)
            return
    raise DataError(
        f"{argument} must be a uint8 array of shape ({', '.join(dimensions)}), values 0-255, not"
        f" {_kind(given)}{_hint(argument, given)}"
    )


def _kind(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"{given.dtype} {given.shape}"
    name = f"{type(given).__module__.split('.')[0]}.{type(given).__name__}".removeprefix("builtins.")
    dtype, shape = getattr(given, "dtype", None), getattr(given, "shape", None)
    return name if dtype is None or shape is None else f"{name} {str(dtype).removeprefix('torch.')} {tuple(shape)}"


def _hint(argument: str, given: object) -> str:
    """What to pass instead of a common other kind of image; empty for others."""
    if hasattr(given, "detach"):
        return "; failmodes.CorruptTransform takes tensors"
    if hasattr(given, "convert"):
        return ': pass np.asarray(image.convert("RGB")), a batch with np.stack'
    if not isinstance(given, np.ndarray) or given.dtype.kind != "f" or not given.size:
        return ""
    if given.min() < 0 or given.max() > 255:
        return f" from {given.min():.3g} to {given.max():.3g}: corrupt images first, then normalize them"
    factor = " * 255" if given.max() <= 1 else ""
    return f": pass np.rint({argument}{factor}).astype(np.uint8)"
