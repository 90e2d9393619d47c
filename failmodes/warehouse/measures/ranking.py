"""How well a score tells failures from right answers, from a ranking of images by it.

Images are ranked from the most to the least sure; those of one value share their rank, and those whose score is no
number are the least sure. A failure is a wrong answer. Sums are no products of vectors (`@`), for which BLAS would keep
all cores busy.
"""

from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Row, Values

Keys = NDArray[np.uint64]
COVERAGE_PERCENT = tuple(range(5, 101, 5))
NO_FAILURE, NO_CORRECT_PREDICTION = "no failure", "no right answer"
_FOUND = 0.95  # of the failures, at which FPR95 is read


class Ties(NamedTuple):
    """Groups of images of one value that hold failures, from the most to the least sure: (G,) each.

    Attributes:
        image_count: images in all, in other groups too.
        starts: images with a higher value than a group.
        counts: images of the group.
        failures: of them failures.
        failures_before: failures with a higher value.
    """

    image_count: int
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    failures: NDArray[np.int64]
    failures_before: NDArray[np.int64]


class Ranking(NamedTuple):
    """Images from the most to the least sure; of those that tie, right answers come before failures.

    Attributes:
        keys: (N,) what `ranked` gives.
        order: (N,) the place of each among the images.
    """

    keys: Keys
    order: NDArray[np.intp]


def ranked(certainty: Values, failed: NDArray[np.bool_]) -> Keys:
    """What the measures below need of some images, in one number each, from the most to the least sure.

    Args:
        certainty: (N,) float32, higher is more certain; what is no finite number comes last.
        failed: (N,) bool.

    Returns:
        (N,) uint64, rising: how unsure, and in the last bit whether it is a failure.
    """
    keys, least = _keys_of(certainty, failed)
    keys.sort()
    return keys + least


def rank(certainty: Values, failed: NDArray[np.bool_]) -> Ranking:
    """What `ranked` gives, and which image is where: for a score of which several measures are taken.

    Args:
        certainty: (N,) float32, higher is more certain; what is no finite number comes last.
        failed: (N,) bool.
    """
    keys, least = _keys_of(certainty, failed)
    order = np.argsort(keys.astype(np.uint16), kind="stable")  # of 16 bits a radix sort, faster than one of all bits
    for shift in range(16, 8 * keys.itemsize, 16):
        order = order[np.argsort((keys >> shift).astype(np.uint16)[order], kind="stable")]
    return Ranking(keys[order] + least, order)


def reranked(keys: Keys, failed: NDArray[np.bool_]) -> Keys:
    """The same images by the same score, another thing being their failure.

    Args:
        keys: (N,) from `ranked` or `rank`.
        failed: (N,) bool, in their order.
    """
    found = keys & ~np.uint64(1) | failed
    found.sort(kind="stable")  # it is quick where only images that tie are out of order
    return found


def _keys_of(certainty: Values, failed: NDArray[np.bool_]) -> tuple[NDArray[np.uint32] | Keys, np.uint64]:
    """(N,) keys less the least of them, and that one: they sort twice as fast where 32 bits hold them."""
    uncertain = np.float32(0) - certainty  # no negative zero
    uncertain[~np.isfinite(uncertain)] = np.inf
    bits = uncertain.view(np.uint32)
    bits ^= _flipped(bits)
    least = bits.min(initial=np.uint32(0xFFFF_FFFF))
    bits -= least
    keys = bits.astype(np.uint64) if bits.max(initial=np.uint32(0)) >> 31 else bits
    keys <<= np.uint8(1)
    keys |= failed
    return keys, np.uint64(least) << np.uint64(1)


