"""Which of two models is right more often, where both are as often right; and cell by cell."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from claims import COVERAGE, COVERS_AT_LEAST, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, answered
from curves import draw_cells, straight
from drops import matrix_of, model_of

from failmodes.analysis.evaluations.selection import EvaluationInfo
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.statistics.difference import ModelMetrics, mean_of
from failmodes.analysis.statistics.model_pairs import PairDifference, corrupted_difference
from failmodes.analysis.statistics.run_rows import ModelRows
from failmodes.analysis.statistics.shares import ALPHA, exact_mcnemar, holm

MODEL_A, MODEL_B = (TrainedModel(label, (EvaluationInfo(label, label, {}),)) for label in "AB")
CORRUPTIONS = ("00", "01", "02")
SEVERITIES = 6


class Pair(NamedTuple):
    """The curves of two models over the same corruptions, and how alike their answers are: correlations."""

    a: tuple[tuple[float, ...], ...]
    b: tuple[tuple[float, ...], ...]
    shared: float = 0.7
    correlation: float = 0.9

    @property
    def difference(self) -> float:
        return float(np.mean([np.mean(x[1:]) - np.mean(y[1:]) for x, y in zip(self.a, self.b, strict=True)]))


@answered
def measure_pair(pair: Pair, images: int, paired: bool, rng: np.random.Generator, samples: int) -> Answers:
    """Whether one is said to be right more often, and whether the interval holds the true difference."""
    columns = len(pair.a) * SEVERITIES
    for correct in draw_cells(rng, (*pair.a, *pair.b), images, samples, pair.shared, pair.correlation):
        halves = correct[:, :columns], correct[:, columns:]
        a, b = (model_of(matrix_of(half, paired=paired)) for half in halves)
        difference = corrupted_difference(a, b, CORRUPTIONS)
        assert difference is not None
        estimate = difference.interval()
        judged = PairDifference(MODEL_A, MODEL_B, estimate, difference.p_value)
        yield (judged.winner is not None, estimate.low <= pair.difference <= estimate.high)


def pair_jobs() -> list[Job]:
    falling = [straight(0.9, drop, SEVERITIES) for drop in (0.3, 0.4, 0.5)]
    good = [straight(0.99, drop, SEVERITIES) for drop in (0.01, 0.02, 0.03)]
    crossed = [straight(0.9, drop, SEVERITIES) for drop in (0.5, 0.4, 0.3)]
    pairs = {
        "the same accuracy": (Pair(tuple(falling), tuple(falling)), True),
        "the same accuracy, highly correlated": (Pair(tuple(falling), tuple(falling), 0.99, 0.995), True),
        "the same accuracy near 98%, highly correlated": (Pair(tuple(good), tuple(good), 0.99, 0.995), True),
        "each better under one of three": (Pair(tuple(falling), tuple(crossed)), True),
        "the same accuracy, cells of different images": (Pair(tuple(falling), tuple(falling), 0.0, 0.0), False),
    }
    found, few = [], "pseudo-images weigh where few predictions differ"
    for images in (50, 500, 2_000):
        for truth, (pair, paired) in pairs.items():
            claims = (
                Claim("better_model", FALSE, truth, images, SEVERITIES, NEVER_FALSE),
                Claim("interval of a difference of models", COVERAGE, truth, images, SEVERITIES, COVERS_AT_LEAST, few),
            )
            found.append(Job(claims, partial(measure_pair, pair, images, paired)))
    better = Pair(tuple(falling), tuple(straight(0.87, drop, SEVERITIES) for drop in (0.3, 0.4, 0.5)))
    claims = (Claim("better_model", POWER, "3 points better", 500, SEVERITIES, NO_LIMIT),)
    return [*found, Job(claims, partial(measure_pair, better, 500, True))]


@answered
def measure_cells(differing: tuple[int, ...], rng: np.random.Generator, samples: int) -> Answers:
    """Whether some cell of a pair is decided where in each as many images favor either model."""
    for _ in range(samples):
        only_a = rng.binomial(differing, 0.5)
        yield [min(holm(exact_mcnemar(only_a, np.array(differing) - only_a).tolist())) < ALPHA]


def cell_jobs() -> list[Job]:
    cases = {"10 images differ in each": (10,) * 96, "50 images differ in each": (50,) * 96,
             "1 to 96 images differ": tuple(range(1, 97)), "500 images differ in each": (500,) * 96,
             "11 images differ in each": (11,) * 96}  # fmt: skip
    return [
        Job((Claim("a cell of a pair (McNemar)", FALSE, f"96 cells, {name}", 2_000, 0, NEVER_FALSE, "any cell"),),
            partial(measure_cells, differing))
        for name, differing in cases.items()
    ]  # fmt: skip


WINNER = "a winner under a corruption"


def has_winner(a: ModelRows, b: ModelRows, corruptions: Sequence[str]) -> bool:
    """Whether `compare` names a more accurate model under some corruption, by intervals that hold for all."""
    models, names = ModelMetrics(b, a), list(corruptions)
    for name in names:
        found = models.compared("accuracy", mean_of(cell for cell in models.cells if cell[0] == name))
        assert not isinstance(found, str)
        interval = found.difference.interval(comparisons=len(names))
        if interval.above_zero or interval.below_zero:
            return True
    return False


@answered
def measure_winners(
    curves: tuple[tuple[float, ...], ...], images: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether one of two equal models is named more accurate under some corruption."""
    names, columns = [f"{number:02}" for number in range(len(curves))], len(curves) * SEVERITIES
    for correct in draw_cells(rng, (*curves, *curves), images, samples):
        yield [has_winner(*(model_of(matrix_of(half)) for half in np.hsplit(correct, [columns])), names)]


def winner_jobs() -> list[Job]:
    found = []
    for count, images in ((6, 100), (6, 500), (6, 2_000), (19, 500)):
        for name, first, drop in (("near 98%", 0.99, 0.02), ("from 90%", 0.9, 0.4)):
            truth = f"two equal models {name}, {count} corruptions"
            claims = (Claim(WINNER, FALSE, truth, images, SEVERITIES, NEVER_FALSE, "any corruption"),)
            curves = tuple(straight(first, drop * (1 + number) / count, SEVERITIES) for number in range(count))
            found.append(Job(claims, partial(measure_winners, curves, images), samples=1_000))
    return found


def jobs() -> list[Job]:
    return pair_jobs() + cell_jobs() + winner_jobs()
