"""Parametric curves fitted to accuracy over severity, to describe it: how well each fits is always told beside.

Straight line, logistic and Weibull curve (with a free upper end and chance as floor: Wichmann and Hill 2001, Perception
& Psychophysics 63, 1293-1313), and an exponential with a free floor. Each has the largest binomial likelihood. Lack of
fit is judged by the residuals' covariance over images, since the severities share their images.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.change_points import covariance_of_means

STEPS, FARTHEST, NUDGE = 60, 12.0, 1e-5  # of the fit: its steps, the bound of its numbers, the step of derivatives
SETTLED = 1e-7  # a deviance that no step lowers by more has been reached
NEAREST = 1e-9  # of a fitted accuracy to 0 and 1
STILL = 1e-4  # of the largest movement of a fitted curve: one that is smaller counts as none
LINEAR, LOGISTIC, WEIBULL, EXPONENTIAL = FUNCTIONS = ("linear", "logistic", "weibull", "exponential")


class CurveFit(NamedTuple):
    """One fitted curve.

    Attributes:
        function: one of FUNCTIONS.
        upper: accuracy that the curve comes from: of the logistic at severities far below 0, else at severity 0; 0-1.
        floor: accuracy that it goes to; None of a straight line.
        location: severity where half of the fall from `upper` to `floor` is lost; None of a straight line.
        slope: accuracy a severity at `location`.
        parameters: number that were fitted.
        deviance: twice the log-likelihood that the curve loses against the accuracies themselves.
        degrees_of_freedom: severities, clean included, beyond the parameters.
        lack_of_fit_p: that the residuals are so large by chance; None where no severity is left, or images are few.
        quasi_aic: deviance / overdispersion + 2 parameters; the overdispersion is that of the curve that fits best.
    """

    function: str
    upper: float
    floor: float | None
    location: float | None
    slope: float
    parameters: int
    deviance: float
    degrees_of_freedom: int
    lack_of_fit_p: float | None
    quasi_aic: float


class _Function(NamedTuple):
    """A curve as a function of free numbers (…, P), of severities as shares of the last one (S,) and of chance."""

    accuracy: Callable[[Float64Array, Float64Array, float], Float64Array]
    starts: tuple[tuple[float, ...], ...]


def fit_curves(
    curves: Sequence[NDArray[np.bool_]], severities: ArrayLike, chance: float | None, *, paired: bool = True
) -> list[list[CurveFit]]:
    """Fit every function that has fewer parameters than a curve has severities to each of several curves of one grid.

    Args:
        curves: of each (N, S) bool, whether each image is right from clean to the last severity.
        severities: (S,) rising, the first 0.
        chance: accuracy of a guess, the floor of logistic and Weibull; None counts as 0.
        paired: whether rows of a curve are the same images at every severity.

    Returns:
        The fits of each curve.
    """
    grid, floor = np.asarray(severities, dtype=np.float64), chance or 0.0
    share, images = grid / grid[-1], len(curves[0])
    accuracy = np.stack([correct.mean(axis=0) for correct in curves])
    covariances = [covariance_of_means(correct, paired=paired) for correct in curves]
    found: list[list[CurveFit]] = [[] for _ in curves]
    for name, function in _FUNCTIONS.items():
        if len(grid) <= len(function.starts[0]):
            continue
        fitted = zip(*_fit(function, share, accuracy, images, floor), strict=True)
        for fits, own, covariance, (numbers, deviance) in zip(found, accuracy, covariances, fitted, strict=True):
            p_value = _lack_of_fit(function, numbers, share, own, covariance, images, floor)
            left = len(grid) - len(numbers)
            shape = _figures(name, numbers, float(grid[-1]), floor)
            fits.append(CurveFit(name, *shape, len(numbers), float(deviance), left, p_value, np.nan))
    return [_with_quasi_aic(fits) for fits in found]


def _with_quasi_aic(fits: list[CurveFit]) -> list[CurveFit]:
    dispersion = max(1.0, min((fit.deviance / fit.degrees_of_freedom for fit in fits), default=1.0))
    return [fit._replace(quasi_aic=fit.deviance / dispersion + 2 * fit.parameters) for fit in fits]


def _logistic_share(number: Float64Array) -> Float64Array:
    share: Float64Array = 1 / (1 + np.exp(-number))
    return share


def _line(numbers: Float64Array, share: Float64Array, chance: float) -> Float64Array:
    return numbers[..., :1] + numbers[..., 1:2] * share


def _logistic(numbers: Float64Array, share: Float64Array, chance: float) -> Float64Array:
    upper, middle, width = _logistic_share(numbers[..., :1]), numbers[..., 1:2], np.exp(numbers[..., 2:3])
    return chance + (1 - chance) * upper * _logistic_share(np.clip((middle - share) / width, -500, 500))


def _weibull(numbers: Float64Array, share: Float64Array, chance: float) -> Float64Array:
    upper, power = _logistic_share(numbers[..., :1]), np.exp(numbers[..., 2:3])
    lost = np.exp(np.minimum(power * (np.log(np.maximum(share, NEAREST)) - numbers[..., 1:2]), 6))
    return chance + (1 - chance) * upper * np.exp(-lost)


def _exponential(numbers: Float64Array, share: Float64Array, chance: float) -> Float64Array:
    upper, floor = _logistic_share(numbers[..., :1]), _logistic_share(numbers[..., 1:2])
    return floor + (upper - floor) * np.exp(-share * np.exp(-numbers[..., 2:3]))


_FUNCTIONS = {
    LINEAR: _Function(_line, ((0.9, -0.3),)),
    LOGISTIC: _Function(_logistic, tuple((2.0, middle, -1.5) for middle in (0.2, 0.6, 1.0, 1.5))),
    WEIBULL: _Function(_weibull, tuple((2.0, scale, power) for scale in (-1.0, 0.0, 1.0) for power in (0.0, 1.2))),
    EXPONENTIAL: _Function(
        _exponential, tuple((2.0, floor, rate) for floor in (-2.0, 1.0) for rate in (-1.5, 0.0, 1.5))
    ),
}


def _fit(
    function: _Function, share: Float64Array, accuracy: Float64Array, images: int, chance: float
) -> tuple[Float64Array, Float64Array]:
    """The free numbers (C, P) of largest likelihood of several curves (C, S), and their deviances (C,).

    Fisher's scoring with Levenberg's damping, of all curves from all starts at once, as (C, T, P).
    """
    own = accuracy[:, None, :]
    numbers = np.repeat(np.array(function.starts)[None], len(accuracy), axis=0)
    damping, deviance = np.full(numbers.shape[:2], 1e-2), _deviance(function, numbers, share, own, images, chance)
    diagonal = np.eye(numbers.shape[-1])
    for _ in range(STEPS):
        fitted = _bounded(function.accuracy(numbers, share, chance))
        weights = images / (fitted * (1 - fitted))
        jacobian = _jacobian(function, numbers, share, chance)
        gradient = np.einsum("ctps,cts->ctp", jacobian, weights * (own - fitted))
        information = np.einsum("ctps,cts,ctqs->ctpq", jacobian, weights, jacobian)
        is_held = (np.abs(numbers) >= FARTHEST) & (gradient * numbers > 0)  # at its bound, and drawn beyond it
        gradient, moves = np.where(is_held, 0, gradient), ~is_held
        information = information * moves[..., :, None] * moves[..., None, :]
        scale = (np.einsum("ctpp->ctp", information) + np.where(is_held, 1, NEAREST))[..., None] * diagonal
        step = np.linalg.solve(information + damping[..., None, None] * scale, gradient[..., None])[..., 0]
        tried = np.clip(numbers + step, -FARTHEST, FARTHEST)
        reached = _deviance(function, tried, share, own, images, chance)
        is_better = reached < deviance
        gained = float(np.max(deviance - reached, initial=0.0, where=is_better))
        numbers = np.where(is_better[..., None], tried, numbers)
        deviance = np.where(is_better, reached, deviance)
        damping = np.clip(np.where(is_better, damping / 5, damping * 5), 1e-9, 1e9)
        if gained < SETTLED and damping.min() > 1:
            break
    best = (np.arange(len(accuracy)), deviance.argmin(axis=1))
    return numbers[best], deviance[best]


def _bounded(accuracy: Float64Array) -> Float64Array:
    return np.clip(accuracy, NEAREST, 1 - NEAREST)


def _jacobian(function: _Function, numbers: Float64Array, share: Float64Array, chance: float) -> Float64Array:
    """Derivatives of the fitted accuracies by the free numbers (…, P), as (…, P, S)."""
    nudges = NUDGE * np.eye(numbers.shape[-1])
    above = function.accuracy(numbers[..., None, :] + nudges, share, chance)
    below = function.accuracy(numbers[..., None, :] - nudges, share, chance)
    slopes: Float64Array = (above - below) / (2 * NUDGE)
    return slopes


def _deviance(
    function: _Function, numbers: Float64Array, share: Float64Array, accuracy: Float64Array, images: int, chance: float
) -> Float64Array:
    """Binomial deviance of each of several curves (…)."""
    fitted, own = _bounded(function.accuracy(numbers, share, chance)), _bounded(accuracy)
    lost = accuracy * np.log(own / fitted) + (1 - accuracy) * np.log((1 - own) / (1 - fitted))
    deviance: Float64Array = 2 * images * lost.sum(axis=-1)
    return deviance


def _lack_of_fit(
    function: _Function, numbers: Float64Array, share: Float64Array, accuracy: Float64Array, covariance: Float64Array,
    images: int, chance: float,
) -> float | None:  # fmt: skip
    """P value that residuals are so far from 0 by chance, by what of them no change of the free numbers can mend.

    Hotelling's test (1931) of the residuals across the directions in which the fitted curve can move.
    """
    from scipy.special import fdtrc  # here: it takes .2 s, and most charts do without

    residuals = accuracy - function.accuracy(numbers, share, chance)
    directions, sizes, _ = np.linalg.svd(_jacobian(function, numbers, share, chance).T, full_matrices=True)
    able = int((sizes > STILL * sizes[0]).sum())  # a number at its bound no longer moves the curve
    left, across = len(share) - able, directions[:, able:]
    if images <= left + 1:
        return None
    spread = np.einsum("sp,st,tq->pq", across, covariance, across)
    beyond = np.einsum("s,sp->p", residuals, across)
    squared = float((beyond * np.linalg.solve(spread, beyond)).sum())
    return float(fdtrc(left, images - left, squared * (images - left) / ((images - 1) * left)))


def _figures(
    name: str, numbers: Float64Array, last: float, chance: float
) -> tuple[float, float | None, float | None, float]:
    """Upper accuracy, floor, location and slope of a fitted curve, in severities again."""
    first, second, third = [*(float(number) for number in numbers), 0.0][:3]
    if name == LINEAR:
        return first, None, None, second / last
    upper = float(_logistic_share(numbers[0]))
    if name == EXPONENTIAL:
        floor, location = float(_logistic_share(numbers[1])), float(np.log(2) * np.exp(third))
        return upper, floor, location * last, (floor - upper) / 2 / float(np.exp(third)) / last
    top = chance + (1 - chance) * upper
    if name == LOGISTIC:
        return top, chance, second * last, (chance - top) / 4 / float(np.exp(third)) / last
    power = float(np.exp(third))
    location = float(np.exp(second) * np.log(2) ** (1 / power))
    return top, chance, location * last, (chance - top) / 2 * power * float(np.log(2)) / location / last
