"""The search for slices: one model of 960,000 predictions, and one of its cells against divexplorer and sliceline.

Both peers rank slices of one outcome without testing any: `pip install divexplorer sliceline` beside this package.
"""

import resource
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
from measure import Result, Skipped, in_turns, seconds

from failmodes.analysis.statistics.distinct_slices import distinct_slices
from failmodes.analysis.statistics.slice_search import group_images, search_slices

IMAGES, CORRUPTIONS, SEVERITIES, ATTRIBUTES = 10_000, 19, 5, 10
MOST_S, MOST_MB = 10, 1_000
FEWEST = 30
ROUNDS = 3
PEERS = ("divexplorer", "sliceline")


def measure_slices() -> Iterator[Result | Skipped]:
    """Seconds and memory of all cells; of one cell against each peer."""
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(0, 2 + place % 4, IMAGES) for place in range(ATTRIBUTES)], axis=1)
    names = np.append(np.repeat(np.arange(CORRUPTIONS), SEVERITIES), CORRUPTIONS)
    correct = rng.random((IMAGES, len(names))) < 0.8
    inside = (codes[:, 2] == 0) & (codes[:, 3] == 0)
    correct[:, 0] &= ~(inside & (rng.random(IMAGES) < 0.2))

    def search(cells: int) -> None:
        found = search_slices(group_images(codes, correct[:, :cells], names[:cells]), fewest_images=FEWEST)
        assert distinct_slices(found, rows=10)[0].images == inside.sum()

    search(1)  # imports
    taken = seconds(lambda: search(len(names)))
    size = f"s for {IMAGES:,} images × {len(names)} cells, {ATTRIBUTES} attributes, up to 3 conditions"
    yield Result("slices", taken, size, MOST_S / taken, f"a limit of {MOST_S} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield Result("slices/memory", peak, "MB at most", MOST_MB / peak, f"a limit of {MOST_MB:,} MB")
    for peer, action in zip(PEERS, (_divexplorer, _sliceline), strict=True):
        if find_spec(peer) is None:
            yield Skipped(f"slices/{peer}", f"pip install {peer}")
            continue
        ours_s, _, ratio = in_turns(lambda: search(1), action(codes, ~correct[:, 0]), ROUNDS)
        yield Result(f"slices/{peer}", ours_s, "s for one cell", ratio, f"{peer}, which tests no slice")


def _divexplorer(codes: np.ndarray, fails: np.ndarray) -> Callable[[], Any]:
    import pandas as pd
    from divexplorer import DivergenceExplorer

    columns = [f"attribute {place}" for place in range(codes.shape[1])]
    frame = pd.DataFrame(codes.astype(str), columns=columns).assign(fails=fails.astype(float))
    options = {"min_support": FEWEST / len(codes), "boolean_outcomes": ["fails"], "attributes": columns}
    return lambda: DivergenceExplorer(frame).get_pattern_divergence(**options)


def _sliceline(codes: np.ndarray, fails: np.ndarray) -> Callable[[], Any]:
    from sliceline.slicefinder import Slicefinder

    return lambda: Slicefinder(alpha=0.95, k=10, max_l=3, min_sup=FEWEST, verbose=False).fit(codes, fails.astype(float))