def _flipped(bits: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """(N,) which bits of numbers to flip for whole numbers of the same order: all of a negative one, else the first."""
    return (bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(1 << 31)


def certainty_of(keys: Keys) -> Values:
    """(N,) what `ranked` was given, from the most to the least sure; -inf for what is no finite number."""
    bits = (keys >> np.uint64(1)).astype(np.uint32)
    bits ^= _flipped(~bits)
    return np.float32(0) - bits.view(np.float32)


def auroc_of(keys: Keys) -> float | None:
    """Area under the ROC curve for failures; None without any, or without right answers.

    Args:
        keys: (N,) from `ranked`.
    """
    ties = ties_of(keys)
    failed = int(ties.failures.sum())
    return _auroc(ties, failed, len(keys) - failed) if 0 < failed < len(keys) else None


def ties_of(keys: Keys) -> Ties:
    """Groups of images of one value that hold failures.

    Args:
        keys: (N,) from `ranked`, at least one.
    """
    flags = keys.astype(np.uint8)
    flags &= 1
    places = np.flatnonzero(flags.view(np.bool_))  # of flags it is ten times as fast
    failing = keys[places]
    is_first = np.ones(len(places), np.bool_)
    np.not_equal(failing[1:], failing[:-1], out=is_first[1:])
    before = np.flatnonzero(is_first)
    failures = np.diff(before, append=len(places))
    starts, correct = (
        places[before],
        failing[before] - np.uint64(1),
    )  # right answers of a value come before its failures
    tied = np.flatnonzero(keys[starts - 1] == correct)  # before the first stands the last, which is no smaller
    ends = starts + failures
    starts[tied] = np.searchsorted(keys, correct[tied])
    return Ties(len(keys), starts, ends - starts, failures, before)


def measure_ranking(ties: Ties, *, with_error: bool = True) -> Row:
    """A row of failure_scores, without its key.

    AUROC, AUPR and FPR take failures as positive and the least sure as found first, as scikit-learn's `roc_auc_score`,
    `average_precision_score` and `roc_curve` do. AURC: Geifman, Uziel and El-Yaniv 2019 (arXiv 1805.08206), the mean
    over random orders where images tie; its excess is over the same answers ranked without fault. AUGRC: Traub et al.
    2024 (arXiv 2407.01032). The standard error of AUROC: DeLong et al. 1988.

    Args:
        ties: from `ties_of`.
        with_error: whether each image is there once, which the standard error takes for granted.
    """
    count, failed = ties.image_count, int(ties.failures.sum())
    correct = count - failed
    auroc = _auroc(ties, failed, correct) if failed and correct else None
    aurc = _aurc(ties)
    harmonic = _harmonic(count).harmonic
    perfect = failed - correct * float(harmonic[count] - harmonic[correct])
    share = failed / count
    reason = NO_CORRECT_PREDICTION if failed and not correct else None if failed else NO_FAILURE
    return {
        "auroc": auroc,
        "auroc_error": _delong_error(ties, failed, correct) if auroc is not None and with_error else None,
        "aupr": _aupr(ties, count, failed) if failed else None,
        "fpr95": _fpr95(ties, failed, correct) if auroc is not None else None,
        "aurc": aurc,
        "excess_aurc": aurc - perfect / count,
        "augrc": share * share / 2 + (share * (1 - share) * (1 - auroc) if auroc is not None else 0.0),
        "n": count,
        "failures": failed,
        "reason": reason,
    }


def selective_risks(ties: Ties) -> NDArray[np.float64]:
    """(20,) error rate of the surest images at each of COVERAGE_PERCENT; the mean over random orders where images tie.

    Args:
        ties: from `ties_of`.
    """
    kept = np.array(COVERAGE_PERCENT) * ties.image_count / 100
    if not len(ties.starts):
        return np.zeros(len(kept))
    group = np.searchsorted(ties.starts, kept).clip(min=1) - 1
    of_group = ((kept - ties.starts[group]) / ties.counts[group]).clip(0, 1)
    risks: NDArray[np.float64] = (ties.failures_before[group] + of_group * ties.failures[group]) / kept
    return risks


def _auroc(ties: Ties, failed: int, correct: int) -> float:
    """Share of pairs of failure and correct prediction where the correct one has the higher value; ties count half."""
    twice_higher = 2 * (ties.starts - ties.failures_before) + (ties.counts - ties.failures)
    return int(np.einsum("g,g->", ties.failures, twice_higher)) / 2 / (failed * correct)


def _delong_error(ties: Ties, failed: int, correct: int) -> float | None:
    """From the shares of correct predictions above each failure, and of failures below each correct prediction."""
    if failed < 2 or correct < 2:
        return None
    correct_counts = ties.counts - ties.failures
    of_failures = ((ties.starts - ties.failures_before) + correct_counts / 2) / correct
    of_tied = (failed - ties.failures_before - ties.failures / 2) / failed
    of_others = (failed - np.append(ties.failures_before, failed)) / failed
    others = np.append(ties.starts, ties.image_count) - np.append(0, ties.starts + ties.counts)  # between the groups
    variance_of_correct = _variance(np.append(of_tied, of_others), np.append(correct_counts, others))
    return float(np.sqrt(_variance(of_failures, ties.failures) / failed + variance_of_correct / correct))


def _variance(values: NDArray[np.float64], weights: NDArray[np.int64]) -> float:
    total = int(weights.sum())
    center = float((weights * values).sum()) / total
    return float((weights * (values - center) ** 2).sum()) / (total - 1)


def _aupr(ties: Ties, count: int, failed: int) -> float:
    found = failed - ties.failures_before  # where the threshold lets this group through
    found *= ties.failures
    return float((found / (count - ties.starts)).sum()) / failed


def _fpr95(ties: Ties, failed: int, correct: int) -> float:
    """Share of right answers that are held for failures where 95 % of the failures are found."""
    last = np.searchsorted(ties.failures_before, failed - ceil(_FOUND * failed), side="right") - 1
    return float(correct - (ties.starts[last] - ties.failures_before[last])) / correct


def _aurc(ties: Ties) -> float:
    """Mean over coverages 1/n … n/n of the error rate of the images that are kept: Σ of H(n) - H(rank - 1), over n."""
    count, ends = ties.image_count, ties.starts + ties.counts
    numbers = _harmonic(count)
    sums = numbers.summed[ends]  # of H(rank - 1) within a group
    sums -= numbers.summed[ties.starts]
    sums /= ties.counts
    np.subtract(numbers.harmonic[count], sums, out=sums)
    sums *= ties.failures
    return float(sums.sum()) / count


class _Harmonic(NamedTuple):
    """Harmonic numbers H(n) from H(0) = 0, and of each n the sum of those before it, n (H(n) - 1)."""

    harmonic: NDArray[np.float64]
    summed: NDArray[np.float64]


_HARMONIC = _Harmonic(np.zeros(1), np.zeros(1))


def _harmonic(count: int) -> _Harmonic:
    """(count + 1 or more,) harmonic numbers and their sums."""
    global _HARMONIC
    if len(_HARMONIC.harmonic) <= count:
        whole = np.arange(2.0 * count + 1)
        harmonic = np.concatenate([[0.0], np.cumsum(1 / whole[1:])])
        _HARMONIC = _Harmonic(harmonic, whole * (harmonic - 1))
    return _HARMONIC
