"""How things are measured: in turns with their peer, in one run, medians of ratios; what a process costs."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import median
from typing import NamedTuple

# Starts a command from a small process, for the memory of whoever starts it counts as its own
START = """
import json, os, subprocess, sys, time
started = time.perf_counter()
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([used.ru_utime + used.ru_stime, time.perf_counter() - started, used.ru_maxrss / 1024], file)
sys.exit(os.waitstatus_to_exitcode(status))
"""


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


class Spent(NamedTuple):
    """What a process cost: CPU seconds of user and system, wall seconds, peak memory in MB, and what it printed."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    output: str


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


def run_process(
    command: list[str | Path], folder: Path | None = None, given: str = "", *, codes: Collection[int] = (0,)
) -> Spent:
    """Run a process to its end, which exits with one of the `codes`; its children count."""
    with tempfile.NamedTemporaryFile("r") as spent:
        starter = [sys.executable, "-S", "-c", START, spent.name]
        done = subprocess.run(
            list(map(str, [*starter, *command])), cwd=folder, input=given, stdout=subprocess.PIPE, text=True
        )
        assert done.returncode in codes, f"{command} exits with {done.returncode}"
        return Spent(*json.load(spent), done.stdout)
