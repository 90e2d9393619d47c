"""Errors over training seeds and images: t of one, added up of several, and as a Multi-Bootstrap finds them."""

import numpy as np
import pytest
from given_runs import given_model, given_run
from scipy import stats

from failmodes.analysis.statistics.difference import MeanError, ModelMetrics, add_errors, error_over_seeds
from failmodes.analysis.statistics.image_pairing import ModelRows
from failmodes.analysis.statistics.model_accuracy import accuracy_over, mean_corrupted
from failmodes.analysis.statistics.model_pairs import corrupted_difference

CELLS = [(c, float(s)) for c in ("contrast", "fog") for s in range(1, 6)] + [("none", 0.0)]
CORRUPTIONS = ("contrast", "fog")


def trained(
    rng: np.random.Generator, seeds: int, *, images: int = 400, spread: float = 0.3, paired: bool = True
) -> ModelRows:
    """Runs whose skill differs by seed, over two corruptions; an image is as difficult for all of them."""
    difficulty, skill = rng.normal(size=(images, 1)), rng.normal(0, spread, seeds)
    fall = np.array([0.3 * severity for _, severity in CELLS])
    correct = [1.5 + own - fall > difficulty + rng.normal(0, 0.7, (images, len(CELLS))) for own in skill]
    return given_model(*(given_run(one, CELLS, shares_images=paired) for one in correct))


def corrupted(model: ModelRows) -> np.ndarray:
    """(S, N, C) whether each run is right on each image under corruption."""
    return np.stack([run.correctness.correct[:, :-1] for run in model.runs])


def test_over_seeds_alone_it_is_the_t_interval() -> None:
    values = [0.71, 0.74, 0.70]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    error = error_over_seeds(values)
    assert error.one_sided(0.975) == pytest.approx((high - low) / 2)
    assert error.p_value(0.05) == pytest.approx(stats.ttest_1samp(values, np.mean(values) - 0.05).pvalue)
    with pytest.raises(ValueError, match="it takes two"):
        error_over_seeds([0.7])


def test_half_widths_of_independent_errors_add_up_as_squares() -> None:
    seeds, images = MeanError(0.01**2, 2), MeanError(0.02**2)
    both = add_errors([seeds, images])
    assert (both.variance, both.freedom) == (pytest.approx(0.0005), 2)
    for level in (0.9, 0.95, 0.99):
        assert both.one_sided(level) == pytest.approx(np.hypot(seeds.one_sided(level), images.one_sided(level)))
        assert both.p_value(both.one_sided(level)) == pytest.approx(2 * (1 - level))
    assert add_errors([images, images]).p_value(0.5) == pytest.approx(2 * stats.norm.sf(0.5 / np.sqrt(0.0008)))
    assert both.one_sided(comparisons=10) == pytest.approx(both.one_sided(1 - 0.05 / 10))


def test_the_standard_error_is_that_of_a_multi_bootstrap() -> None:
    """Of ten seeds, each part: the bootstrap's variance over seeds is (S - 1) / S of ours."""
    rng, seeds = np.random.default_rng(3), 10
    model = trained(rng, seeds)
    of_images = corrupted(model).mean(axis=2)  # (S, N)
    resampled = np.array([
        of_images[np.ix_(rng.integers(0, seeds, seeds), rng.integers(0, 400, 400))].mean() for _ in range(4000)
    ])  # fmt: skip
    found = accuracy_over(ModelMetrics(model), mean_corrupted(CELLS, CORRUPTIONS))
    over_seeds, over_images = found.error.parts
    assert np.sqrt(over_seeds.variance * (seeds - 1) / seeds + over_images.variance) == pytest.approx(
        resampled.std(), rel=0.05
    )
    assert found.value == pytest.approx(of_images.mean())
    low, high = np.quantile(resampled, [0.025, 0.975])
    _, own_low, own_high = found.interval()
    assert own_low < low < high < own_high, "t of nine degrees of freedom is wider than the bootstrap"


def test_a_difference_has_errors_over_the_seeds_of_both_and_over_images() -> None:
    a, b = trained(np.random.default_rng(5), 3), trained(np.random.default_rng(4), 4, spread=0.1)
    found = corrupted_difference(a, b, CORRUPTIONS)
    means = [corrupted(model).mean(axis=(1, 2)) for model in (a, b)]
    assert found.value == pytest.approx(means[0].mean() - means[1].mean())
    of_images = corrupted(a).mean(axis=(0, 2)) - corrupted(b).mean(axis=(0, 2))
    expected = [*(np.var(each, ddof=1) / len(each) for each in means), np.var(of_images) / len(of_images)]
    assert [part.variance for part in found.error.parts] == pytest.approx(expected, rel=0.02)
    assert [part.freedom for part in found.error.parts] == [2, 3, np.inf]
