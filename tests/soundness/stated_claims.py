"""Claims of a study whose truth is their very limit, where either verdict is false: how often one is given."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from claims import FALSE, NEVER_FALSE, Claim, Job
from curves import Floats, bent, draw_cells, draw_outcomes, straight
from drops import SEVERITIES, matrix_of, model_of
from shapes import describe_draws

from failmodes.analysis.judging.cells import OnRecord
from failmodes.analysis.judging.claims import is_ruled_out
from failmodes.analysis.judging.statement import Family, judge_plan, plan_statement
from failmodes.analysis.statistics.bootstrap import CorrectnessMatrix, Estimate
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.ingest.statements import Statement
from failmodes.warehouse.metrics.registry import all_metrics

FAMILY = Family(0.95, is_two_sided=True)
PLACES: tuple[dict[str, Any], ...] = ({"severities": [5]}, {})  # at the last severity, on average over all
FALLING = straight(0.9, 0.4, SEVERITIES)
GOOD = straight(0.99, 0.02, SEVERITIES)
CURVES = {"straight from 90 to 50 %": FALLING, "straight from 99 to 97 %": GOOD}


def _notes() -> tuple[str, str]:
    return "at severity 5", "on average over severities"


def _decided(matrices: Sequence[CorrectnessMatrix], **keys: Any) -> bool:
    """Whether a claim about a model, or about two, is supported or contradicted."""
    models = ModelMetrics(*map(model_of, matrices))
    record = OnRecord(models.candidate.cells, models.baseline and models.baseline.cells)
    plan = plan_statement(Statement(metric="accuracy", **keys), record, all_metrics(), "claim")
    return judge_plan(plan, models, FAMILY).verdict != "inconclusive"


def measure_two_drops(
    curve: tuple[float, ...], images: int, paired: bool, rng: np.random.Generator, samples: int
) -> Floats:
    """Whether one of two corruptions that drop accuracy by the same is said to drop it more, or not to."""
    found, (shared, correlation) = [], (0.7, 0.9) if paired else (0.0, 0.0)
    keys = {"corruptions": ["00"], "relation": "less_than", "other": {"corruptions": ["01"]}}
    for batch in draw_cells(rng, (curve, curve), images, samples, shared, correlation):
        for correct in batch:
            matrix = matrix_of(correct, paired=paired)
            found.append([_decided([matrix], **keys, **place) for place in PLACES])
    return np.array(found, dtype=np.float64)


def measure_limit(
    relation: str, curve: tuple[float, ...], images: int, rng: np.random.Generator, samples: int
) -> Floats:
    """Whether a drop, or an accuracy, that is the limit itself is said to be within it, or beyond it."""
    accuracies = curve[-1], float(np.mean(curve[1:]))
    truths = [curve[0] - accuracy if relation == "drop_at_most" else accuracy for accuracy in accuracies]
    found = []
    for batch in draw_outcomes(rng, curve, images, samples):
        for correct in batch:
            places = zip(PLACES, truths, strict=True)
            keys = {"corruptions": ["00"], "relation": relation}
            found.append([_decided([matrix_of(correct)], **keys, limit=truth, **place) for place, truth in places])
    return np.array(found, dtype=np.float64)


def measure_models(curve: tuple[float, ...], images: int, rng: np.random.Generator, samples: int) -> Floats:
    """Whether one of two checkpoints that are as often correct is said to be better, or not to be."""
    found = []
    for batch in draw_cells(rng, (curve, curve), images, samples):
        for correct in batch:
            halves = [matrix_of(half) for half in (correct[:, :SEVERITIES], correct[:, SEVERITIES:])]
            places = [*({"corruptions": ["00"], **place} for place in PLACES), {"corruptions": ["none"]}]
            found.append([_decided(halves, relation="better_by_at_least", **place) for place in places])
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
                "a claim of a limit of costs": ("", partial(measure_limit, "drop_at_most", curve, images), _notes()),
                "a claim of a limit of accuracy": ("", partial(measure_limit, "at_least", curve, images), _notes()),
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
