"""Whether a score is said to see the next failure coming where it knows nothing of it."""

from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
import polars as pl
from claims import COVERAGE, COVERS_AT_LEAST, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import Bools, Floats

from failmodes.analysis.statistics.early_warning import BEYOND_MARGIN, SCORES, is_found, predictor_gains
from failmodes.analysis.statistics.estimate import Estimate

KIND = "early_warning"
OWN = "of the expected gain of so many images; widened, as folds share training images"
EXPECTED_SAMPLES = 1_000
CORRUPTIONS, STEPS = 5, 5
HAZARD = np.array([0.05, 0.08, 0.12, 0.2, 0.3])


@answered
def measure_gains(knows: str, images: int, fewer: float, rng: np.random.Generator, samples: int) -> Answers:
    """Whether some score is found, and whether drift is found beyond margin.

    Images differ in how easily they fail, which no score knows but where `knows` says so. Scores keep to their image
    over severities and corruptions.
    """
    for _ in range(samples):
        event, at_risk, scores = draw_rows(knows, images, fewer, rng)
        gains = gains_of(event, at_risk, scores)
        yield (any(is_found(gain) for gain in gains.values()), is_found(gains[BEYOND_MARGIN]))


def gains_of(event: Bools, at_risk: Bools, scores: Mapping[str, Floats]) -> Mapping[str, Any]:
    """What each score gains, as the tool computes it of the rows at risk."""
    image, cell = np.nonzero(at_risk)
    read = {name: score[at_risk] for name, score in scores.items()}
    return predictor_gains(pl.DataFrame({"cell": cell, "image_id": image, "event": event[at_risk], **read}))


def draw_rows(knows: str, images: int, fewer: float, rng: np.random.Generator):
    """Events and rows at risk, (N, K) each, and the scores by name."""
    cells = CORRUPTIONS * STEPS
    frailty = rng.normal(0, 1, (images, 1))
    odds = np.log(HAZARD * fewer / (1 - HAZARD * fewer))
    logits = np.tile(odds, CORRUPTIONS) + frailty
    event = rng.random((images, cells)) < 1 / (1 + np.exp(-logits))
    failed_before = (
        np.cumsum(event.reshape(images, CORRUPTIONS, STEPS), axis=2) - event.reshape(images, -1, STEPS)
    ) > 0
    own, moving = rng.normal(0, 1, (4, images, 1)), rng.normal(0, 0.5, (4, images, cells))
    scores = dict(zip(SCORES, own + moving, strict=True))
    if knows == "margin":  # and drift only by the margin
        scores["margin"] = -logits + 0 * moving[0]
        scores["drift"] = -scores["margin"] + rng.normal(0, 1, (images, cells))
    if knows == "drift":
        scores["drift"] = logits + moving[3]
    return event, ~failed_before.reshape(images, cells), scores


def jobs() -> list[Job]:
    found = []
    for images, fewer, most in ((50, 1.0, None), (200, 1.0, None), (500, 0.05, None), (2_000, 0.05, 1_000)):
        truth = f"uninformative scores, hazards of {5 * fewer:g} to {30 * fewer:g}%"
        claims = (Claim(KIND, FALSE, truth, images, 6, NEVER_FALSE, "any of five predictors"),)
        found.append(Job(claims, partial(measure_gains, "nothing", images, fewer), most))
    for images in (50, 200):
        claims = (Claim(KIND, FALSE, "drift predicts the next failure only through the margin", images, 6, NEVER_FALSE,
                        "drift beyond margin"),)  # fmt: skip
        found.append(Job(claims, partial(measure_gains, "margin", images, 1.0), columns=(1,)))
    for images, samples, note in ((50, None, OWN), (200, None, OWN), (500, 1_000, OWN)):
        claims = (
            Claim(
                "interval of a reduction", COVERAGE, "drift predicts the next failure", images, 6, COVERS_AT_LEAST, note
            ),
        )
        found.append(Job(claims, partial(measure_interval, images), samples))
    claims = (Claim(KIND, POWER, "drift predicts the next failure", 500, 6, NO_LIMIT, "drift beyond margin"),)
    return [*found, Job(claims, partial(measure_gains, "drift", 500, 1.0), 1_000, columns=(1,))]


@lru_cache
def expected_share(images: int) -> float:
    """Share of the log-loss that drift saves on average, by samples of its own."""
    rng = np.random.default_rng(images)
    return float(np.mean([_gain_of_drift(images, rng).value for _ in range(EXPECTED_SAMPLES)]))


@answered
def measure_interval(images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether the interval of what drift saves holds what it saves on average."""
    truth = expected_share(images)
    for _ in range(samples):
        gain = _gain_of_drift(images, rng)
        yield [gain.low <= truth <= gain.high]


def _gain_of_drift(images: int, rng: np.random.Generator) -> Estimate:
    event, at_risk, scores = draw_rows("drift", images, 1.0, rng)
    share = gains_of(event, at_risk, scores)["drift"].share
    assert share is not None, "many images fail"
    return share
