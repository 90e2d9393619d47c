"""Parametric curves fitted to accuracy over severity, to describe it: how well each fits is always told beside.

Straight line, logistic and Weibull curve (with a free upper end and chance as floor: Wichmann and Hill 2001, Perception
& Psychophysics 63, 1293-1313), and an exponential with a free floor. Each has the largest binomial likelihood. Lack of
fit is judged by the residuals' covariance over images, since the severities share their images.
"""

from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.bootstrap import Float64Array
from failmodes.analysis.statistics.change_points import covariance_of_means
from failmodes.warehouse.metrics.duplicates import Groups, independent_share

FARTHEST = 12.0  # bound of the free numbers
NEAREST = 1e-9  # of a fitted accuracy to 0 and 1
STILL = 1e-4  # of the largest movement of a fitted curve: one that is smaller counts as none
LINEAR, LOGISTIC, WEIBULL, EXPONENTIAL = FUNCTIONS = ("linear", "logistic", "weibull", "exponential")
# Free numbers that a fit may begin with, of which it takes the two nearest; severities are shares of the last one
STARTS: dict[str, list[tuple[float, ...]]] = {
    LINEAR: [(2.0, 0.0)],
    LOGISTIC: [(2.0, middle, -1.5) for middle in (0.2, 0.6, 1.0, 1.5)],
    WEIBULL: [(2.0, scale, power) for scale in (-1.0, 0.0, 1.0) for power in (0.0, 1.2)],
    EXPONENTIAL: [(2.0, floor, rate) for floor in (-2.0, 1.0) for rate in (-1.5, 0.0, 1.5)],
}


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


def fit_curve(
    correct: ArrayLike,
    severities: ArrayLike,
    chance: float | None,
    *,
    paired: bool = True,
    groups: Groups | None = None,
) -> list[CurveFit]:
    """Fit every function that has fewer parameters than a curve has severities.

    Args:
        correct: (N, S) bool, whether each image is right from clean to the last severity.
        severities: (S,) rising, the first 0.
        chance: accuracy of a guess, the floor of logistic and Weibull; None counts as 0.
        paired: whether rows of `correct` are the same images at every severity.
        groups: (N,) of duplicates among the images, of which the likelihood counts the effective number; None where
            they are distinct.
    """
    is_correct, grid = np.asarray(correct, dtype=bool), np.asarray(severities, dtype=np.float64)
    covariance, floor, fits = covariance_of_means(is_correct, paired=paired, groups=groups), chance or 0.0, []
    images = len(is_correct) * independent_share(groups)
    for name, starts in STARTS.items():
        left = len(grid) - len(starts[0])
        if left > 0:
            numbers, deviance = _fit(name, grid / grid[-1], is_correct, images, floor)
            p_value = _lack_of_fit(name, numbers, grid / grid[-1], is_correct, images, covariance, floor)
            shape = _figures(name, numbers, float(grid[-1]), floor)
            fits.append(CurveFit(name, *shape, len(numbers), deviance, left, p_value, np.nan))
    dispersion = max(1.0, min((fit.deviance / fit.degrees_of_freedom for fit in fits), default=1.0))
    return [fit._replace(quasi_aic=fit.deviance / dispersion + 2 * fit.parameters) for fit in fits]


def _accuracy(name: str, numbers: Float64Array, share: Float64Array, chance: float) -> Float64Array:
    """A curve of free numbers (P,) at severities (S,), which are shares of the last one."""
    _, second, third = [*np.clip(numbers, -FARTHEST, FARTHEST), 0.0][:3]
    upper, floor = _ends(name, numbers, chance)
    if name == LINEAR:
        kept = 1 - share
    elif name == LOGISTIC:
        kept = 1 / (1 + np.exp(np.clip((share - second) / exp(third), -500, 500)))
    elif name == WEIBULL:
        kept = np.exp(-np.exp(np.minimum(exp(third) * (np.log(np.maximum(share, NEAREST)) - second), 6)))
    else:
        kept = np.exp(-share / exp(third))
    return floor + (upper - floor) * kept


def _ends(name: str, numbers: Float64Array, chance: float) -> tuple[float, float]:
    """Upper end and floor of a curve, of a line its last accuracy; free numbers are the log-odds of them."""
    upper, floor, *_ = (1 / (1 + exp(-number)) for number in np.clip(numbers, -FARTHEST, FARTHEST))
    return (upper, floor) if name in (LINEAR, EXPONENTIAL) else (chance + (1 - chance) * upper, chance)


def _fit(
    name: str, share: Float64Array, correct: np.ndarray, images: float, chance: float
) -> tuple[Float64Array, float]:
    """The free numbers (P,) of largest likelihood, and their deviance, which is the sum of squares that is made least.

    Beyond FARTHEST a number changes nothing.
    """
    from scipy.optimize import least_squares  # here: it takes .3 s, and most charts do without

    accuracy = correct.mean(axis=0)
    own = np.clip(accuracy, NEAREST, 1 - NEAREST)

    def residuals(numbers: Float64Array) -> Float64Array:
        fitted = np.clip(_accuracy(name, numbers, share, chance), NEAREST, 1 - NEAREST)
        lost = accuracy * np.log(own / fitted) + (1 - accuracy) * np.log((1 - own) / (1 - fitted))
        signed: Float64Array = np.sign(own - fitted) * np.sqrt(2 * images * np.maximum(lost, 0))
        return signed

    nearest = sorted(STARTS[name], key=lambda start: float(np.square(residuals(np.array(start))).sum()))[:2]
    fits = [least_squares(residuals, start, method="lm") for start in nearest]
    best = min(fits, key=lambda fit: fit.cost)
    return np.clip(best.x, -FARTHEST, FARTHEST), 2 * float(best.cost)


def _lack_of_fit(
    name: str,
    numbers: Float64Array,
    share: Float64Array,
    correct: np.ndarray,
    images: float,
    covariance: Float64Array,
    chance: float,
) -> float | None:
    """P value that residuals are so far from 0 by chance, by what of them no change of the free numbers can mend.

    Hotelling's test (1931) of the residuals across the directions in which the fitted curve can move.
    """
    from scipy.optimize import approx_fprime  # as above
    from scipy.special import fdtrc

    residuals = correct.mean(axis=0) - _accuracy(name, numbers, share, chance)
    movements = np.asarray(approx_fprime(numbers, lambda tried: _accuracy(name, tried, share, chance)), np.float64)
    directions, sizes, _ = np.linalg.svd(movements, full_matrices=True)
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
    _, second, third = [*numbers.tolist(), 0.0][:3]
    (upper, floor), width = _ends(name, numbers, chance), exp(third)
    if name == LINEAR:
        return upper, None, None, (floor - upper) / last
    if name == LOGISTIC:
        location, steepness = second, 1 / 4 / width
    elif name == WEIBULL:
        location = exp(second) * log(2) ** (1 / width)
        steepness = width * log(2) / 2 / location
    else:
        location, steepness = width * log(2), 1 / 2 / width
    return upper, floor, location * last, (floor - upper) * steepness / last
