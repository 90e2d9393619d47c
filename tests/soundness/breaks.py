"""One break against none, thresholds, and lack of fit: how often a curve without them is said to have them."""

from functools import partial

import numpy as np
from claims import COVERAGE, FALSE, NEVER_FALSE, NO_LIMIT, POWER, Answers, Claim, Job, Limit, answered
from curves import CORRELATION, GRIDS, Curve, bent, draw_outcomes, straight, through

from failmodes.analysis.statistics.curve_fits import LINEAR, covariance_of_means, find_change_point, fit_curve
from failmodes.analysis.statistics.curve_shape import ShapeSettings, resampled_curve

RESAMPLES = 500
BREAK, THRESHOLD, FIT = "a curve has a break", "a curve has a threshold", "a straight line does not fit"
LOCATED = Limit(0.935)


@answered
def measure(
    curve: Curve, images: int, paired: bool, true_break: float | None, rng: np.random.Generator, samples: int
) -> Answers:
    """Break found, threshold said, misfit of the straight line, and whether the break lies where it is said to lie."""
    grid = GRIDS[len(curve)]
    for correct in draw_outcomes(rng, curve, images, samples, CORRELATION if paired else 0.0):
        resampling = ShapeSettings(RESAMPLES, int(rng.integers(2**31)))
        covariance = covariance_of_means(correct, paired=paired)
        resampled = resampled_curve(correct.mean(axis=0), covariance, resampling)
        point = find_change_point(correct, resampled, grid, paired=paired)
        (line,) = [fit for fit in fit_curve(correct, grid, 0.1, paired=paired) if fit.function == LINEAR]
        is_found = point.p_value is not None and point.p_value <= 0.05
        is_located = np.nan
        if true_break is not None and is_found:
            is_located = float(grid[point.first] <= true_break <= grid[point.last])
        is_threshold = point.threshold(point.p_value, 0.95) == "supported"
        is_unfit = line.lack_of_fit_p_value is not None and line.lack_of_fit_p_value < 0.05
        yield (is_found, is_threshold, is_unfit, is_located)


def null_jobs() -> list[Job]:
    """Straight lines: each of the three is false."""
    cases = [
        ("straight, a drop of 40 points", straight(0.9, 0.4, 6), 50, True),
        ("straight, a drop of 40 points", straight(0.9, 0.4, 6), 500, True),
        ("straight, a drop of 40 points", straight(0.9, 0.4, 21), 500, True),
        ("straight, a drop of 40 points", straight(0.9, 0.4, 6), 500, False),
        ("straight from 99%, a drop of 2 points", straight(0.99, 0.02, 6), 500, True),
        ("level at 90%", straight(0.9, 0.0, 6), 500, True),
    ]
    found = []
    for truth, curve, images, paired in cases:
        note = "" if paired else "images do not pair"
        claims = tuple(
            Claim(kind, FALSE, truth, images, len(curve), NEVER_FALSE, note) for kind in (BREAK, THRESHOLD, FIT)
        )
        found.append(Job(claims, partial(measure, curve, images, paired, None)))
    return found


def steep_jobs() -> list[Job]:
    """Breaks that are none of a threshold, and thresholds: false at twice as steep, found beyond, and located."""
    found = []
    twice = (0.9, 0.85, 0.8, 0.75, 0.65, 0.55)  # from severity 3 on exactly twice as steep
    for images in (500, 2_000):
        claims = (Claim(THRESHOLD, FALSE, "twice as steep from severity 3 on", images, 6, NEVER_FALSE),)
        found.append(Job(claims, partial(measure, through(twice, 6), images, True, 3.0), columns=(1,)))
    early = bent(0.9, 0.4, -0.3, 6)
    claims = (Claim(THRESHOLD, FALSE, "curvature -.3, a drop of 40 points", 500, 6, NEVER_FALSE),)
    found.append(Job(claims, partial(measure, early, 500, True, None), columns=(1,)))
    for severities in (6, 21):
        curve = through((0.9, 0.89, 0.88, 0.87, 0.67, 0.47), severities)
        claims = (
            Claim(THRESHOLD, POWER, "1 point a severity, 20 from severity 3 on", 500, severities, NO_LIMIT),
            Claim(
                "where a break lies", COVERAGE, "1 point a severity, 20 from severity 3 on", 500, severities, LOCATED
            ),
        )
        found.append(Job(claims, partial(measure, curve, 500, True, 3.0), columns=(1, 3)))
    return found


def jobs() -> list[Job]:
    return null_jobs() + steep_jobs()
