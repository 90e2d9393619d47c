"""What the tool says of one curve, as often as it is drawn: shapes, collapses in one step, flatness and rises."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
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
    Claim,
    Job,
    Limit,
)
from curves import CORRELATION, GRIDS, Floats, bent, draw_outcomes, straight, through
from scipy.special import ndtri
from scipy.stats import multivariate_normal

from failmodes.analysis.judging.findings.shape import STABLE
from failmodes.analysis.statistics.bootstrap import Estimate, resampled_accuracy
from failmodes.analysis.statistics.curve_shape import FALLING, CurveShape, ShapeSettings, describe_curve
from failmodes.analysis.statistics.shares import smallest_detectable_difference

RESAMPLES = 1000
LARGE = 10_000  # images of which fewer samples are made
SAMPLES_OF_LARGE = 2_000
Curve = tuple[float, ...]


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


def said(shape: str, drawn: Drawn) -> bool:
    """Whether the class is said: of a curve that falls only where nearly all resamples agree, as in a report."""
    return drawn.shape.shape == shape and (shape not in FALLING or drawn.shape.stability >= STABLE)


def covers(estimate: Estimate | None, truth: float) -> float:
    return float("nan") if estimate is None else float(estimate.low <= truth <= estimate.high)


def false(kind: str, outcome: Callable[[Drawn], float], note: str = "") -> Question:
    return Question(kind, FALSE, NEVER_FALSE, outcome, note)


def job(
    truth: str, curve: Curve, images: int, questions: Sequence[Question], *, correlation: float = CORRELATION,
    with_resamples: bool = True, curves: int = 1,
) -> Job:  # fmt: skip
    """Questions that samples of one curve answer; resamples are drawn where stability or curvature is asked for."""
    claims = tuple(Claim(q.kind, q.measured, truth, images, len(curve), q.limit, q.note) for q in questions)
    outcomes = tuple(q.outcome for q in questions)
    measured = partial(measure, curve, images, outcomes, correlation, with_resamples, curves)
    return Job(claims, measured, images * len(curve), SAMPLES_OF_LARGE if images >= LARGE else None)


def measure(
    curve: Curve, images: int, outcomes: Sequence[Callable[[Drawn], float]], correlation: float,
    with_resamples: bool, curves: int, rng: np.random.Generator, samples: int,
) -> Floats:  # fmt: skip
    described = describe_draws(rng, curve, images, samples, correlation, with_resamples=with_resamples, curves=curves)
    return np.array([[float(outcome(drawn)) for outcome in outcomes] for drawn in described])


def describe_draws(
    rng: np.random.Generator, curve: Curve, images: int, samples: int, correlation: float = CORRELATION, *,
    with_resamples: bool = True, curves: int = 1,
) -> Iterator[Drawn]:  # fmt: skip
    """Describe samples as the tool does. Draws are columns beside each other, resampled by the tool's own function."""
    grid, truth, seed = GRIDS[len(curve)], np.asarray(curve), int(rng.integers(2**31))
    settings = ShapeSettings(resamples=RESAMPLES, seed=seed)
    for batch in draw_outcomes(rng, curve, images, samples, correlation):
        if with_resamples:
            columns = np.moveaxis(batch, 0, 1).reshape(images, -1)
            resampled = resampled_accuracy(columns, RESAMPLES, seed).reshape(RESAMPLES, len(batch), len(curve))
        else:
            resampled = batch.mean(axis=1)[None]
        for number, correct in enumerate(batch):
            yield Drawn(describe_curve(correct, resampled[:, number], grid, settings, curves=curves), truth, correct)


