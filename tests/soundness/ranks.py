"""The order in which corruptions and classes break: whether all intervals of ranks hold together."""

from collections.abc import Sequence
from functools import partial

import numpy as np
from claims import COVERAGE, NO_LIMIT, POWER, Answers, Claim, Job, Limit, answered
from curves import CORRELATION, SHARED, draw_cells, straight
from drops import matrix_of

from failmodes.analysis.statistics.failure_order import AT_LAST, ON_AVERAGE, RankedDrop, rank_classes, rank_corruptions

SEVERITIES = 6
OF_CORRUPTIONS, OF_CLASSES = "intervals of all ranks of corruptions", "intervals of all ranks of classes"
ALL_AT_ONCE = Limit(0.95)


def true_ranks(losses: Sequence[float]) -> tuple[list[int], list[int]]:
    """The smallest and the largest rank that each may be given: those that lose the same share all their ranks."""
    above = [sum(other > own + 1e-9 for other in losses) for own in losses]
    alike = [sum(abs(other - own) <= 1e-9 for other in losses) for own in losses]
    return [1 + count for count in above], [a + b for a, b in zip(above, alike, strict=True)]


def holds(found: Sequence[RankedDrop], losses: Sequence[float]) -> bool:
    """Whether every interval holds every rank that the truth allows."""
    first, last = true_ranks(losses)
    return all(one.rank_low <= low and high <= one.rank_high for one, low, high in zip(found, first, last, strict=True))


@answered
def measure_corruptions(
    clean: float, drops: Sequence[float], images: int, paired: bool, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether all intervals hold, at the last severity and on average; and whether the first is known to be it."""
    curves, names = [straight(clean, drop, SEVERITIES) for drop in drops], [f"{n:02}" for n in range(len(drops))]
    shared, correlation = (SHARED, CORRELATION) if paired else (0.0, 0.0)
    for correct in draw_cells(rng, curves, images, samples, shared, correlation):
        matrix = matrix_of(correct, paired=paired)
        at_last, on_average = (
            list(rank_corruptions(matrix, names, measure, 0.95).values()) for measure in (AT_LAST, ON_AVERAGE)
        )
        yield (holds(at_last, drops), holds(on_average, drops), at_last[0].rank_high == 1)


def corruption_jobs() -> list[Job]:
    spread = (0.4, 0.35, 0.3, 0.2, 0.2, 0.1)
    cases = [
        ("6 drop the same", 0.9, (0.3,) * 6, 50, True),
        ("6 drop the same", 0.9, (0.3,) * 6, 500, True),
        ("15 drop the same", 0.9, (0.3,) * 15, 500, True),
        ("6 drop by almost nothing from 99%", 0.99, (0.005,) * 6, 500, True),
        ("6, from 10 to 40 points", 0.9, spread, 500, True),
        ("6 drop the same", 0.9, (0.3,) * 6, 500, False),
    ]
    jobs = []
    for truth, clean, drops, images, paired in cases:
        note = "" if paired else ", images do not pair"
        claims = [
            Claim(OF_CORRUPTIONS, COVERAGE, truth, images, SEVERITIES, ALL_AT_ONCE, f"{where}{note}")
            for where in ("at the last severity", "on average")
        ]
        claims.append(Claim("the first is known", POWER, truth, images, SEVERITIES, NO_LIMIT, note[2:]))
        measured = partial(measure_corruptions, clean, drops, images, paired)
        jobs.append(Job(tuple(claims), measured))
    return jobs


@answered
def measure_classes(
    clean: float, drops: Sequence[float], of_class: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether all intervals of the ranks of classes hold: each class has a curve of its own, and own images."""
    labels = np.repeat(np.arange(len(drops)), of_class)
    drawn = [list(draw_cells(rng, [straight(clean, drop, SEVERITIES)], of_class, samples)) for drop in drops]
    for parts in zip(*drawn, strict=True):
        correct = np.concatenate(parts)
        losses = correct[:, 0] - correct[:, 1:].mean(axis=1)
        ranked = rank_classes(losses, labels, 0.95)
        yield [holds([ranked[index] for index in range(len(drops))], drops)]


def class_jobs() -> list[Job]:
    cases = [
        ("10 classes drop the same", 0.9, (0.3,) * 10, 50),
        ("10 classes of 10 images drop the same", 0.9, (0.3,) * 10, 10),
        ("10 classes drop by almost nothing from 99%", 0.99, (0.01,) * 10, 50),
        ("10 classes, from 10 to 55 points", 0.9, tuple(0.1 + 0.05 * n for n in range(10)), 50),
    ]
    return [
        Job(
            (Claim(OF_CLASSES, COVERAGE, truth, of_class * len(drops), SEVERITIES, ALL_AT_ONCE),),
            partial(measure_classes, clean, drops, of_class),
        )
        for truth, clean, drops, of_class in cases
    ]


def jobs() -> list[Job]:
    return corruption_jobs() + class_jobs()
