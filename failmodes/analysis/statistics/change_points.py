"""One break against none: whether a curve bends at some severity, where, and whether it falls much faster beyond it.

A curve with a break is two straight lines that meet. Each inner severity is tried as the place where they meet, and the
lines are fitted by least squares. That there is a break is tested by the largest of their changes of slope, in standard
errors over images, against the same of resampled images around the sample's (a bootstrap of the maximum: Hansen 2000,
Econometrica 68, 575-603, has breaks at unknown places; Mammen 1993, Annals of Statistics 21, 255-285, the bootstrap).
A break is only known to lie between the severities beside the one that fits best.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from failmodes.analysis.statistics.bootstrap import Estimate, Float64Array, Word
from failmodes.warehouse.metrics.duplicates import Groups, group_sums, independent_share

STEEPER = 2  # a threshold: beyond it accuracy is lost at least so many times as fast as before
FEWEST_CHANGING = 10  # images that are right at some severities and wrong at others; of fewer no break is tested
MADE_UP = 2  # images, one at each end
BEFORE, AFTER, CHANGE, EXCESS = range(4)  # figures of a break, in the order of `_contrasts`


class ChangePoint(NamedTuple):
    """The break of one curve that fits best, and how sure it is.

    Attributes:
        p_value: that a curve without a break bends so much by chance; None of too few images that change.
        at: position in the grid where the two lines meet.
        first: position of the severity beyond which the break lies.
        last: position of the severity before which it lies.
        before: slope before the break, accuracy a severity, with an interval that holds for all places tried.
        after: slope beyond it, likewise.
        excess: slope before times STEEPER minus the slope beyond, likewise: above 0 at a threshold.
        never_threshold: whether `excess` lies below 0, interval included, wherever the lines meet.
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
        """Whether accuracy holds and then falls.

        Supported where there is a break (`adjusted_p`, corrected for the number of curves, is small enough), accuracy
        falls beyond it, and at least STEEPER times as fast as before, intervals included.
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
    """The break of a curve that fits best, with its test.

    Args:
        correct: (N, S) bool, whether each image is right from clean to the last severity, S at least 3.
        resampled: (B, S) accuracy under B resamples of the images.
        severities: (S,) rising.
        level: of the intervals.
        paired: whether rows of `correct` are the same images at every severity.
        groups: (N,) of duplicates among the images; None where they are distinct.
    """
    is_correct, replicates = np.asarray(correct, dtype=bool), np.asarray(resampled, dtype=np.float64)
    contrasts = _contrasts(np.asarray(severities, dtype=np.float64))
    _, places, _ = contrasts.shape
    values, of_replicates = contrasts @ is_correct.mean(axis=0), np.einsum("fks,bs->bfk", contrasts, replicates)
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
    # resamples that lie as far from the sample as the sample from a straight line, at some place
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
    """By how much distances of resamples from the sample are too short, which matters where images are few.

    It is that of Student's quantile from the normal one, and of n from n - 1 (Hesterberg 2015, American Statistician
    69, 371-386, "narrowness bias").
    """
    from scipy.special import ndtri, stdtrit  # here: it takes .2 s, and most charts do without

    tail = 1 - (1 - level) / 2 / places
    return float(stdtrit(images - 1, tail) / ndtri(tail) * np.sqrt(images / (images - 1)))


def covariance_of_means(correct: ArrayLike, *, paired: bool = True, groups: Groups | None = None) -> Float64Array:
    """Covariance of the accuracies of cells (N, S) over images, (S, S); 0 between cells of different images.

    In every direction two made-up images are added, 1 and -1, so that no contrast of cells has an error of 0 where few
    images change (see `statistics.difference`). Of duplicates, (N,) `groups`, the images of a group are added up first,
    and a made-up image counts as a group of the effective size.
    """
    is_correct = np.asarray(correct, dtype=np.float64)
    if groups is not None:
        return _covariance_of_groups(is_correct, paired, groups)
    images, shares, total = len(is_correct), is_correct.mean(axis=0), len(is_correct) + MADE_UP
    if paired:
        spread = np.einsum("ns,nt->st", is_correct, is_correct) / images - shares[:, None] * shares[None, :]
    else:
        spread = np.diag(shares * (1 - shares))
    covariance: Float64Array = (spread * images + MADE_UP * np.eye(len(shares))) / total**2
    return covariance


def _covariance_of_groups(correct: Float64Array, paired: bool, groups: Groups) -> Float64Array:
    """As `covariance_of_means`, of groups of duplicates."""
    size, shares = 1 / independent_share(groups), correct.mean(axis=0)
    if paired:
        sums = group_sums(correct - shares, groups)
        spread = np.einsum("gs,gt->st", sums, sums)
    else:
        spread = np.diag(shares * (1 - shares)) * len(correct) * size
    covariance: Float64Array = (spread + MADE_UP * size**2 * np.eye(len(shares))) / (len(correct) + MADE_UP * size) ** 2
    return covariance


def _contrasts(grid: Float64Array) -> Float64Array:
    """Weights (4, S - 2, S) of accuracies whose sums are the figures of a break at each inner severity.

    The figures are slope before, slope after, change of slope, and the excess over a threshold's.
    """
    hinges = np.maximum(grid - grid[1:-1, None], 0)
    designs = np.stack([np.ones_like(hinges), np.broadcast_to(grid, hinges.shape), hinges], axis=-1)
    _, before, change = np.moveaxis(np.linalg.pinv(designs), 1, 0)
    return np.stack([before, before + change, change, (STEEPER - 1) * before - change])
