"""How well a score tells failures among images of like confidence: those of one tenth by it."""

import numpy as np
from numpy.typing import NDArray

from failmodes.warehouse.measures.columns import Row, Values
from failmodes.warehouse.measures.ranking import Keys, Ranking, certainty_of, ties_of

_TENTH_BIT = 33  # of a key: above the score and the bit of a failure


def tenths_of(confidence: Values, keys: Keys) -> NDArray[np.uint8]:
    """(N,) the tenth of the images that each is in by its confidence, from the least; those that tie are in one.

    Args:
        confidence: (N,) float32; what is no finite number is the least.
        keys: its ranking, from `ranked`; images that have none are the least, too.
    """
    count = len(confidence)
    ordered = np.full(count, -np.inf, np.float32)
    ordered[count - len(keys) :] = certainty_of(keys)[::-1]
    tenths = np.arange(1, 10)
    values = ordered[tenths * count // 10]  # where each tenth ends; images of this value are beyond if their middle is
    lower, upper = np.searchsorted(ordered, values), np.searchsorted(ordered, values, side="right")
    known = np.where(np.isfinite(confidence), confidence, np.float32(-np.inf))
    found = np.zeros(count, np.uint8)
    for value, is_beyond in zip(values, 5 * (lower + upper) >= tenths * count, strict=True):
        found += (known >= value if is_beyond else known > value).view(np.uint8)
    return found


def measure_within_tenths(ranking: Ranking, tenths: NDArray[np.uint8]) -> Row:
    """AUROC over the pairs of a failure and a right answer of one tenth: what a score knows beyond confidence.

    It is the covariate-adjusted AUC (Janes and Pepe 2009) with each tenth weighted by its pairs; the standard error is
    DeLong's of each. Tenths of fewer than two failures or two right answers take no part.

    Args:
        ranking: of N images, from `rank`.
        tenths: (N,) from `tenths_of`.
    """
    tenths = tenths[ranking.order]
    order = np.argsort(tenths, kind="stable")
    keys = ranking.keys[order] | tenths[order].astype(np.uint64) << np.uint64(_TENTH_BIT)
    ties = ties_of(keys)
    edges = np.searchsorted(keys, np.arange(11, dtype=np.uint64) << np.uint64(_TENTH_BIT))
    tenth = np.searchsorted(edges, ties.starts, side="right") - 1
    failures = np.bincount(tenth, ties.failures, 10)
    correct, before = np.diff(edges) - failures, np.cumsum(failures) - failures
    compared = (failures > 1) & (correct > 1)
    pairs = np.where(compared, failures * correct, 0)
    total = int(pairs.sum())
    found: Row = {"image_count": len(keys), "failure_count": int(ties.failures.sum()), "pair_count": total}
    if not total:
        return found | {"auroc_within": None, "auroc_within_error": None}
    with np.errstate(divide="ignore", invalid="ignore"):  # of tenths that are not compared
        higher_failure_count = ties.failures_before - before[tenth]
        correct_counts = ties.counts - ties.failures
        of_failures = (ties.starts - edges[tenth] - higher_failure_count + correct_counts / 2) / correct[tenth]
        less_certain = failures[tenth] - higher_failure_count
        gaps = ties.starts - np.maximum(edges[tenth], np.append(0, (ties.starts + ties.counts)[:-1]))
        of_correct = (
            correct_counts * (less_certain - ties.failures / 2) ** 2 + gaps * less_certain**2
        )  # beyond the last group: 0
        aurocs = np.bincount(tenth, ties.failures * of_failures, 10) / failures
        spread = np.bincount(tenth, ties.failures * (of_failures - aurocs[tenth]) ** 2, 10)
        spread_of_correct = (np.bincount(tenth, of_correct, 10) / failures**2 - correct * aurocs**2).clip(0)
        variances = spread / (failures - 1) / failures + spread_of_correct / (correct - 1) / correct
    return found | {
        "auroc_within": float((pairs[compared] * aurocs[compared]).sum()) / total,
        "auroc_within_error": float(np.sqrt((pairs[compared] ** 2 * variances[compared]).sum())) / total,
    }
