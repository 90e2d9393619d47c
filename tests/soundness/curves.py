"""Answers of models whose true accuracy is known: the generator behind every figure of `make soundness`.

Each image has a latent number at every severity, normal and correlated over severities, and is right where it lies
below the quantile of the true accuracy there. So marginals are exact, and images keep their order of difficulty.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

GRIDS = {6: np.arange(6.0), 21: np.arange(21) / 4}  # severities by their number
CORRELATION = 0.9  # of the latent numbers of an image at two severities
SHARED = 0.7  # of the same at two corruptions
MAX_NUMBERS = 4_000_000  # latent numbers in memory at a time
Floats = NDArray[np.float64]
Curve = tuple[float, ...]
Bools = NDArray[np.bool_]


def draw_outcomes(
    rng: np.random.Generator, accuracy: Sequence[float], images: int, samples: int, correlation: float = CORRELATION
) -> Iterator[Bools]:
    """Whether each image is right at each severity, (N, S), `samples` times."""
    yield from draw_cells(rng, [accuracy], images, samples, correlation, correlation)


def draw_cells(
    rng: np.random.Generator,
    accuracy: Sequence[Sequence[float]],
    images: int,
    samples: int,
    shared: float = SHARED,
    correlation: float = CORRELATION,
) -> Iterator[Bools]:
    """The same of the cells of several curves (C, S), as (N, C * S): `shared` is the correlation between curves."""
    limits = ndtri(np.asarray(accuracy)).astype(np.float32)
    curves, severities = limits.shape
    weights = [np.float32(weight) ** np.float32(0.5) for weight in (shared, correlation - shared, 1 - correlation)]
    batch = max(1, MAX_NUMBERS // (images * limits.size))
    for start in range(0, samples, batch):
        count = min(batch, samples - start)
        latent = rng.standard_normal((count, images, curves, severities), np.float32)
        latent *= weights[2]
        latent += weights[0] * rng.standard_normal((count, images, 1, 1), np.float32)
        if correlation > shared:
            latent += weights[1] * rng.standard_normal((count, images, curves, 1), np.float32)
        yield from (latent < limits).reshape(count, images, limits.size)


def bent(clean: float, drop: float, curvature: float, severities: int) -> tuple[float, ...]:
    """A curve that loses `drop` with exactly this curvature: a straight line and a parabola."""
    place = GRIDS[severities] / GRIDS[severities][-1]
    arch = place * (1 - place)
    return _rounded(clean - drop * place + drop * curvature * arch / arch[1:-1].mean())


def straight(clean: float, drop: float, severities: int) -> tuple[float, ...]:
    """A curve that loses as much in every step."""
    return bent(clean, drop, 0.0, severities)


def through(points: Sequence[float], severities: int) -> tuple[float, ...]:
    """The curve through accuracies at severities 0 to 5, straight between."""
    return _rounded(np.interp(GRIDS[severities], GRIDS[6], points))


def _rounded(curve: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.12g}") for value in curve)
