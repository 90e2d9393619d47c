"""Whether one answer takes most images, and whether one class lies far below the others, where neither is true."""

from functools import partial

import numpy as np
from claims import COVERAGE, COVERS, COVERS_AT_LEAST, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered

from failmodes.analysis.judging.judge import above
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.predictions import CLASS_GAP, Collapse
from failmodes.analysis.statistics.shares import difference_of_groups
from failmodes.warehouse.metrics.intervals import wilson_interval


@answered
def measure_collapse(
    share: float, label_share: float, images: int, cells: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether, of cells whose commonest answer takes `share` of the images, some is said to collapse."""
    counts = rng.binomial(images, share, (samples, cells))
    low, high = wilson_interval(counts / images, images, comparisons=cells)
    alone = wilson_interval(counts[:, 0] / images, images)
    worst = counts.argmax(axis=1)
    for draw, cell in enumerate(worst):
        estimate = Estimate(counts[draw, cell] / images, low[draw, cell], high[draw, cell])
        collapse = Collapse("any", 1.0, "any", counts[draw, cell], estimate, label_share)
        yield (above(collapse.share, collapse.limit) == "supported", alone[0][draw] <= share <= alone[1][draw])


def collapse_jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000):
        for label_share in (0.1, 0.5, 0.9):
            for cells in (1, 31, 96):
                middle = (1 + label_share) / 2
                truth = f"{100 * middle:g}% of predictions, half-way from {100 * label_share:g}% of labels to all"
                limit, note = (
                    (COVERS, "") if middle * images < images - 20 else (COVERS_AT_LEAST, "shares are discrete")
                )
                claims = (
                    Claim("prediction_collapse", FALSE, truth, images, 0, NEVER_FALSE, f"any of {cells} cells"),
                    *(Claim("interval of a share", COVERAGE, truth, images, 0, limit, note),) * (cells == 1),
                )
                found.append(Job(claims, partial(measure_collapse, middle, label_share, images, cells)))
    claims = (
        Claim("prediction_collapse", POWER, "90% of predictions, 10% of labels", 50, 0, NO_LIMIT, "any of 31 cells"),
    )
    return [*found, Job(claims, partial(measure_collapse, 0.9, 0.1, 50, 31))]


@answered
def measure_gaps(
    others: float, gap: float, sizes: tuple[int, int], classes: int, corruptions: int,
    rng: np.random.Generator, samples: int,
) -> Answers:  # fmt: skip
    """Whether, where one class of each corruption lies `gap` below the others, some is said to lie too far below.

    `sizes` are the images of that class and of each of the others.
    """
    counts = np.array([sizes[0], *[sizes[1]] * (classes - 1)])
    accuracy = np.array([others - gap, *[others] * (classes - 1)])
    correct = rng.binomial(counts, accuracy, (samples, corruptions, classes))
    other_counts = np.broadcast_to(counts.sum() - counts, correct.shape)
    shares = ((correct.sum(axis=2, keepdims=True) - correct) / other_counts, correct / counts)
    sizes_of = (other_counts, np.broadcast_to(counts, correct.shape))
    low, high = difference_of_groups(shares, sizes_of, comparisons=classes * corruptions)
    alone = difference_of_groups(shares, sizes_of)
    differences = shares[0] - shares[1]
    for draw in range(samples):
        widest = differences[draw].argmax(axis=1)
        places = [(draw, corruption, one) for corruption, one in enumerate(widest)]
        outcomes = [above(Estimate(differences[p], low[p], high[p]), CLASS_GAP) for p in places]
        first = (draw, 0, 0)
        yield ("supported" in outcomes, alone[0][first] <= gap <= alone[1][first])


def gap_jobs() -> list[Job]:
    found = []
    cases = [(0.9, (5, 5), 10, 5), (0.9, (50, 50), 10, 5), (0.9, (50, 50), 10, 19), (0.99, (50, 50), 10, 5),
             (0.6, (50, 50), 10, 5), (0.9, (200, 200), 10, 5), (0.9, (5, 5), 100, 5), (0.9, (5, 400), 2, 5),
             (0.99, (400, 5), 2, 5)]  # fmt: skip
    for others, sizes, classes, corruptions in cases:
        images = sizes[0] + sizes[1] * (classes - 1)
        truth = f"one class of {sizes[0]} images 20 points below {100 * others:g}%, {classes} classes"
        note, few = f"any of {corruptions} corruptions", "classes are small"
        claims = (
            Claim("class_failure", FALSE, truth, images, 0, NEVER_FALSE, note),
            Claim("interval of the accuracy gap of a class", COVERAGE, truth, images, 0, COVERS_AT_LEAST, few),
        )
        measured = partial(measure_gaps, others, CLASS_GAP, sizes, classes, corruptions)
        found.append(Job(claims, measured))
    claims = (
        Claim("class_failure", POWER, "one class of 50 images 50 points below 90%, 10 classes", 500, 0, NO_LIMIT),
    )
    return [*found, Job(claims, partial(measure_gaps, 0.9, 0.5, (50, 50), 10, 5))]


def jobs() -> list[Job]:
    return collapse_jobs() + gap_jobs()
