"""Confidence of models that are calibrated, and of those whose confidence knows nothing of failures."""

from functools import partial

import numpy as np
from claims import COVERAGE, COVERS_AT_LEAST, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import Bools, Floats

from failmodes.analysis.judging.judge import above
from failmodes.analysis.statistics.calibration import overconfidence
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.failure_prediction import CHANCE
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.warehouse.metrics.calibration import binned_error, p_of_error
from failmodes.warehouse.metrics.cell_rows import bins_of
from failmodes.warehouse.metrics.failure_prediction import auroc_contributions, rank
from failmodes.warehouse.metrics.intervals import auroc_interval

ALIKE, SPREAD = 20.0, 1.0  # sum of the two parameters of the beta distribution that confidence has
EXACT = "exact of accuracy, and confidences differ between images"


def draw_confidence(rng: np.random.Generator, mean: float, concentration: float, shape: tuple[int, ...]) -> Floats:
    return rng.beta(mean * concentration, (1 - mean) * concentration, shape)


@answered
def measure_overconfidence(
    mean: float, concentration: float, gap: float, images: int, cells: int, rng: np.random.Generator, samples: int,
    shuffled: bool = False,
) -> Answers:  # fmt: skip
    """Whether some cell is said to be over- or underconfident, and whether the first one's own interval holds 0.

    `shuffled`: predictions are correct with the confidence of another image, so that confidence says nothing.
    """
    for _ in range(samples):
        confidence = draw_confidence(rng, mean, concentration, (cells, images))
        chances = rng.permuted(confidence, axis=1) if shuffled else confidence
        is_correct = rng.random((cells, images)) < chances - gap
        figures = zip(
            confidence.mean(axis=1), is_correct.sum(axis=1), (confidence - is_correct).std(axis=1), strict=True
        )
        estimates = [partial(overconfidence, m, r, images, spread=spread) for m, r, spread in figures]
        verdicts, alone = {above(one(cells=cells), 0) for one in estimates}, estimates[0]()
        yield (len(verdicts - {"inconclusive"}) > 0, alone.low <= 0 <= alone.high)


def overconfidence_jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000):
        for mean in (0.6, 0.93, 0.99):
            for concentration, cells in ((ALIKE, 20), (SPREAD, 7)):
                spread = "alike" if concentration == ALIKE else "unlike"
                truth = f"calibrated, mean confidence {mean:g}, {spread} of images"
                claims = (
                    Claim("overconfidence", FALSE, truth, images, 0, NEVER_FALSE, f"any of {cells} cells, either way"),
                    Claim("interval of overconfidence", COVERAGE, truth, images, 0, COVERS_AT_LEAST, EXACT),
                )
                measured = partial(measure_overconfidence, mean, concentration, 0.0, images, cells)
                found.append(Job(claims, measured))
        truth = "uninformative confidence of mean 0.6, unlike of images"
        claims = (
            Claim("overconfidence", FALSE, truth, images, 0, NEVER_FALSE, "any of 7 cells, either way"),
            Claim("interval of overconfidence", COVERAGE, truth, images, 0, COVERS_AT_LEAST, "of images' differences"),
        )
        measured = partial(measure_overconfidence, 0.6, SPREAD, 0.0, images, 7, shuffled=True)
        found.append(Job(claims, measured))
    claims = (Claim("overconfidence", POWER, "10 points overconfident, mean confidence .93", 500, 0, NO_LIMIT),)
    measured = partial(measure_overconfidence, 0.93, ALIKE, 0.1, 500, 7)
    return [*found, Job(claims, measured)]


@answered
def measure_calibration_error(
    mean: float, concentration: float, images: int, power: float, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether the calibration error lies above its noise floor; right with a chance of confidence to some power."""
    for _ in range(samples):
        confidence = draw_confidence(rng, mean, concentration, (images,))
        correct = rng.random(images) < confidence**power
        bins = bins_of(confidence)
        counts, sums = np.bincount(bins), np.bincount(bins, confidence)
        present = counts > 0
        yield [p_of_error(binned_error(confidence, correct), counts[present], sums[present]) <= ALPHA]


def calibration_jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000, 10_000):
        for mean, concentration in ((0.6, SPREAD), (0.93, ALIKE), (0.93, SPREAD), (0.99, SPREAD)):
            spread = "alike" if concentration == ALIKE else "unlike"
            truth = f"calibrated, mean confidence {mean:g}, {spread} of images"
            claims = (Claim("calibration_error", FALSE, truth, images, 0, NEVER_FALSE),)
            measured = partial(measure_calibration_error, mean, concentration, images, 1.0)
            found.append(Job(claims, measured))
    claims = (Claim("calibration_error", POWER, "correct with probability confidence squared", 500, 0, NO_LIMIT),)
    return [*found, Job(claims, partial(measure_calibration_error, 0.93, ALIKE, 500, 2.0))]


def auroc_of_cell(confidence: Floats, failed: Bools, cells: int) -> Estimate:
    """As the warehouse computes it and the tool judges it, of one of several cells."""
    auroc = float(auroc_contributions(rank(confidence.astype(np.float32), failed), len(failed)).mean())
    failures = int(failed.sum())
    return Estimate(auroc, *auroc_interval(auroc, failures, len(failed) - failures, comparisons=cells))


@answered
def measure_auroc(images: int, failures: int, cells: int, ties: str, rng: np.random.Generator, samples: int) -> Answers:
    """Whether confidence is said, in some cell, to be worse than chance; better; and whether .5 is covered in one."""
    failed = np.arange(images) < failures
    for _ in range(samples):
        confidence = rng.random((cells, images))
        if ties == "ten values":
            confidence = np.floor(10 * confidence) / 10
        if ties == "nine tenths are 1":
            confidence = np.where(confidence < 0.9, 1.0, confidence)
        verdicts = [above(-auroc_of_cell(row, failed, cells), -CHANCE) for row in confidence]
        _, low, high = auroc_of_cell(confidence[0], failed, 1)[:3]
        yield ("supported" in verdicts, "contradicted" in verdicts, low <= 0.5 <= high)


def auroc_jobs() -> list[Job]:
    found, kind = [], "confidence_below_chance"
    cases = [(50, 10, 1), (50, 10, 20), (50, 25, 20), (500, 10, 1), (500, 10, 20), (500, 250, 5), (2_000, 10, 5)]
    for images, failures, cells in [*cases, (2_000, 400, 1)]:
        for ties in ("no ties", "ten values", "nine tenths are 1"):
            truth = f"AUROC .5, {failures} failures, {ties}"
            note = f"any of {cells} cells" if cells > 1 else ""
            claims = (
                Claim(kind, FALSE, truth, images, 0, NEVER_FALSE, note),
                Claim(kind, FALSE, truth, images, 0, NEVER_FALSE, f"contradicted, {note}".removesuffix(", ")),
                Claim("interval of an AUROC", COVERAGE, truth, images, 0, COVERS_AT_LEAST, "few failures, or ties"),
            )
            found.append(Job(claims, partial(measure_auroc, images, failures, cells, ties)))
    return found


def jobs() -> list[Job]:
    return overconfidence_jobs() + calibration_jobs() + auroc_jobs()
