"""Models of several training seeds: which is right more often, where both are as often right over seeds."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
from claims import COVERAGE, COVERS_AT_LEAST, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import Bools, Floats, straight
from drops import matrix_of, model_of
from pairs import WINNER, has_winner
from scipy.special import ndtri

from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.model_accuracy import accuracy_over, mean_corrupted
from failmodes.analysis.statistics.model_pairs import corrupted_difference
from failmodes.analysis.statistics.run_rows import ModelRows
from failmodes.analysis.statistics.shares import ALPHA

KIND = "better_model over seeds"
CORRUPTIONS = ("00", "01", "02")
SEVERITIES = 6
SHARED, OF_CELL = 0.5, 0.2  # of an image's latent number: what all runs and cells share, and all runs in a cell
SQUARES = "half-widths add up as squares"


class Trained(NamedTuple):
    """A model: its mean accuracy over all seeds, in each cell; its number of seeds; and how far these lie apart.

    A seed shifts the latent numbers of all images and cells by a normal number of deviation `spread`.
    """

    accuracy: tuple[tuple[float, ...], ...]
    seeds: int
    spread: float

    @property
    def corrupted(self) -> float:
        return float(np.mean([curve[1:] for curve in self.accuracy]))

    def predictions(self, rng: np.random.Generator, difficulty: Floats) -> ModelRows:
        """Its runs on images of this difficulty, (N, C * S)."""
        limits = ndtri(np.asarray(self.accuracy).reshape(-1)) * np.sqrt(1 + self.spread**2)
        own = np.sqrt(1 - SHARED - OF_CELL)
        runs: list[Bools] = [
            difficulty + own * rng.standard_normal(difficulty.shape, np.float32)
            < (limits + rng.normal(0, self.spread)).astype(np.float32)
            for _ in range(self.seeds)
        ]
        return model_of(*map(matrix_of, runs))


def draw_pairs(
    a: Trained, b: Trained, images: int, rng: np.random.Generator, samples: int
) -> Iterator[tuple[ModelRows, ModelRows]]:
    """Both models on the same images."""
    for _ in range(samples):
        difficulty = np.sqrt(SHARED) * rng.standard_normal((images, 1), np.float32) + np.sqrt(
            OF_CELL
        ) * rng.standard_normal((images, len(CORRUPTIONS) * SEVERITIES), np.float32)
        yield a.predictions(rng, difficulty), b.predictions(rng, difficulty)


@answered
def measure_winners(a: Trained, b: Trained, images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether `compare` names one of two equal models more accurate under some corruption."""
    for pair in draw_pairs(a, b, images, rng, samples):
        yield [has_winner(*pair, CORRUPTIONS)]


@answered
def measure(a: Trained, b: Trained, images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether one is said to be right more often, and whether the intervals hold the true difference and accuracy."""
    truth = a.corrupted - b.corrupted
    for of_a, of_b in draw_pairs(a, b, images, rng, samples):
        difference = corrupted_difference(of_a, of_b, CORRUPTIONS)
        assert difference is not None
        interval = difference.interval()
        mean = accuracy_over(ModelMetrics(of_a), mean_corrupted(of_a.cells, CORRUPTIONS)).interval()
        yield ((
            difference.p_value < ALPHA,
            interval.low <= truth <= interval.high,
            mean.low <= a.corrupted <= mean.high,
        ))  # fmt: skip


def jobs() -> list[Job]:
    falling = tuple(straight(0.9, drop, SEVERITIES) for drop in (0.3, 0.4, 0.5))
    good = tuple(straight(0.99, drop, SEVERITIES) for drop in (0.01, 0.02, 0.03))
    lower = tuple(straight(0.87, drop, SEVERITIES) for drop in (0.3, 0.4, 0.5))
    cases = [
        (falling, (seeds, seeds), (spread, spread), images)
        for seeds in (2, 3, 5)
        for spread in (0.0, 0.03, 0.2)
        for images in (500, 2_000)
    ]
    cases += [(falling, (seeds, seeds), (0.2, 0.02), 2_000) for seeds in (2, 3, 5)]
    cases += [(falling, (2, 5), (0.2, 0.02), 2_000), (falling, (3, 3), (0.03, 0.03), 50)]
    cases += [(good, (3, 3), (0.03, 0.03), 500)]
    found = [
        _job(Trained(curves, seeds[0], spreads[0]), Trained(curves, seeds[1], spreads[1]), images)
        for curves, seeds, spreads, images in cases
    ]
    found += [_winners(Trained(falling, seeds, spread)) for seeds in (2, 3, 5) for spread in (0.03, 0.2)]
    return found + [_power(Trained(falling, seeds, 0.03), Trained(lower, seeds, 0.03)) for seeds in (2, 3, 5)]


def _job(a: Trained, b: Trained, images: int) -> Job:
    near = "" if a.accuracy[0][0] < 0.95 else " near 98%"
    truth = f"the same accuracy{near}, {_seeds(a, b)}"
    claims = (
        Claim(KIND, FALSE, truth, images, SEVERITIES, NEVER_FALSE),
        Claim("interval of a difference over seeds", COVERAGE, truth, images, SEVERITIES, COVERS_AT_LEAST, SQUARES),
        Claim("interval of an accuracy over seeds", COVERAGE, truth, images, SEVERITIES, COVERS_AT_LEAST, SQUARES),
    )
    return Job(claims, partial(measure, a, b, images))


def _winners(model: Trained) -> Job:
    truth = f"two equal models, {len(CORRUPTIONS)} corruptions, {_seeds(model, model)}"
    claim = Claim(WINNER, FALSE, truth, 500, SEVERITIES, NEVER_FALSE, "any corruption")
    return Job((claim,), partial(measure_winners, model, model, 500), samples=1_000)


def _power(a: Trained, b: Trained) -> Job:
    claims = (Claim(KIND, POWER, f"3 points better, {_seeds(a, b)}", 2_000, SEVERITIES, NO_LIMIT),)
    return Job(claims, partial(measure, a, b, 2_000))


def _seeds(a: Trained, b: Trained) -> str:
    """How many seeds, and the deviation between them in points of an accuracy of 70 %, about that of the cells."""
    points = [
        f"{100 * one.spread * np.exp(-(ndtri(0.7) ** 2) / 2) / np.sqrt(2 * np.pi):.1f}"
        for one in ((a,) if a.spread == b.spread else (a, b))
    ]
    return f"{a.seeds} and {b.seeds} seeds, {' and '.join(points)} points apart"
