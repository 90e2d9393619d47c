"""Glass blur: smooth, shuffle pixels locally, smooth."""

import numpy as np
from numpy.typing import NDArray

from ingest.corruptions.blur import smooth
from ingest.corruptions.pixels import Images, from_unit, to_unit
from ingest.corruptions.recipes import Parameters

MOST_ITERATIONS = 3  # of any recipe: what is drawn never depends on severity


def glass_blur(images: Images, parameters: Parameters, *, words: NDArray[np.uint32]) -> Images:
    """Smooth by sigma (to stored values, truncated), shuffle, smooth again.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: sigma in pixels, largest offset in pixels, iterations.
        words: (N, iterations, H, W); the upper 16 bits decide a pixel's offset down, the lower its offset across.
    """
    sigma, reach, iterations = parameters[0], int(parameters[1]), int(parameters[2])
    smoothed = _stored(smooth(to_unit(images), sigma))
    count, height, width = images.shape[:3]
    source = np.broadcast_to(np.arange(height * width, dtype=np.int32), (count, height * width))
    for iteration in range(iterations):
        moved = _shuffle(words[:, iteration], reach)
        source = np.take_along_axis(source, moved, axis=1)
    shuffled = np.take_along_axis(smoothed.reshape(count, -1, 3), source[..., None], axis=1)
    return from_unit(smooth(to_unit(shuffled.reshape(images.shape)), sigma))


def _stored(values: NDArray[np.float64]) -> Images:
    return (values * 255).astype(np.uint8)


def _shuffle(words: NDArray[np.uint32], reach: int) -> NDArray[np.int32]:
    """Where each pixel's value comes from after one pass, (N, H·W) flat indices.

    The published pass visits pixels from the bottom right and copies onto each the pixel at its offset, in -reach …
    reach-1 both ways (its "swap" overwrites the other half of the exchange). A copied pixel that was visited already
    has itself a copy, so sources form chains; doubling follows all of them at once.
    """
    count, height, width = words.shape
    offsets = np.uint32(2 * reach)
    down = ((words >> np.uint32(16)) * offsets >> np.uint32(16)).astype(np.int32) - reach
    across = ((words & np.uint32(0xFFFF)) * offsets >> np.uint32(16)).astype(np.int32) - reach
    here = np.arange(height * width, dtype=np.int32).reshape(height, width)
    visited = np.zeros((height, width), bool)
    visited[reach + 1 : height - reach + 1, reach + 1 : width - reach + 1] = True
    source = np.where(visited, here + down * width + across, here).reshape(count, -1)
    if reach == 1:
        return source  # offsets are -1 or 0: what is copied has not been visited yet
    return _followed(source, here.ravel(), visited.ravel())


def _followed(source: NDArray[np.int32], here: NDArray[np.int32], visited: NDArray[np.bool_]) -> NDArray[np.int32]:
    # A link goes on where its source was visited before: later in reading order, and not itself
    goes_on = (source > here) & visited[source]
    link = np.where(goes_on, source, here)
    while True:
        further = np.take_along_axis(link, link, axis=1)
        if (further == link).all():
            break
        link = further
    return np.take_along_axis(source, link, axis=1)
