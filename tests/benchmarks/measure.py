"""How things are timed: in turns with their peer, in one run, medians of ratios."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Result(NamedTuple):
    """One line of the table: what was measured, its value, and its ratio to a peer or a limit of the same run."""

    name: str
    value: float
    unit: str
    ratio: float
    against: str


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turns(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Run both in turns after a warm-up.

    Returns:
        Median seconds of ours, median seconds of the peer, and the median over rounds of peer / ours (above 1: ours is
        faster). The order swaps each round, since machines drift.
    """
    ours(), peer()
    times = []
    for number in range(rounds):
        if number % 2:
            theirs = seconds(peer)
            times.append((seconds(ours), theirs))
        else:
            mine = seconds(ours)
            times.append((mine, seconds(peer)))
    return median(a for a, _ in times), median(b for _, b in times), median(b / a for a, b in times)
