"""Lines and curves fitted to accuracy over severity: one break against none, and parametric functions.

A curve with a break is two straight lines that meet. Each inner severity is tried as the place where they meet, and the
lines are fitted by least squares. That there is a break is tested by the largest of their changes of slope, in standard
errors over images, against the same of resampled images around the sample's (a bootstrap of the maximum: Hansen 2000,
Econometrica 68, 575-603, has breaks at unknown places; Mammen 1993, Annals of Statistics 21, 255-285, the bootstrap).
A break is only known to be between the severities next to the best-fitting one.

Parametric functions describe a curve, always with their goodness of fit: straight line, logistic and Weibull curve
(with a free upper end and chance as floor: Wichmann and Hill 2001, Perception & Psychophysics 63, 1293-1313), and an
exponential with a free floor. Each has the largest binomial likelihood. Lack of fit is judged by the residuals'
covariance over images, since the severities share their images.
"""

from math import exp, log
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.estimate import Estimate, Float64Array, Word
from failmodes.warehouse.metrics.duplicates import Groups, group_sums, independent_share

STEEPER = 2  # beyond a threshold, accuracy drops at least this many times as fast as before
FEWEST_CHANGING = 10  # images that are correct at some severities only; with fewer no break is tested
PSEUDO_IMAGES = 2  # images, one at each end
BEFORE, AFTER, CHANGE, EXCESS = range(4)  # parameters of a break, in the order of `_contrasts`
FARTHEST = 12.0  # bound of the free parameters
NEAREST = 1e-9  # of a fitted accuracy to 0 and 1
STILL = 1e-4  # a smaller movement of a fitted curve, as a share of the largest, counts as none
LINEAR, LOGISTIC, WEIBULL, EXPONENTIAL = FUNCTIONS = ("linear", "logistic", "weibull", "exponential")
# Starting values, of which a fit takes the two best; severities are shares of the last one
STARTS: dict[str, list[tuple[float, ...]]] = {
    LINEAR: [(2.0, 0.0)],
    LOGISTIC: [(2.0, middle, -1.5) for middle in (0.2, 0.6, 1.0, 1.5)],
    WEIBULL: [(2.0, scale, power) for scale in (-1.0, 0.0, 1.0) for power in (0.0, 1.2)],
    EXPONENTIAL: [(2.0, floor, rate) for floor in (-2.0, 1.0) for rate in (-1.5, 0.0, 1.5)],
}


class ChangePoint(NamedTuple):
    """The best-fitting break of one curve, with its test.

    Attributes:
        p_value: of a curve without a break; None if too few images change.
        at: position in the grid where the two lines meet.
        first: position of the severity before the break.
        last: position of the severity after it.
        before: slope before the break, accuracy per severity, with an interval that holds for all places tried.
        after: slope after it, likewise.
        excess: slope before times STEEPER minus the slope after, likewise: above 0 at a threshold.
        never_threshold: whether `excess` is below 0, interval included, wherever the lines meet.
    """

    p_value: float | None
    at: int
    first: int
    last: int
    before: Estimate
    after: Estimate
    excess: Estimate
    never_threshold: bool

    def threshold(self, adjusted_p: float | None, level: float) -> Word:
        """Whether accuracy drops much faster beyond the break.

        Supported if there is a break (by `adjusted_p`, corrected for the number of curves), and accuracy drops beyond
        it, at least STEEPER times as fast as before, intervals included.
        """
        if adjusted_p is None:
            return "inconclusive"
        if adjusted_p <= 1 - level and self.excess.above_zero and self.after.below_zero:
            return "supported"
        return "contradicted" if self.never_threshold else "inconclusive"


