"""Check images before they are corrupted; errors suggest the expression that converts them.

Corruptions work on stored values: uint8, 0-255, RGB, channels last. Model inputs, often passed by mistake, differ in
all of these.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.ingest.corruptions.catalog import nearest_recipe, recipe_of
from failmodes.warehouse.errors import DataError


class Layout(NamedTuple):
    """A layout that is not the expected one, and the expression that converts it.

    Attributes:
        dimensions: of the array.
        axis: of its channels.
        channels: how many; None for any number.
        fix: the expression, of the array as `{}`.
    """

    dimensions: int
    axis: int
    channels: int | None
    fix: str


# The first that fits is used
BATCH_LAYOUTS = (
    Layout(4, -1, 3, "{}"),
    Layout(4, -1, 4, "{}[..., :3]"),
    Layout(4, -1, 1, "np.repeat({}, 3, axis=-1)"),
    Layout(4, 1, 3, "{}.transpose(0, 2, 3, 1)"),
    Layout(4, 1, 4, "{}.transpose(0, 2, 3, 1)[..., :3]"),
    Layout(4, 1, 1, "np.repeat({}.transpose(0, 2, 3, 1), 3, axis=-1)"),
    Layout(3, -1, 3, "{}[None]"),
    Layout(3, -1, 4, "{}[None, ..., :3]"),
    Layout(3, -1, 1, "np.repeat({}[None], 3, axis=-1)"),
    Layout(3, 0, 3, "{}.transpose(1, 2, 0)[None]"),
    Layout(3, 0, None, "np.repeat({}[..., None], 3, axis=-1)"),
    Layout(2, 0, None, "np.repeat({}[None, ..., None], 3, axis=-1)"),
)
SINGLE_LAYOUTS = (
    Layout(3, -1, 3, "{}"),
    Layout(3, -1, 4, "{}[..., :3]"),
    Layout(3, -1, 1, "np.repeat({}, 3, axis=-1)"),
    Layout(3, 0, 3, "{}.transpose(1, 2, 0)"),
    Layout(3, 0, 1, "np.repeat({}.transpose(1, 2, 0), 3, axis=-1)"),
    Layout(2, 0, None, "np.repeat({}[..., None], 3, axis=-1)"),
)


def check_images(images: object, recipe: str | None) -> None:
    """Check a batch of images.

    Raises:
        DataError: it is not (N, H, W, 3) uint8, or its images are too small for the recipe.
    """
    if not (isinstance(images, np.ndarray) and images.ndim == 4 and _is_stored(images)):
        raise DataError(_refusal("images", "(N, height, width, 3)", images, BATCH_LAYOUTS))
    check_size(images.shape[1], images.shape[2], recipe)


def check_image(image: object, recipe: str | None) -> None:
    """Check one image.

    Raises:
        DataError: it is not (H, W, 3) uint8, or too small for the recipe.
    """
    if not (isinstance(image, np.ndarray) and image.ndim == 3 and _is_stored(image)):
        raise DataError(_refusal("image", "(height, width, 3)", image, SINGLE_LAYOUTS))
    check_size(image.shape[0], image.shape[1], recipe)


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


def _is_stored(images: NDArray[Any]) -> bool:
    return images.dtype == np.uint8 and images.shape[-1] == 3 and 0 not in images.shape[-3:]


def _refusal(argument: str, shape: str, given: object, layouts: Sequence[Layout]) -> str:
    """One line: the expected and the given type, and an expression of `argument` to pass instead."""
    line = f"{argument} must be a uint8 array of shape {shape}, values 0-255, not {_kind(given)}"
    expression, array = _as_array(argument, given)
    layout = next((one for one in layouts if array is not None and _fits(array, one)), None)
    if array is None or layout is None:
        return line
    values = _values_fix(array)
    if values is None:
        return f"{line} from {array.min():.3g} to {array.max():.3g}: corrupt images first, then normalize them"
    tensors = "; failmodes.CorruptTransform takes tensors" if hasattr(given, "detach") else ""
    return f"{line}: pass {values.format(layout.fix.format(expression))}{tensors}"


def _kind(given: object) -> str:
    if isinstance(given, np.ndarray):
        return f"{given.dtype} {given.shape}"
    name = f"{type(given).__module__.split('.')[0]}.{type(given).__name__}".removeprefix("builtins.")
    dtype, shape = getattr(given, "dtype", None), getattr(given, "shape", None)
    return name if dtype is None or shape is None else f"{name} {str(dtype).removeprefix('torch.')} {tuple(shape)}"


def _as_array(argument: str, given: Any) -> tuple[str, NDArray[Any] | None]:
    """The expression that converts the argument to an array, and the array; None if it cannot be converted."""
    if isinstance(given, np.ndarray):
        return argument, given
    if hasattr(given, "convert"):  # an image of Pillow
        return f'np.asarray({argument}.convert("RGB"))', np.asarray(given.convert("RGB"))
    try:
        if hasattr(given, "detach"):  # a tensor of torch
            return f"{argument}.numpy(force=True)", given.numpy(force=True)
        if isinstance(given, list | tuple) and given and not isinstance(given[0], list | tuple):
            each = [_as_array("one", one) for one in given]
            arrays = [array for _, array in each if array is not None]
            return f"np.stack([{each[0][0]} for one in {argument}])", np.stack(arrays)
        if isinstance(given, list | tuple):
            return f"np.asarray({argument})", np.asarray(given)
    except (TypeError, ValueError):  # a dtype that NumPy lacks, images of several sizes, or no images
        pass
    return argument, None


def _fits(array: NDArray[Any], layout: Layout) -> bool:
    return (
        array.dtype.kind in "buif"
        and 0 not in array.shape
        and array.ndim == layout.dimensions
        and layout.channels in (None, array.shape[layout.axis])
    )


def _values_fix(array: NDArray[Any]) -> str | None:
    """The expression that converts values to stored ones; None if they are not from 0 to 255."""
    if array.dtype == np.uint8:
        return "{}"
    if array.dtype.kind == "b":
        return "{}.astype(np.uint8) * 255"
    if not (array.min() >= 0 and array.max() <= 255):
        return None
    if array.dtype.kind in "ui":
        return "{}.astype(np.uint8)"
    return "np.rint({} * 255).astype(np.uint8)" if array.max() <= 1 else "np.rint({}).astype(np.uint8)"
