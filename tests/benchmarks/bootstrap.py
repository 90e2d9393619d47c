"""Resampled accuracies against SciPy's bootstrap."""

from collections.abc import Iterator

import numpy as np
from measure import Result, in_turns
from scipy.stats import bootstrap

from failmodes.analysis.statistics.curve_fits import covariance_of_means
from failmodes.analysis.statistics.curve_shape import ShapeSettings, resampled_curve

RESAMPLES, IMAGES, CELLS = 1_000, 10_000, 62


def measure_bootstrap() -> Iterator[Result]:
    """The curves of so many resamples."""
    correct = np.random.default_rng(0).random((IMAGES, CELLS)) < np.linspace(0.3, 0.95, CELLS)
    as_float = correct.astype(np.float32)

    def ours() -> None:
        resampled_curve(correct.mean(axis=0), covariance_of_means(correct), ShapeSettings(RESAMPLES))

    def peer() -> None:
        bootstrap((as_float,), np.mean, n_resamples=RESAMPLES, axis=0, method="percentile", batch=20, rng=0)

    ours_s, _, ratio = in_turns(ours, peer, rounds=3)
    size = f"{RESAMPLES:,} resamples of {IMAGES:,} images × {CELLS} cells"
    yield Result("bootstrap/scipy", ours_s, f"s for {size}", ratio, "scipy.stats.bootstrap (percentile, vectorized)")
