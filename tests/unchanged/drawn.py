"""Pictures of four shapes on a background, with the masks of the shapes and what is known of each picture."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

CLASSES = ("disk", "square", "cross", "bar")


def drawn(count: int, *, px: int = 32, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
    """Images (N, H, W, 3), labels and masks (N, H, W); the last image repeats the one of the same class before it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:px, :px] / px
    labels = np.arange(count) % len(CLASSES)
    masks = np.stack([_shape(CLASSES[k], y - rng.uniform(0.35, 0.65), x - rng.uniform(0.35, 0.65)) for k in labels])
    colors = rng.integers(60, 255, (count, 1, 1, 3))
    light = (rng.uniform(10, 120, count)[:, None, None] * (0.5 + x))[..., None]
    images = np.where(masks[..., None], colors, light) + rng.normal(0, 12, (count, px, px, 3))
    images, masks = np.clip(images, 0, 255).astype(np.uint8), masks.copy()
    images[-1], masks[-1] = images[-1 - len(CLASSES)], masks[-1 - len(CLASSES)]
    return images, labels, masks


def known(count: int, seed: int = 1) -> pl.DataFrame:
    """Metadata of the images: a text with gaps, a number and a boolean."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "camera": rng.choice(["A", "B", None], count, p=[0.5, 0.4, 0.1]).tolist(),
            "distance_m": rng.gamma(2, 8, count).round(1),
            "at_night": rng.random(count) < 0.4,
        }
    )


def _shape(name: str, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.bool_]:
    across, down = np.abs(x), np.abs(y)
    return {
        "disk": x**2 + y**2 < 0.05,
        "square": (across < 0.2) & (down < 0.2),
        "cross": (np.minimum(across, down) < 0.07) & (np.maximum(across, down) < 0.28),
        "bar": (across < 0.3) & (down < 0.09),
    }[name]