def curvature_jobs() -> list[Job]:
    """Classes by the curvature, at the threshold: both neighbors are false there, each in turn."""
    late, early, linear = (partial(said, shape) for shape in ("late_collapse", "early_drop", "near_linear"))
    covered = {
        curvature: Question("interval of the curvature", COVERAGE, COVERS, partial(_curvature_covered, curvature))
        for curvature in (0.15,)
    }
    found = []
    for images, severities in ((50, 6), (500, 6), (500, 21), (2_000, 6), (LARGE, 6), (LARGE, 21)):
        name = "curvature .15, a drop of 40 points"
        questions = [false("shape", late, "late_collapse, the curvature just below"),
                     false("shape", linear, "near_linear, the curvature just above"), covered[0.15]]  # fmt: skip
        found.append(job(name, bent(0.9, 0.4, 0.15, severities), images, questions))
    for images in (50, 500, 2_000):
        questions = [false("shape", early, "early_drop, the curvature just above"),
                     false("shape", linear, "near_linear, the curvature just below")]  # fmt: skip
        found.append(job("curvature -.15, a drop of 40 points", bent(0.9, 0.4, -0.15, 6), images, questions))
    for images in (500, 2_000, LARGE):
        question = false("shape", lambda drawn: drawn.shape.shape in FALLING and drawn.shape.stability >= STABLE,
                         "near_linear, late_collapse or early_drop, the drop just below 2 points")  # fmt: skip
        found.append(job("straight, a drop of 2 points", straight(0.9, 0.02, 6), images, [question]))
    falls = {"late_collapse": (0.9, 0.88, 0.86, 0.83, 0.75, 0.5), "early_drop": (0.9, 0.65, 0.57, 0.54, 0.52, 0.5),
             "near_linear": straight(0.9, 0.4, 6)}  # fmt: skip
    for images in (50, 500, 2_000):
        for shape, points in falls.items():
            question = Question("shape", POWER, NO_LIMIT, partial(said, shape), shape)
            found.append(job(f"far from a threshold, {shape}", through(points, 6), images, [question]))
    return found


def _curvature_covered(curvature: float, drawn: Drawn) -> float:
    return covers(drawn.shape.curvature, curvature)


def non_monotone_jobs() -> list[Job]:
    """A curve that never rises is not said to; one that zigzags by 2 points does rise, and has no limit."""
    bent_back = partial(said, "non_monotone")
    found = []
    for images, severities in ((50, 6), (500, 6), (500, 21), (2_000, 6)):
        for name, points in (("level after its first step", (0.9, 0.6, 0.6, 0.6, 0.6, 0.6)),
                             ("level, then falls at the last step", (0.9, 0.9, 0.9, 0.9, 0.9, 0.5))):  # fmt: skip
            question = false("shape", bent_back, "non_monotone")
            found.append(job(name, through(points, severities), images, [question], with_resamples=False))
    note = "non_monotone; the curve does rise, by as much as the least rise that counts"
    zigzag = through((0.9, 0.7, 0.72, 0.5, 0.52, 0.3), 6)
    for images in (500, 2_000):
        question = Question("shape", POWER, NO_LIMIT, bent_back, note)
        found.append(job("zigzag of 2 points", zigzag, images, [question], with_resamples=False))
    question = Question("shape", POWER, NO_LIMIT, bent_back, "non_monotone")
    zigzag = through((0.9, 0.5, 0.6, 0.5, 0.6, 0.4), 6)
    return [*found, job("zigzag of 10 points", zigzag, 500, [question], with_resamples=False)]


def flat_jobs() -> list[Job]:
    """Flat within 2 points where one severity lies exactly 2 points away, and not flat where none lies farther."""
    level, margin = 0.9, 0.02
    truths = {
        "2 points lost at the last severity": (level,) * 5 + (level - margin,),
        "2 points gained at one severity": (level, level, level + margin, level, level, level),
    }
    found = []
    for images in (500, 2_000, LARGE):
        for name, points in truths.items():
            for correlation in (0.9, 0.5):
                questions = [false("flat", partial(said, "flat")), false("flat", _is_not_flat, "flat is contradicted")]
                truth = f"{name}, correlation {correlation:g}"
                curve = through(points, 6)
                found.append(job(truth, curve, images, questions, correlation=correlation, with_resamples=False))
        question = Question("flat", POWER, NO_LIMIT, partial(said, "flat"))
        found.append(job("level", straight(level, 0, 6), images, [question], with_resamples=False))
    return found


def _is_not_flat(drawn: Drawn) -> bool:
    """As the finding has it: the drop or the largest rise lies beyond 2 points with its whole interval."""
    return max(drawn.shape.drop.low, drawn.shape.rise.low) > 0.02


def one_step_jobs() -> list[Job]:
    """A collapse in one step on straight lines and at two fifths of the fall; contradicted where one is there."""
    found = []
    kind = "abrupt_drop"
    for images, severities in ((50, 6), (500, 6), (500, 21), (2_000, 6), (LARGE, 6)):
        for drop in (0.02, 0.05, 0.5):
            truth = f"straight, a drop of {100 * drop:g} points"
            questions = [false(kind, partial(_one_step, "supported"))]
            found.append(job(truth, straight(0.9, drop, severities), images, questions, with_resamples=False))
        points = 0.9 - 0.5 * np.array([0, 0.15, 0.3, 0.7, 0.85, 1])
        questions = [false(kind, partial(_one_step, "supported"), "the step just below"),
                     false(kind, partial(_one_step, "contradicted"), "contradicted, the step just above")]  # fmt: skip
        truth = "one step of two fifths of a fall by 50 points"
        found.append(job(truth, through(points, severities), images, questions, with_resamples=False))
    question = Question(kind, POWER, NO_LIMIT, partial(_one_step, "supported"))
    points = (0.9, 0.88, 0.86, 0.46, 0.44, 0.42)
    return [*found, *(job("one step of five sixths", through(points, 6), images, [question], with_resamples=False)
                      for images in (50, 500))]  # fmt: skip


