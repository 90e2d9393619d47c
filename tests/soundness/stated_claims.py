"""Claims of a study whose truth is their very limit, where either verdict is false: how often one is given."""

from collections.abc import Callable
from functools import partial

import numpy as np
from claims import FALSE, NEVER_FALSE, Claim, Job
from curves import Floats, bent, draw_cells, draw_outcomes, straight
from drops import SEVERITIES, matrix_of
from shapes import describe_draws

from failmodes.analysis.claims.judged_claim import verdict_on
from failmodes.analysis.claims.shape_claims import is_ruled_out
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.claimed_differences import (
    At,
    accuracy_of,
    drop_difference,
    drop_of,
    trained_model_difference,
    training_runs,
)
from failmodes.analysis.statistics.trained_model_accuracy import training_runs

LEVEL = 0.95
PLACES: tuple[At, ...] = (5.0, "average")
FALLING = straight(0.9, 0.4, SEVERITIES)
GOOD = straight(0.99, 0.02, SEVERITIES)
CURVES = {"straight from 90 to 50 %": FALLING, "straight from 99 to 97 %": GOOD}


def _notes() -> tuple[str, str]:
    return "at severity 5", "on average over severities"


def _decided(estimate: Estimate | None, limit: float) -> bool:
    assert estimate is not None
    return verdict_on(estimate, "more than", limit) != "inconclusive"


def measure_two_drops(
    curve: tuple[float, ...], images: int, paired: bool, rng: np.random.Generator, samples: int
) -> Floats:
    """Whether one of two corruptions that cost the same is said to cost more, or not to."""
    found, (shared, correlation) = [], (0.7, 0.9) if paired else (0.0, 0.0)
    for batch in draw_cells(rng, (curve, curve), images, samples, shared, correlation):
        for correct in batch:
            matrix = matrix_of(correct, paired=paired)
            found.append([_decided(drop_difference(matrix, "00", "01", at, LEVEL), 0) for at in PLACES])
    return np.array(found, dtype=np.float64)


def measure_drop(curve: tuple[float, ...], images: int, rng: np.random.Generator, samples: int) -> Floats:
    """Whether a cost that is the limit itself is said to be within it, or beyond it."""
    truths = (curve[0] - curve[-1], curve[0] - float(np.mean(curve[1:])))
    found = []
    for batch in draw_outcomes(rng, curve, images, samples):
        for correct in batch:
            drops = [drop_of(matrix_of(correct), "00", at, LEVEL) for at in PLACES]
            found.append([_decided(drop, truth) for drop, truth in zip(drops, truths, strict=True)])
    return np.array(found, dtype=np.float64)


def measure_accuracy(curve: tuple[float, ...], images: int, rng: np.random.Generator, samples: int) -> Floats:
    """Whether an accuracy that is the limit itself is said to be above it, or below it."""
    truths = (curve[-1], float(np.mean(curve[1:])))
    found = []
    for batch in draw_outcomes(rng, curve, images, samples):
        for correct in batch:
            known = [accuracy_of(matrix_of(correct), ("00",), at, LEVEL) for at in PLACES]
            found.append([_decided(one, truth) for one, truth in zip(known, truths, strict=True)])
    return np.array(found, dtype=np.float64)


def measure_models(curve: tuple[float, ...], images: int, rng: np.random.Generator, samples: int) -> Floats:
    """Whether one of two checkpoints that are as often right is said to be better, or not to be."""
    found = []
    for batch in draw_cells(rng, (curve, curve), images, samples):
        for correct in batch:
            a, b = (training_runs([matrix_of(half)]) for half in (correct[:, :SEVERITIES], correct[:, SEVERITIES:]))
            places = [trained_model_difference(a, b, ("00",), at, LEVEL) for at in PLACES]
            clean = trained_model_difference(a, b, (), "average", LEVEL)
            found.append([_decided(one, 0) for one in (*places, clean)])
    return np.array(found, dtype=np.float64)


def measure_shapes(curvature: float, images: int, rng: np.random.Generator, samples: int) -> Floats:
    """Whether the class of a curve whose curvature is the threshold is said not to be its own."""
    bent_one = "late_collapse" if curvature > 0 else "early_drop"
    found = []
    for drawn in describe_draws(rng, bent(0.9, 0.4, curvature, SEVERITIES), images, samples):
        shape = drawn.shape
        curvatures = shape.curvature or Estimate(0.0, 0.0, 0.0)
        row = {"reason": None, "shape": shape.shape, "curvature_low": curvatures.low, "curvature_high": curvatures.high}
        row |= {f"share_{name}": share for name, share in shape.shares.items()}
        found.append([is_ruled_out(name, row) for name in (bent_one, "near_linear")])
    return np.array(found, dtype=np.float64)


def jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000):
        for truth, curve in CURVES.items():
            measures: dict[str, tuple[str, Callable[..., Floats], tuple[str, ...]]] = {
                "a claim of two costs": ("both", partial(measure_two_drops, curve, images, True), _notes()),
                "a claim of a limit of costs": ("", partial(measure_drop, curve, images), _notes()),
                "a claim of a limit of accuracy": ("", partial(measure_accuracy, curve, images), _notes()),
                "a claim that a checkpoint is better": (
                    "both", partial(measure_models, curve, images), (*_notes(), "on clean images"),
                ),
            }  # fmt: skip
            for kind, (who, measure, notes) in measures.items():
                name = f"{who} {truth}".strip()
                claims = tuple(Claim(kind, FALSE, name, images, SEVERITIES, NEVER_FALSE, note) for note in notes)
                found.append(Job(claims, measure, images * SEVERITIES * 2))
    claims = tuple(
        Claim("a claim of two costs", FALSE, "both straight from 90 to 50 %", 500, SEVERITIES, NEVER_FALSE,
              f"{note}, images do not pair") for note in _notes()
    )  # fmt: skip
    found.append(Job(claims, partial(measure_two_drops, FALLING, 500, False), 6_000))
    return found + shape_jobs()


def shape_jobs() -> list[Job]:
    found = []
    for images in (50, 500):
        for curvature, name in ((0.15, "late_collapse"), (-0.15, "early_drop")):
            claims = tuple(
                Claim("a claim of a shape", FALSE, f"curvature {curvature:g}, a drop of 40 points", images, SEVERITIES,
                      NEVER_FALSE, f"{shape} is contradicted, the curvature just within")
                for shape in (name, "near_linear")
            )  # fmt: skip
            found.append(Job(claims, partial(measure_shapes, curvature, images), images * SEVERITIES))
    return found