def find_change_point(
    correct: ArrayLike,
    resampled: ArrayLike,
    severities: ArrayLike,
    level: float = 0.95,
    *,
    paired: bool = True,
    groups: Groups | None = None,
) -> ChangePoint:
    """Find the best-fitting break of a curve, and test it.

    Args:
        correct: (N, S) bool, whether each image is correct from clean to the last severity, S at least 3.
        resampled: (B, S) accuracy under B resamples of the images.
        severities: (S,) rising.
        level: of the intervals.
        paired: whether rows of `correct` are the same images at every severity.
        groups: (N,) of duplicates among the images; None if they are distinct.
    """
    is_correct = np.asarray(correct, dtype=bool)
    replicates = np.asarray(resampled, dtype=np.float64)
    contrasts = _contrasts(np.asarray(severities, dtype=np.float64))
    _, places, _ = contrasts.shape
    values = contrasts @ is_correct.mean(axis=0)
    of_replicates = np.einsum("fks,bs->bfk", contrasts, replicates)
    covariance = covariance_of_means(is_correct, paired=paired, groups=groups)
    errors = np.sqrt(np.einsum("fks,st,fkt->fk", contrasts, covariance, contrasts))
    independent = independent_share(groups)
    explained = 1 / np.square(contrasts[CHANGE]).sum(axis=1)  # of squares, by a squared change of slope
    best = int((values[CHANGE] ** 2 * explained).argmax())
    at = (of_replicates[:, CHANGE] ** 2 * explained).argmax(axis=1)
    low, high = np.quantile(at, [(1 - level) / 2, (1 + level) / 2], method="closest_observation").astype(int)
    deviations = stretch(len(is_correct) * independent, places, level) * np.abs(of_replicates - values) / errors
    half = np.quantile(deviations.max(axis=(1, 2)), level) * errors
    ends = np.stack([values, values - half, values + half], axis=-1)
    # resamples that are as far from the sample as the sample is from a straight line, at some place
    as_far = deviations[:, CHANGE].max(axis=1) >= (np.abs(values[CHANGE]) / errors[CHANGE]).max()
    is_changing = is_correct.any(axis=1) & ~is_correct.all(axis=1)
    is_tested = not paired or is_changing.sum() * independent >= FEWEST_CHANGING
    return ChangePoint(
        p_value=float((1 + as_far.sum()) / (1 + len(as_far))) if is_tested else None,
        at=best + 1,
        first=min(int(low), best),
        last=max(int(high), best) + 2,
        before=Estimate(*ends[BEFORE, best].tolist()),
        after=Estimate(*ends[AFTER, best].tolist()),
        excess=Estimate(*ends[EXCESS, best].tolist()),
        never_threshold=bool((ends[EXCESS, :, 2] < 0).all()),
    )


def stretch(images: float, places: int, level: float = 0.95) -> float:
    """The factor by which distances of resamples from the sample are too short, which matters for few images.

    The ratio of Student's quantile to the normal one, and of n to n - 1 (Hesterberg 2015, American Statistician 69,
    371-386, "narrowness bias").
    """
    from scipy.special import ndtri, stdtrit  # here: it takes .2 s, and most charts do without

    tail = 1 - (1 - level) / 2 / places
    return float(stdtrit(images - 1, tail) / ndtri(tail) * np.sqrt(images / (images - 1)))


def covariance_of_means(correct: ArrayLike, *, paired: bool = True, groups: Groups | None = None) -> Float64Array:
    """Covariance of the accuracies of cells (N, S) over images, (S, S); 0 between cells of different images.

    Two images, 1 and -1, are added in every direction, so that no contrast of cells has an error of 0 if few images
    change (see `statistics.difference`). Images of one group of duplicates, (N,) `groups`, are summed first, and an
    added image counts as a group of the effective size.
    """
    is_correct = np.asarray(correct, dtype=np.float64)
    size = 1 / independent_share(groups)
    images = len(is_correct)
    shares = is_correct.mean(axis=0)
    if paired:
        deviations = is_correct - shares
        sums = deviations if groups is None else group_sums(deviations, groups)
        spread = np.einsum("gs,gt->st", sums, sums)
    else:
        spread = np.diag(shares * (1 - shares)) * images * size
    added = PSEUDO_IMAGES * size**2 * np.eye(len(shares))
    covariance: Float64Array = (spread + added) / (images + PSEUDO_IMAGES * size) ** 2
    return covariance


def _contrasts(grid: Float64Array) -> Float64Array:
    """Weights (4, S - 2, S) of accuracies whose sums are the parameters of a break at each inner severity.

    These are slope before, slope after, change of slope, and the excess over a threshold's.
    """
    hinges = np.maximum(grid - grid[1:-1, None], 0)
    designs = np.stack([np.ones_like(hinges), np.broadcast_to(grid, hinges.shape), hinges], axis=-1)
    _, before, change = np.moveaxis(np.linalg.pinv(designs), 1, 0)
    return np.stack([before, before + change, change, (STEEPER - 1) * before - change])


class CurveFit(NamedTuple):
    """One fitted curve, with the columns of the table `curve_fits`.

    Attributes:
        function: one of FUNCTIONS.
        upper: upper asymptote: of the logistic at severities far below 0, else at severity 0; 0-1.
        floor: lower asymptote; None for a straight line.
        location: severity at half of the drop from `upper` to `floor`; None for a straight line.
        slope: accuracy per severity at `location`.
        parameter_count: number of fitted parameters.
        deviance: twice the difference in log-likelihood from the accuracies themselves.
        degrees_of_freedom: severities, clean included, minus parameters.
        lack_of_fit_p_value: of residuals this large; None without degrees of freedom, or for few images.
        quasi_aic: deviance / overdispersion + 2 parameters; the overdispersion is that of the best-fitting curve.
    """

    function: str
    upper: float
    floor: float | None
    location: float | None
    slope: float
    parameter_count: int
    deviance: float
    degrees_of_freedom: int
    lack_of_fit_p_value: float | None
    quasi_aic: float