def _one_step(verdict: str, drawn: Drawn) -> bool:
    return drawn.shape.one_step == verdict


def rise_jobs() -> list[Job]:
    """A rise where accuracy is level, and 'less accurate at every severity' where one severity is as the clean one."""
    found = []
    for images, severities in ((50, 6), (500, 6), (500, 21), (2_000, 6)):
        for level in (0.6, 0.98):
            questions = [false("rise", lambda drawn: drawn.shape.rise.above_zero)]
            curve = straight(level, 0, severities)
            found.append(job(f"level at {level:g}", curve, images, questions, with_resamples=False))
        curve = through((0.9, 0.9, 0.7, 0.6, 0.5, 0.4), severities)
        questions = [false("rise", lambda drawn: drawn.shape.rise.below_zero, "contradicted")]
        found.append(job("level for one step, then falls", curve, images, questions, with_resamples=False))
    question = Question("rise", POWER, NO_LIMIT, lambda drawn: drawn.shape.rise.above_zero)
    curve = through((0.8, 0.85, 0.8, 0.8, 0.8, 0.8), 6)
    return [*found, job("5 points gained at one severity", curve, 500, [question], with_resamples=False)]


def interval_jobs() -> list[Job]:
    """Newcombe's interval of the total drop, and of all steps together."""
    found = []
    cases = [(50, 0.9, 0.3), (500, 0.9, 0.3), (2_000, 0.9, 0.3), (LARGE, 0.9, 0.3)]
    few = "few images differ, so that the interval is wide"
    for images, clean, drop in cases + [(50, 0.99, 0.02), (500, 0.99, 0.004), (2_000, 0.99, 0.001)]:
        is_few = clean > 0.9
        limit = COVERS_AT_LEAST if is_few else COVERS
        one = Question("interval of a drop", COVERAGE, limit, _drop_covered, few if is_few else "")
        steps = Question("intervals of all steps together", COVERAGE, COVERS_AT_LEAST, _steps_covered, "Bonferroni")
        truth = f"straight from {100 * clean:g} %, a drop of {100 * drop:g} points"
        found.append(job(truth, straight(clean, drop, 6), images, [one, steps], with_resamples=False))
    return found


def smallest_jobs() -> list[Job]:
    """The smallest drop that an inconclusive shape says so many images show: is it shown in four of five samples?"""
    found = []
    question = Question("smallest drop shown", AT_SMALLEST, NO_LIMIT, lambda drawn: drawn.shape.drop.above_zero)
    for images in (50, 200, 500, 2_000):
        drop = smallest_drop(0.9, images)
        truth = f"straight from 90 %, a drop of {100 * drop:.1f} points"
        found.append(job(truth, straight(0.9, drop, 6), images, [question], with_resamples=False))
    return found


def smallest_drop(clean: float, images: int) -> float:
    """The drop that is the smallest which the tool says to be shown, at the share of images that differ by it."""
    drop = 0.1
    for _ in range(30):
        limits = ndtri([clean, clean - drop])
        both = multivariate_normal.cdf(limits, cov=[[1, CORRELATION], [CORRELATION, 1]])
        drop = float(smallest_detectable_difference(2 * clean - drop - 2 * both, images))
    return drop


def _drop_covered(drawn: Drawn) -> float:
    return covers(drawn.shape.drop, drawn.truth[0] - drawn.truth[-1])


def _steps_covered(drawn: Drawn) -> bool:
    observed, off = np.diff(drawn.correct.mean(axis=0)), drawn.shape.margins.strides
    true = np.diff(drawn.truth)
    return bool((observed - off[0] <= true).all() and (true <= observed + off[1]).all())


def jobs() -> list[Job]:
    parts = (curvature_jobs, non_monotone_jobs, flat_jobs, one_step_jobs, rise_jobs, interval_jobs, smallest_jobs)
    return [one for part in parts for one in part()]
