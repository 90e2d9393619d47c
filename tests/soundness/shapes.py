"""What the tool says of one curve, as often as it is drawn: its word, its figures, and that it ends at chance.

A word is false where the true curve has another by the definitions of `statistics.curve_shape`; "inconclusive" never
is. Each word is asked at the edge of its definition: between two curves of different words bisection finds where the
word changes, and there each is false in turn. A word is said as of one curve alone, which Benjamini and Hochberg's
procedure over an evaluation never says more easily.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import NamedTuple

import numpy as np
from claims import (
    AT_SMALLEST,
    COVERAGE,
    COVERS,
    COVERS_AT_LEAST,
    FALSE,
    NEVER_FALSE,
    NO_LIMIT,
    POWER,
    Answers,
    Claim,
    Job,
    Limit,
    answered,
)
from curves import CORRELATION, GRIDS, Curve, Floats, bent, draw_cells, draw_outcomes, straight, through
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from failmodes.analysis.statistics.curve_shape import (
    SMALL,
    STRIDE,
    CurveShape,
    ShapeSettings,
    describe_curve,
    shape_of_curve,
    shapes_of,
)
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.shape_tables import MAX_P, p_of_shape
from failmodes.analysis.statistics.shares import smallest_detectable_difference
from failmodes.analysis.statistics.sufficiency import AT_CHANCE, chance_from, is_below_chance
from failmodes.warehouse.curve_shapes import STEPPED

RESAMPLES = 1000
LARGE = 10_000  # images of which fewer samples are made
SAMPLES_OF_LARGE = 2_000
CHANCE = 0.1
FLAT_CORRELATION = 0.7  # of an image at two severities: the less alike cells are, the more a flat curve turns
KIND = "shape"

# in percent, at severities 0 to 5: the words of the first and of the second curve meet somewhere between
EDGES = {
    "flat, rise": ((88, 88, 88, 88, 88, 88), (88, 89, 90, 91, 92, 93)),
    "flat, near_linear": ((88, 88, 88, 88, 88, 88), (88, 87, 86, 85, 84, 83)),
    "flat, recovers": ((88, 88, 88, 88, 88, 88), (88, 84, 80, 82, 86, 88)),
    "flat, up_and_down": ((88, 88, 88, 88, 88, 88), (88, 90, 92, 91, 89, 88)),
    "rise, up_and_down": ((60, 65, 70, 75, 78, 80), (60, 70, 80, 72, 66, 60)),
    "recovers, up_and_down": ((90, 70, 50, 60, 75, 85), (90, 70, 50, 60, 75, 45)),
    "recovers, early": ((90, 60, 50, 60, 70, 80), (90, 60, 50, 47, 44, 42)),
    "up_and_down, near_linear": ((90, 60, 80, 50, 65, 40), (90, 80, 70, 60, 50, 40)),
    "near_linear, late": ((90, 80, 70, 60, 50, 40), (90, 88, 85, 79, 66, 40)),
    "near_linear, early": ((90, 80, 70, 60, 50, 40), (90, 64, 51, 45, 42, 40)),
    "near_linear, middle": ((90, 80, 70, 60, 50, 40), (90, 88, 78, 52, 42, 40)),
    "near_linear, two_steps": ((90, 80, 70, 60, 50, 40), (90, 67, 66, 64, 63, 40)),
    "near_linear, abrupt": ((90, 80, 70, 60, 50, 40), (90, 89, 88, 44, 42, 40)),
    "late, abrupt": ((90, 88, 84, 77, 65, 40), (90, 90, 89, 88, 87, 40)),
    "early, abrupt": ((90, 65, 53, 46, 42, 40), (90, 43, 42, 41, 41, 40)),
    "middle, abrupt": ((90, 88, 80, 60, 44, 40), (90, 89, 88, 48, 42, 40)),
    "two_steps, abrupt": ((90, 89, 66, 65, 41, 40), (90, 89, 45, 44, 42, 40)),
    "two_steps, middle": ((90, 88, 68, 65, 43, 40), (90, 88, 78, 55, 43, 40)),
    "two_steps, late": ((90, 89, 89, 66, 65, 40), (90, 89, 86, 79, 66, 40)),
    "two_steps, early": ((90, 66, 64, 42, 41, 40), (90, 64, 52, 46, 42, 40)),
    "late, middle": ((90, 89, 87, 81, 62, 40), (90, 87, 78, 58, 44, 40)),
    "early, middle": ((90, 66, 54, 46, 42, 40), (90, 86, 70, 52, 43, 40)),
}
DENSE_EDGES = ("near_linear, late", "late, abrupt", "two_steps, abrupt", "middle, abrupt", "flat, near_linear")
FEW_EDGES = ("flat, near_linear", "near_linear, late", "near_linear, abrupt", "recovers, early", "early, abrupt")
# the curves of the words for curves, and what a person says of each
SAID = (
    ("abrupt", (98, 98, 96, 47, 36, 35)),
    ("two_steps", (95, 94, 70, 69, 40, 39)),
    ("abrupt", (95, 95, 94, 45, 44, 44)),
    ("middle", (95, 94, 86, 60, 44, 43)),
    ("abrupt", (95, 55, 55, 54, 54, 54)),
    ("abrupt", (95, 95, 95, 95, 94, 50)),
    ("recovers", (95, 80, 60, 60, 78, 93)),
    ("up_and_down", (95, 70, 90, 60, 85, 50)),
    ("near_linear", (95, 94, 93, 92, 91, 90)),
    ("late", (95, 93, 89, 82, 70, 50)),
    ("early", (95, 72, 60, 54, 51, 50)),
    ("early", (95, 50, 20, 11, 10, 10)),
    ("flat", (90, 90, 90, 90, 90, 90)),
    ("rise", (60, 64, 68, 72, 76, 80)),
)


class Drawn(NamedTuple):
    """One draw: its shape as the tool describes it, the true curve, and which images are right."""

    shape: CurveShape
    truth: Floats
    correct: Floats


class Question(NamedTuple):
    """What is asked of every draw: 1, 0 or NaN for no answer."""

    kind: str
    measured: str
    limit: Limit
    outcome: Callable[[Drawn], float]
    note: str = ""


def word_said(drawn: Drawn) -> str:
    """The word that a report says of the draw, were it the only curve; `inconclusive` where it says none."""
    is_said = p_of_shape(drawn.shape.stability, RESAMPLES) <= MAX_P
    return drawn.shape.shape if is_said else "inconclusive"


def says(word: str, drawn: Drawn) -> bool:
    return word_said(drawn) == word


def is_false(truth: Curve, drawn: Drawn) -> bool:
    """Whether a word is said that is not that of the true curve, or a step a severity or more beside its own."""
    grid, found, true = GRIDS[len(truth)], word_said(drawn), word_of(truth)
    if found != true or found not in STEPPED:
        return found not in (true, "inconclusive")
    places = [place[0] for place in (drawn.shape.largest_at, drawn.shape.other_at) if place]
    own = np.unique(shapes_of(truth, grid, ShapeSettings()).starts)
    return bool((np.abs(grid[np.sort(places)] - grid[own]) >= STRIDE - 1e-9).any())


@cache
def word_of(curve: Curve) -> str:
    """The word that the package itself has for an exact curve."""
    return shape_of_curve(curve, GRIDS[len(curve)])


def edge_between(first: Curve, second: Curve, word: Callable[[Curve], str] = word_of) -> tuple[Curve, Curve]:
    """Two curves, next to each other on the straight way from `first`, of which one has its word and the other not."""
    one, other = np.asarray(first), np.asarray(second)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        is_same = word(_between(one, other, middle)) == word(first)
        low, high = (middle, high) if is_same else (low, middle)
    return _between(one, other, low), _between(one, other, high)


def _between(one: Floats, other: Floats, place: float) -> Curve:
    return tuple((one + place * (other - one)).tolist())


def covers(estimate: Estimate | None, truth: float) -> float:
    return float("nan") if estimate is None else float(estimate.low <= truth <= estimate.high)


def false(kind: str, outcome: Callable[[Drawn], float], note: str = "") -> Question:
    return Question(kind, FALSE, NEVER_FALSE, outcome, note)


def job(
    truth: str, curve: Curve, images: int, questions: Sequence[Question], *, correlation: float = CORRELATION
) -> Job:
    """Questions that samples of one curve answer."""
    claims = tuple(Claim(q.kind, q.measured, truth, images, len(curve), q.limit, q.note) for q in questions)
    outcomes = tuple(q.outcome for q in questions)
    measured = partial(measure, curve, images, outcomes, correlation)
    return Job(claims, measured, SAMPLES_OF_LARGE if images >= LARGE else None)


def measure(
    curve: Curve, images: int, outcomes: Sequence[Callable[[Drawn], float]], correlation: float,
    rng: np.random.Generator, samples: int,
) -> Floats:  # fmt: skip
    described = describe_draws(rng, curve, images, samples, correlation)
    return np.array([[float(outcome(drawn)) for outcome in outcomes] for drawn in described])


def describe_draws(
    rng: np.random.Generator, curve: Curve, images: int, samples: int, correlation: float = CORRELATION
) -> Iterator[Drawn]:
    """Describe samples as the tool does."""
    grid, truth = GRIDS[len(curve)], np.asarray(curve)
    settings = ShapeSettings(resamples=RESAMPLES, seed=int(rng.integers(2**31)))
    for correct in draw_outcomes(rng, curve, images, samples, correlation):
        yield Drawn(describe_curve(correct, grid, settings), truth, correct)


def edge_jobs() -> list[Job]:
    """Words at the edge of their definitions."""
    cases = [(name, images, 6) for name in EDGES for images in (500, 2_000)]
    cases += [(name, images, 6) for name in FEW_EDGES for images in (50, LARGE)]
    cases += [(name, 2_000, 21) for name in DENSE_EDGES]
    found = []
    for name, images, severities in cases:
        first, second = (through(np.array(curve) / 100, severities) for curve in EDGES[name])
        below, above = edge_between(first, second)
        words = word_of(below), word_of(above)
        questions = [false(KIND, partial(is_false, curve), f"the truth is {word}, barely {other}")
                     for curve, word, other in zip((below, above), words, words[::-1], strict=True)]  # fmt: skip
        found.append(job(f"between {name}", below, images, questions))
    return found


def flat_jobs() -> list[Job]:
    """Whether some of six flat curves that are described together is said to turn, rise or fall."""
    found = []
    for accuracy, images in ((0.5, 300), (0.5, 2_000), (0.9, 300)):
        claim = Claim(KIND, FALSE, f"six curves flat at {100 * accuracy:g}%", images, 6, NEVER_FALSE, "any but flat")
        found.append(Job((claim,), partial(measure_flat, accuracy, images), samples=1_000))
    return found


@answered
def measure_flat(accuracy: float, images: int, rng: np.random.Generator, samples: int) -> Answers:
    settings = ShapeSettings(resamples=RESAMPLES, seed=int(rng.integers(2**31)))
    for cells in draw_cells(rng, [(accuracy,) * 6] * 6, images, samples, correlation=FLAT_CORRELATION, shared=0.5):
        curves = [describe_curve(one, GRIDS[6], settings, curves=6) for one in np.hsplit(cells, 6)]
        said = {word_said(Drawn(shape, np.full(6, accuracy), cells)) for shape in curves}
        yield [bool(said - {"flat", "inconclusive"})]


def step_jobs() -> list[Job]:
    """Steps that are equal: each is falsely said to be the largest."""
    equal = {"middle": (92, 90, 71, 52, 50, 48), "two_steps": (95, 95, 75, 75, 54, 53.9)}
    found = []
    for word, points in equal.items():
        curve = through(np.array(points) / 100, 6)
        for images in (500, 2_000):
            question = false(KIND, partial(is_false, curve), "the larger of two equal steps")
            found.append(job(f"{word}, two equal steps", curve, images, [question]))
    return found


def power_jobs() -> list[Job]:
    """How often a word is said of curves of which a person says it."""
    found = []
    for word, points in SAID:
        curve, listed = through(np.array(points) / 100, 6), " ".join(f"{point:g}" for point in points)
        for images in (500, 2_000):
            questions = [Question(KIND, POWER, NO_LIMIT, partial(says, word), word),
                         false(KIND, partial(is_false, curve))]  # fmt: skip
            found.append(job(f"{word}: {listed}%", curve, images, questions))
    return found


def remark_jobs() -> list[Job]:
    """What is said beside a word: that the drop is small, that it ends at chance, and how far from clean it stays."""
    found = []
    for images in (500, 2_000):
        small = false(KIND, _is_small, "and little")
        found.append(job("straight, a drop of 10 points", straight(0.9, SMALL, 6), images, [small]))
        at_chance = false(KIND, _is_at_chance, "to chance")
        ends = CHANCE + AT_CHANCE
        found.append(job("it ends 5 points above chance", bent(0.9, 0.9 - ends, -0.3, 6), images, [at_chance]))
        below = false(KIND, _is_below_chance, "to below chance")
        found.append(job("it ends at chance", bent(0.9, 0.9 - CHANCE, -0.3, 6), images, [below]))
        within = Question("changes within", COVERAGE, COVERS_AT_LEAST, _changes_covered)
        for name, points in (("level", (90,) * 6), ("one severity 2 points away", (90, 90, 88, 90, 90, 90))):
            found.append(job(name, through(np.array(points) / 100, 6), images, [within]))
    return found


def _is_small(drawn: Drawn) -> bool:
    return says("near_linear", drawn) and drawn.shape.drop.high < SMALL


def _is_at_chance(drawn: Drawn) -> bool:
    return chance_from(drawn.correct, GRIDS[len(drawn.truth)], CHANCE, 0.95) is not None


def _is_below_chance(drawn: Drawn) -> bool:
    return bool(is_below_chance(drawn.correct, CHANCE, 0.95))


def _changes_covered(drawn: Drawn) -> bool:
    return bool(np.abs(drawn.truth - drawn.truth[0]).max() <= drawn.shape.changes_within)


def interval_jobs() -> list[Job]:
    """Intervals of the curvature, the total drop, the largest step and the largest change."""
    found = []
    for images, severities in ((50, 6), (500, 6), (500, 21), (2_000, 6), (LARGE, 6), (LARGE, 21)):
        limit, why = (COVERS_AT_LEAST, "few images: wider than necessary") if images < 100 else (COVERS, "")
        question = Question("interval of the curvature", COVERAGE, limit, partial(_curvature_covered, 0.15), why)
        truth = "curvature .15, a drop of 40 points"
        found.append(job(truth, bent(0.9, 0.4, 0.15, severities), images, [question]))
    cases = [(50, 0.9, 0.3), (500, 0.9, 0.3), (2_000, 0.9, 0.3), (LARGE, 0.9, 0.3)]
    few = "few images differ, so that the interval is wide"
    for images, clean, drop in cases + [(50, 0.99, 0.02), (500, 0.99, 0.004), (2_000, 0.99, 0.001)]:
        is_few = clean > 0.9
        limit = COVERS_AT_LEAST if is_few else COVERS
        questions = [
            Question("interval of a drop", COVERAGE, limit, _drop_covered, few if is_few else ""),
            Question("interval of the largest step", COVERAGE, COVERS_AT_LEAST, _step_covered, "Bonferroni"),
            Question("interval of the largest change", COVERAGE, COVERS_AT_LEAST, _change_covered, "Bonferroni"),
        ]
        truth = f"straight from {100 * clean:g}%, a drop of {100 * drop:g} points"
        found.append(job(truth, straight(clean, drop, 6), images, questions))
    return found


def _curvature_covered(curvature: float, drawn: Drawn) -> float:
    return covers(drawn.shape.curvature, curvature)


def _drop_covered(drawn: Drawn) -> float:
    return covers(drawn.shape.drop, drawn.truth[0] - drawn.truth[-1])


def _step_covered(drawn: Drawn) -> float:
    start, end = drawn.shape.largest_at
    return covers(drawn.shape.largest, drawn.truth[start] - drawn.truth[end])


def _change_covered(drawn: Drawn) -> float:
    return covers(drawn.shape.largest_change, drawn.truth[0] - drawn.truth[drawn.shape.largest_change_at])


def smallest_jobs() -> list[Job]:
    """The smallest drop that an inconclusive shape says so many images show: is it shown in four of five samples?"""
    found = []
    question = Question("smallest drop shown", AT_SMALLEST, NO_LIMIT, lambda drawn: drawn.shape.drop.above_zero)
    for images in (50, 200, 500, 2_000):
        drop = smallest_drop(0.9, images)
        truth = f"straight from 90%, a drop of {100 * drop:.1f} points"
        found.append(job(truth, straight(0.9, drop, 6), images, [question]))
    return found


def smallest_drop(clean: float, images: int) -> float:
    """The drop that is the smallest which the tool says to be shown, at the share of images that differ by it."""
    drop = 0.1
    for _ in range(30):
        limits = ndtri([clean, clean - drop])
        both = multivariate_normal.cdf(limits, cov=[[1, CORRELATION], [CORRELATION, 1]])
        drop = float(smallest_detectable_difference(2 * clean - drop - 2 * both, images))
    return drop


def jobs() -> list[Job]:
    parts = (edge_jobs, flat_jobs, step_jobs, power_jobs, remark_jobs, interval_jobs, smallest_jobs)
    return [one for part in parts for one in part()]