def fit_curve(
    correct: ArrayLike,
    severities: ArrayLike,
    chance: float | None,
    *,
    paired: bool = True,
    groups: Groups | None = None,
) -> list[CurveFit]:
    """Fit every function with fewer parameters than the curve has severities.

    Args:
        correct: (N, S) bool, whether each image is correct from clean to the last severity.
        severities: (S,) rising, the first 0.
        chance: chance accuracy, the floor of logistic and Weibull; None counts as 0.
        paired: whether rows of `correct` are the same images at every severity.
        groups: (N,) of duplicates among the images, which count with their effective number; None if distinct.
    """
    is_correct = np.asarray(correct, dtype=bool)
    grid = np.asarray(severities, dtype=np.float64)
    covariance = covariance_of_means(is_correct, paired=paired, groups=groups)
    floor = chance or 0.0
    fits = []
    images = len(is_correct) * independent_share(groups)
    for name, starts in STARTS.items():
        left = len(grid) - len(starts[0])
        if left > 0:
            numbers, deviance = _fit(name, grid / grid[-1], is_correct, images, floor)
            p_value = _lack_of_fit(name, numbers, grid / grid[-1], is_correct, images, covariance, floor)
            shape = _figures(name, numbers, float(grid[-1]), floor)
            fits.append(CurveFit(name, *shape, len(numbers), deviance, left, p_value, np.nan))
    dispersion = max(1.0, min((fit.deviance / fit.degrees_of_freedom for fit in fits), default=1.0))
    return [fit._replace(quasi_aic=fit.deviance / dispersion + 2 * fit.parameter_count) for fit in fits]


def _accuracy(name: str, numbers: Float64Array, share: Float64Array, chance: float) -> Float64Array:
    """A curve of free parameters (P,) at severities (S,), which are shares of the last one."""
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
    """Upper end and floor of a curve (of a line, its last accuracy); free parameters are their log-odds."""
    upper, floor, *_ = (1 / (1 + exp(-number)) for number in np.clip(numbers, -FARTHEST, FARTHEST))
    return (upper, floor) if name in (LINEAR, EXPONENTIAL) else (chance + (1 - chance) * upper, chance)


def _fit(
    name: str, share: Float64Array, correct: np.ndarray, images: float, chance: float
) -> tuple[Float64Array, float]:
    """The free parameters (P,) of largest likelihood, and their deviance, the minimized sum of squares.

    Beyond FARTHEST a parameter has no effect.
    """
    from scipy.optimize import least_squares  # here: it takes .3 s, and most charts do without

    accuracy = correct.mean(axis=0)
    clipped = np.clip(accuracy, NEAREST, 1 - NEAREST)

    def residuals(numbers: Float64Array) -> Float64Array:
        fitted = np.clip(_accuracy(name, numbers, share, chance), NEAREST, 1 - NEAREST)
        lost = accuracy * np.log(clipped / fitted) + (1 - accuracy) * np.log((1 - clipped) / (1 - fitted))
        signed: Float64Array = np.sign(clipped - fitted) * np.sqrt(2 * images * np.maximum(lost, 0))
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
    """P value of residuals this far from 0, by their part that no change of the free parameters can reduce.

    Hotelling's test (1931) of the residuals orthogonal to the directions in which the fitted curve can move.
    """
    from scipy.optimize import approx_fprime  # as above
    from scipy.special import fdtrc

    residuals = correct.mean(axis=0) - _accuracy(name, numbers, share, chance)
    movements = np.asarray(approx_fprime(numbers, lambda tried: _accuracy(name, tried, share, chance)), np.float64)
    directions, sizes, _ = np.linalg.svd(movements, full_matrices=True)
    able = int((sizes > STILL * sizes[0]).sum())  # a parameter at its bound no longer moves the curve
    left = len(share) - able
    across = directions[:, able:]
    if images <= left + 1:
        return None
    spread = np.einsum("sp,st,tq->pq", across, covariance, across)
    beyond = np.einsum("s,sp->p", residuals, across)
    squared = float((beyond * np.linalg.solve(spread, beyond)).sum())
    return float(fdtrc(left, images - left, squared * (images - left) / ((images - 1) * left)))


def _figures(
    name: str, numbers: Float64Array, last: float, chance: float
) -> tuple[float, float | None, float | None, float]:
    """Upper accuracy, floor, location and slope of a fitted curve, in units of severity."""
    _, second, third = [*numbers.tolist(), 0.0][:3]
    (upper, floor) = _ends(name, numbers, chance)
    width = exp(third)
    if name == LINEAR:
        return upper, None, None, (floor - upper) / last
    if name == LOGISTIC:
        location = second
        steepness = 1 / 4 / width
    elif name == WEIBULL:
        location = max(exp(second) * log(2) ** (1 / width), NEAREST)  # 0 of a flat curve, whose width is near 0
        steepness = width * log(2) / 2 / location
    else:
        location = width * log(2)
        steepness = 1 / 2 / width
    return upper, floor, location * last, (floor - upper) * steepness / last
