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


class Skipped(NamedTuple):
    """A line that cannot be measured here, and why."""

    name: str
    reason: str


def seconds(action: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def in_turns(ours: Callable[[], object], peer: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Run both in turns after a warm-up; returns what `alternate` does."""
    ours(), peer()
    return alternate(lambda: seconds(ours), lambda: seconds(peer), rounds)


def alternate(ours_s: Callable[[], float], peer_s: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """Ask both in turns for the seconds that they take.

    Returns:
        Median seconds of ours, median seconds of the peer, and the median over rounds of peer / ours (above 1: ours is
        faster). The order swaps each round, since machines drift.
    """
    times = []
    for number in range(rounds):
        if number % 2:
            theirs = peer_s()
            times.append((ours_s(), theirs))
        else:
            mine = ours_s()
            times.append((mine, peer_s()))
    return median(a for a, _ in times), median(b for _, b in times), median(b / a for a, b in times)
