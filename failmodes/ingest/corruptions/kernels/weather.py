"""Weather: fog (plasma, the same on every channel), spatter (water or mud) and snow (streaked flakes)."""

import numpy as np

from failmodes.ingest.corruptions.corruption import corruption
from failmodes.ingest.corruptions.kernels.blur import (
    ANGLE,
    angles_deg,
    apply_motion_kernel,
    clipped_zoom,
    gaussian_filter,
)
from failmodes.ingest.corruptions.pixels import (
    Float32Array,
    FloatArray,
    Images,
    Parameters,
    from_unit,
    to_unit32,
)
from failmodes.ingest.corruptions.sampling import Size, normal, uniform

FIRST_WIBBLE = 100.0
MIN_SIDE = 32
PALE_TURQUOISE = np.array([175, 238, 238], np.float32) / np.float32(255)
MUD_BROWN = np.array([63, 42, 20], np.float32) / np.float32(255)
MIN_MUD = 0.8
FURTHEST_PX = 20  # distances from an edge count up to here
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
ANGLE_RANGE_DEG = (-135.0, -45.0)
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

LAYER = {"layer": normal(lambda size: size)}


def plasma_shape(size: Size) -> tuple[int, int]:
    """The square that plasma is made on: its side is the smallest power of two that covers (H, W), at least 32."""
    side = max(MIN_SIDE, 1 << (max(size) - 1).bit_length())
    return side, side


@corruption(
    order=10,
    group="weather",
    samples={"field": uniform(plasma_shape)},
    levels={
        "cifar-c": ((0, 3), (0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "imagenet-c": ((0, 2), (1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    },
)
def fog(images: Images, parameters: Parameters, *, field: Float32Array) -> Images:
    """Add plasma and rescale to keep the image's largest value.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: amount of fog, decay of the plasma's roughness.
        field: (N, S, S) uniform in 0 to 1, S ≥ H, W: what the plasma is made from.
    """
    amount, decay = parameters
    height, width = images.shape[1:3]
    brightest = to_unit32(images.max(axis=(1, 2, 3), keepdims=True))
    foggy = to_unit32(images)
    foggy += np.float32(amount) * plasma_fractal(field * 2 - 1, decay)[:, :height, :width, None]
    foggy *= brightest
    foggy /= brightest + np.float32(amount)
    return from_unit(foggy)


def plasma_fractal(field: Float32Array, decay: float) -> Float32Array:
    """Diamond-square plasma scaled to 0-1, as the published generator makes it.

    Each element but [0, 0] is filled once, from four neighbors (a torus) and its own random value, which counts with
    the square of the level's wibble.

    Args:
        field: (N, S, S) uniform in -1 to 1; S a power of two.
        decay: what the wibble is divided by from level to level.

    Returns:
        (N, S, S), each map from 0 to 1.
    """
    heights = np.zeros_like(field)
    step = field.shape[1]
    wibble = FIRST_WIBBLE
    while step >= 2:
        _fill_level(heights, field, step, wibble)
        step //= 2
        wibble /= decay
    heights -= heights.min(axis=(1, 2), keepdims=True)
    heights /= heights.max(axis=(1, 2), keepdims=True)
    return heights


def _fill_level(heights: Float32Array, field: Float32Array, step: int, wibble: float) -> None:
    even, odd = slice(0, None, step), slice(step // 2, None, step)

    def fill(rows: slice, columns: slice, neighbors: FloatArray) -> None:
        heights[:, rows, columns] = neighbors / 4 + wibble * (wibble * field[:, rows, columns])

    corners = heights[:, even, even]
    pairs = corners + np.roll(corners, -1, axis=1)
    fill(odd, odd, pairs + np.roll(pairs, -1, axis=2))
    centers = heights[:, odd, odd]
    fill(even, odd, centers + np.roll(centers, 1, axis=1) + corners + np.roll(corners, -1, axis=2))
    fill(odd, even, centers + np.roll(centers, 1, axis=2) + corners + np.roll(corners, -1, axis=1))


@corruption(
    order=18,
    group="weather",
    samples=LAYER,
    dose_ordered=False,
    switch="between severities 3 and 4 water turns to mud",
    levels={
        "cifar-c": (
            None,
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        "imagenet-c": (
            None,
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
    },
)
def spatter(images: Images, parameters: Parameters, *, layer: Float32Array) -> Images:
    """Where a smoothed random layer exceeds a threshold, add water or cover with mud.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: mean and deviation of the layer, sigma of its smoothing in pixels, threshold, strength of water or
            sigma in pixels that softens the edges of mud, and 0 for water or 1 for mud.
        layer: (N, H, W) standard normal.
    """
    mean, deviation, sigma, threshold, strength, mud = parameters
    liquid = gaussian_filter(layer * np.float32(deviation) + np.float32(mean), sigma)
    unit = to_unit32(images)
    if mud:
        cover = gaussian_filter((liquid > threshold).astype(np.float32), strength)[..., None]
        cover[cover < MIN_MUD] = 0
        return from_unit(unit * (1 - cover) + MUD_BROWN * cover)
    liquid[liquid < threshold] = 0
    stored = (liquid * 255).astype(np.int32).astype(np.uint8)
    drops = np.stack([_drops(image) for image in stored])[..., None]
    return from_unit(unit + drops * (np.float32(strength) * PALE_TURQUOISE))


def _drops(liquid: Images) -> Float32Array:
    """The relief of drops (H, W), 0-1, from their thickness (H, W) uint8, as published."""
    import cv2

    distance = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    distance = cv2.blur(np.minimum(distance, FURTHEST_PX), (3, 3)).astype(np.uint8)
    relief = cv2.filter2D(cv2.equalizeHist(distance), cv2.CV_8U, RELIEF)
    drops = liquid * cv2.blur(relief, (3, 3)).astype(np.float32)
    return np.asarray(drops / max(drops.max(), 1))  # without drops all stay 0


@corruption(
    order=8,
    group="weather",
    samples=LAYER | ANGLE,
    dose_ordered=False,
    between="images",
    levels={
        "cifar-c": (
            None,
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "imagenet-c": (
            None,
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    },
)
def snow(images: Images, parameters: Parameters, *, layer: Float32Array, unit_angles: Float32Array) -> Images:
    """Lay flakes, and the same rotated by 180 degrees, over the image, whitened towards its own gray.

    Args:
        images: (N, H, W, 3) uint8.
        parameters: mean and deviation of the layer, its zoom, the threshold of a flake, radius and sigma of its streak
            in pixels, weight of the image against its whitened self.
        layer: (N, H, W) standard normal.
        unit_angles: (N,) 0-1, for -135 to -45 degrees.
    """
    mean, deviation, zoom, threshold, radius, sigma, image_weight = parameters
    flakes = clipped_zoom(layer * np.float32(deviation) + np.float32(mean), zoom)
    flakes[flakes < threshold] = 0
    fallen = apply_motion_kernel(
        from_unit(flakes)[..., None], (radius, sigma), angles_deg(unit_angles, *ANGLE_RANGE_DEG)
    )
    unit = to_unit32(images)
    white = (unit @ LUMA)[..., None] * np.float32(1.5) + np.float32(0.5)
    snowy = np.maximum(unit, white)
    snowy *= np.float32(1 - image_weight)
    snowy += unit * np.float32(image_weight)
    snowy += to_unit32(fallen)
    snowy += to_unit32(fallen[:, ::-1, ::-1])
    return from_unit(snowy)
