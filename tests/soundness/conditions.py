"""Whether a model is said to be at chance, or its outputs to be permuted, where that is not so."""

from functools import partial

import numpy as np
from claims import FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import Floats

from failmodes.warehouse.metrics.class_order import far_better_order
from failmodes.warehouse.metrics.intervals import exact_interval


def measure_chance(accuracy: float, chance: float, images: int, rng: np.random.Generator, samples: int) -> Floats:
    """(samples, 2) whether accuracy is said to be below chance, and whether nothing is said: it lies above."""
    low, high = exact_interval(rng.binomial(images, accuracy, samples), images)
    return np.stack([high < chance, low > chance], axis=1).astype(np.float64)


def chance_jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000):
        for chance in (0.5, 0.1, 0.01):
            truth = f"accuracy at chance, {100 * chance:g}%"
            claims = (
                Claim("at_chance", FALSE, truth, images, 0, NEVER_FALSE, "below chance"),
                Claim("at_chance", FALSE, truth, images, 0, NEVER_FALSE, "not stated"),
            )
            found.append(Job(claims, partial(measure_chance, chance, chance, images)))
    power = Claim("at_chance", POWER, "30% of ten classes, not stated", 50, 0, NO_LIMIT)
    return [*found, Job((power,), partial(measure_chance, 0.3, 0.1, 50), columns=(1,))]


@answered
def measure_permuted(
    accuracy: float, matched: float, classes: int, images: int, rng: np.random.Generator, samples: int
) -> Answers:
    """(samples, 1) whether outputs look permuted where the next class takes `matched` of each class's images."""
    labels = np.arange(images) % classes
    for _ in range(samples):
        drawn, others = rng.random(images), rng.integers(2, classes, images)
        shift = np.where(drawn < accuracy, 0, np.where(drawn < accuracy + matched, 1, others))
        yield [far_better_order(labels, (labels + shift) % classes, classes) is not None]


def permuted_jobs() -> list[Job]:
    found = []
    for images in (100, 500, 2_000):
        for accuracy, matched, classes in ((0.1, 0.2, 10), (0.05, 0.15, 20), (0.3, 0.3, 10), (0.1, 0.1, 10)):
            truth = f"{100 * accuracy:g}% of {classes} classes, {100 * matched:g}% with the best assignment"
            claim = Claim("permuted_outputs", FALSE, truth, images, 0, NEVER_FALSE, "a rise of 10 points, or less")
            found.append(Job((claim,), partial(measure_permuted, accuracy, matched, classes, images)))
    power = Claim("permuted_outputs", POWER, "1% of 10 classes, 95% with the best assignment", 100, 0, NO_LIMIT)
    return [*found, Job((power,), partial(measure_permuted, 0.01, 0.95, 10, 100))]


def jobs() -> list[Job]:
    return chance_jobs() + permuted_jobs()
