"""Errors over training seeds and images: t of one, added up of several, and as a Multi-Bootstrap finds them."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix
from failmodes.analysis.statistics.claimed_differences import TrainingRuns, mean_over_seeds, training_runs
from failmodes.analysis.statistics.difference import MeanError, add_errors, error_over_seeds
from failmodes.analysis.statistics.model_pairs import seed_difference

SEVERITIES = 5


def runs_of(rng: np.random.Generator, seeds: int, *, images: int = 400, spread: float = 0.3) -> TrainingRuns:
    """Runs whose skill differs by seed, over two corruptions; an image is as difficult for all of them."""
    difficulty, skill = rng.normal(size=(images, 1)), rng.normal(0, spread, seeds)
    cells = [("none", 0.0)] + [(c, float(s)) for c in ("fog", "contrast") for s in range(1, SEVERITIES + 1)]
    fall = np.array([0.3 * severity for _, severity in cells])
    made = [
        CorrectnessMatrix(
            str(seed), True, cells, 1.5 + skill[seed] - fall > difficulty + rng.normal(0, 0.7, (images, len(cells)))
        )
        for seed in range(seeds)
    ]
    return training_runs(made)


def multi_bootstrap(correct: np.ndarray, weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Means of resampled seeds and images (Sellam et al. 2022); correct is (S, N, C)."""
    of_images = correct @ weights  # (S, N)
    seeds, images = of_images.shape
    return np.array([
        of_images[np.ix_(rng.integers(0, seeds, seeds), rng.integers(0, images, images))].mean() for _ in range(4000)
    ])  # fmt: skip


def test_over_seeds_alone_it_is_the_t_interval() -> None:
    values = [0.71, 0.74, 0.70]
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    error = error_over_seeds(values)
    assert error.half_width() == pytest.approx((high - low) / 2)
    assert error.p_value(0.05) == pytest.approx(stats.ttest_1samp(values, np.mean(values) - 0.05).pvalue)
    with pytest.raises(ValueError, match="it takes two"):
        error_over_seeds([0.7])


def test_half_widths_of_independent_errors_add_up_as_squares() -> None:
    seeds, images = MeanError(0.01**2, 2), MeanError(0.02**2)
    both = add_errors([seeds, images])
    assert (both.variance, both.freedom) == (pytest.approx(0.0005), 2)
    for level in (0.9, 0.95, 0.99):
        assert both.half_width(level) == pytest.approx(np.hypot(seeds.half_width(level), images.half_width(level)))
        assert both.p_value(both.half_width(level)) == pytest.approx(1 - level)
    assert add_errors([both, MeanError(0.0)]).half_width() == pytest.approx(both.half_width())
    assert both.p_value(0.0) == pytest.approx(1)
    assert add_errors([images, images]).p_value(0.5) == pytest.approx(2 * stats.norm.sf(0.5 / np.sqrt(0.0008)))


def test_fewer_comparisons_are_narrower() -> None:
    both = add_errors([MeanError(0.01**2, 2), MeanError(0.02**2)])
    widths = [both.one_sided(comparisons=count) for count in (1, 2, 10, 1000)]
    assert all(narrow < wide for narrow, wide in pairwise(widths))


def test_the_standard_error_is_that_of_a_multi_bootstrap() -> None:
    """Of ten seeds, each part: the bootstrap's variance over seeds is (S - 1) / S of ours."""
    rng, seeds = np.random.default_rng(3), 10
    runs = runs_of(rng, seeds)
    columns = [column for curve in runs.curves.values() for severity, column in curve.items() if severity]
    weights = np.full(len(columns), 1 / len(columns))
    correct = runs.correct[:, :, columns]
    found = multi_bootstrap(correct, weights, rng)
    of_seeds = error_over_seeds(runs.over_images(columns, weights)).variance * (seeds - 1) / seeds
    of_images = float(np.var((correct @ weights).mean(axis=0))) / correct.shape[1]
    ours = add_errors([MeanError(of_seeds, seeds - 1), MeanError(of_images)])
    assert np.sqrt(ours.variance) == pytest.approx(found.std(), rel=0.05)
    interval = mean_over_seeds(runs, [columns[:SEVERITIES], columns[SEVERITIES:]], 0.95)
    assert interval.value == pytest.approx(correct.mean())
    low, high = np.quantile(found, [0.025, 0.975])
    assert interval.low < low < high < interval.high, "t of nine degrees of freedom is wider than the bootstrap"


def test_a_difference_has_errors_over_the_seeds_of_both_and_over_images() -> None:
    rng = np.random.default_rng(4)
    difficulty = np.random.default_rng(5)
    a, b = runs_of(difficulty, 3), runs_of(rng, 4, spread=0.1)
    found = seed_difference(a, b, ["fog", "contrast"])
    means = [runs.correct[:, :, 1:].mean(axis=(1, 2)) for runs in (a, b)]
    assert found.value == pytest.approx(means[0].mean() - means[1].mean())
    differences = a.correct[:, :, 1:].mean(axis=(0, 2)) - b.correct[:, :, 1:].mean(axis=(0, 2))
    expected = [*(np.var(each, ddof=1) / len(each) for each in means), np.var(differences) / len(differences)]
    assert [part.variance for part in found.error.parts] == pytest.approx(expected, rel=0.02)
    assert [part.freedom for part in found.error.parts] == [2, 3, np.inf]
    assert seed_difference(a, b, ["snow"]) is None


def test_cells_of_different_images_add_up_cell_by_cell() -> None:
    """A run's answers to an image are those of the others' to the same, whatever becomes of the cells."""
    rng = np.random.default_rng(6)
    paired = runs_of(rng, 3)
    columns = list(range(1, 1 + 2 * SEVERITIES))
    apart = paired._replace(paired=False)
    both = [mean_over_seeds(runs, [columns], 0.95) for runs in (paired, apart)]
    assert both[0].value == both[1].value
    of_cells = paired.over_seeds(columns).var(axis=0) / 400
    of_seeds = error_over_seeds(paired.over_images(columns, np.full(10, 0.1)))
    expected = add_errors([of_seeds, MeanError(float(of_cells.sum()) / 100)]).half_width()
    assert both[1].high - both[1].value == pytest.approx(expected, rel=0.02)
