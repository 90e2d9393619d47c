"""Thresholds and conformal sets: how often a chosen threshold breaks its error, and how many clean images sets cover.

The certainty of an image is uniform, and it is incorrect with a chance that depends on it, so that the error among the
images above any threshold is known exactly.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from claims import FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, Limit, answered
from curves import Floats
from scipy.integrate import quad
from scipy.special import betainc

from failmodes.analysis.judging.judge import above
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.warehouse.metrics.abstention import Aim, choose_threshold, choosing_half, error_accepted
from failmodes.warehouse.metrics.cell_rows import CellRows
from failmodes.warehouse.metrics.conformal import prediction_sets
from failmodes.warehouse.metrics.intervals import exact_interval

CHOSEN, FINDING, COVERED = "a threshold meets its error", "errors_accepted", "clean coverage of a conformal set"
ERROR = 0.02
CHANCES: dict[str, Callable[[Floats], Floats]] = {  # of an error by certainty, 0-1
    "everywhere 2%": lambda sure: np.full(np.shape(sure), ERROR),
    "everywhere 2.5%": lambda sure: np.full(np.shape(sure), 0.025),
    "40% falling to 0 with certainty": lambda sure: 0.4 * (1 - sure) ** 2,
    "15% falling to 1.5% with certainty": lambda sure: 0.015 + 0.135 * (1 - sure) ** 3,
    "most where most certain": lambda sure: np.where(sure > 0.9, 0.05, 0.01),
}
NINETY = Limit(0.89, 0.91)


def drawn(images: int, chance: Callable[[Floats], Floats], ties: int, rng: np.random.Generator) -> CellRows:
    """Clean images; with ties, certainty has so many values."""
    sure = rng.random(images)
    wrong = rng.random(images) < chance(sure)
    shown = np.floor(sure * ties) / ties if ties else sure
    columns = {"image_id": np.arange(images), "confidence": shown, "finite": np.ones(images, bool)}
    return CellRows.of(columns | {"label": np.zeros(images), "predicted": wrong}, 0)


def error_above(chance: Callable[[Floats], Floats], threshold: float) -> float:
    """The true error among images that are at least so certain."""
    total, _ = quad(lambda sure: float(chance(np.asarray(sure))), threshold, 1, limit=200, points=[max(0.9, threshold)])
    return total / (1 - threshold)


@answered
def measure_thresholds(
    chance: Callable[[Floats], Floats], images: int, ties: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether a threshold is chosen whose true error exceeds the target; whether one is chosen."""
    for _ in range(samples):
        found = choose_threshold(drawn(images, chance, ties, rng), Aim(target_value=ERROR)).threshold
        yield (found is not None and error_above(chance, found) > ERROR, found is not None)


@answered
def measure_finding(images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether a corruption under which exactly the target's share of accepted images is incorrect is said to be worse.

    As in the finding: above the limit with the interval, and with the p value.
    """
    for _ in range(samples):
        rows = drawn(images, CHANCES["everywhere 2%"], 0, rng)
        failed = error_accepted(rows, "confidence", threshold=0.3)
        hits, count = np.nansum(failed), np.isfinite(failed).sum()
        low, high = (float(end) for end in exact_interval(hits, count))
        word = above(Estimate(hits / count, low, high), ERROR)
        p_value = 2 * betainc(hits, count - hits + 1, ERROR) if hits else 1.0
        yield (word == "supported", word == "contradicted", p_value <= 0.05)


@answered
def measure_coverage(method: str, images: int, classes: int, rng: np.random.Generator, samples: int) -> Answers:
    """The share of the other clean images whose set holds the label."""
    for _ in range(samples):
        labels = rng.integers(0, classes, images)
        logits = 2 * rng.standard_normal((images, classes)) + 2.5 * np.eye(classes)[labels]
        rows = CellRows.of(
            {"image_id": np.arange(images), "label": labels, "predicted": logits.argmax(1), "finite": [True] * images,
             "logits": logits}, 0,
        )  # fmt: skip
        covered = prediction_sets(rows, rows, method).covered[~choosing_half(rows)]
        yield [rng.random() < covered.mean()]


def threshold_jobs() -> list[Job]:
    found = []
    for images in (500, 2_000, 10_000):
        for name, chance in CHANCES.items():
            for ties in (0, 20):
                truth = f"errors: {name}{', twenty values' * bool(ties)}"
                claims = (
                    Claim(CHOSEN, FALSE, truth, images, 0, NEVER_FALSE, "for an error of 2%"),
                    Claim(CHOSEN, POWER, truth, images, 0, NO_LIMIT, "a threshold is chosen"),
                )
                found.append(Job(claims, partial(measure_thresholds, chance, images, ties)))
    return found


def jobs() -> list[Job]:
    found = threshold_jobs()
    for images in (500, 2_000, 10_000):
        truth = "2% of the accepted images are incorrect, as on clean images"
        claims = (
            Claim(FINDING, FALSE, truth, images, 0, NEVER_FALSE),
            Claim(FINDING, FALSE, truth, images, 0, NEVER_FALSE, "contradicted"),
            Claim(FINDING, FALSE, truth, images, 0, NEVER_FALSE, "by its p value"),
        )
        found.append(Job(claims, partial(measure_finding, images)))
        for method in ("lac", "aps"):
            claims_of = (Claim(COVERED, "coverage", f"{method.upper()}, ten classes", images, 0, NINETY),)
            found.append(Job(claims_of, partial(measure_coverage, method, images, 10)))
    return found
