"""Claims of a study whose truth is their very limit, where either verdict is false: how often one is given."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from claims import FALSE, NEVER_FALSE, Answers, Claim, Job, Limit, answered
from curves import Curve, Floats, draw_cells, draw_outcomes, straight, through
from drops import SEVERITIES, matrix_of, model_of
from shapes import EDGES, describe_draws, edge_between, word_of

from failmodes.analysis.judging.cells import EvaluatedCells
from failmodes.analysis.judging.claims import verdict_of_shares
from failmodes.analysis.judging.judge import judge, question_of
from failmodes.analysis.statistics.difference import ModelMetrics
from failmodes.analysis.statistics.run_rows import CLEAN_CELL, ModelRows, RunRows
from failmodes.ingest.statements import as_statement

PLACES: tuple[dict[str, Any], ...] = ({"severities": [5]}, {})  # at the last severity, on average over all
FALLING = straight(0.9, 0.4, SEVERITIES)
GOOD = straight(0.99, 0.02, SEVERITIES)
ONE_SIDED, WHY_ONE_SIDED = Limit(high=0.055), "one bound, combined from exact ones"
OF_GAPS = ("a claim of a gap limit", "a gate passes a gap limit", "a gate fails a gap limit")
CURVES = {"straight from 90 to 50%": FALLING, "straight from 99 to 97%": GOOD}


def _notes() -> tuple[str, str]:
    return "at severity 5", "on average over severities"


def _decided(matrices: Sequence[RunRows], **keys: Any) -> bool:
    """Whether a claim about a model, or about two, is supported or contradicted."""
    models = ModelMetrics(*map(model_of, matrices))
    record = EvaluatedCells(models.candidate.cells, models.baseline and models.baseline.cells)
    question = question_of(as_statement({"metric": "accuracy", **keys}), record, models, "claim")
    return judge([question], is_two_sided=True)[0].verdict != "inconclusive"


@answered
def measure_two_drops(
    curve: tuple[float, ...], images: int, paired: bool, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether one of two corruptions that drop accuracy by the same is said to drop it more, or not to."""
    shared, correlation = (0.7, 0.9) if paired else (0.0, 0.0)
    keys = {"corruptions": ["00"], "relation": "less_than", "other": {"corruptions": ["01"]}}
    for correct in draw_cells(rng, (curve, curve), images, samples, shared, correlation):
        matrix = matrix_of(correct, paired=paired)
        yield [_decided([matrix], **keys, **place) for place in PLACES]


@answered
def measure_limit(
    relation: str, curve: tuple[float, ...], images: int, rng: np.random.Generator, samples: int
) -> Answers:
    """Whether a drop, or an accuracy, that is the limit itself is said to be within it, or beyond it."""
    accuracies = curve[-1], float(np.mean(curve[1:]))
    truths = [curve[0] - accuracy if relation == "drop_at_most" else accuracy for accuracy in accuracies]
    for correct in draw_outcomes(rng, curve, images, samples):
        places = zip(PLACES, truths, strict=True)
        keys = {"corruptions": ["00"], "relation": relation}
        yield [_decided([matrix_of(correct)], **keys, limit=truth, **place) for place, truth in places]


@answered
def measure_models(curve: tuple[float, ...], images: int, rng: np.random.Generator, samples: int) -> Answers:
    """Whether one of two checkpoints that are as often correct is said to be better, or not to be."""
    for correct in draw_cells(rng, (curve, curve), images, samples):
        halves = [matrix_of(half) for half in (correct[:, :SEVERITIES], correct[:, SEVERITIES:])]
        places = [*({"corruptions": ["00"], **place} for place in PLACES), {"corruptions": ["none"]}]
        yield [_decided(halves, relation="better_by_at_least", **place) for place in places]


def measure_shapes(
    claimed: Sequence[tuple[str, bool]], curve: Curve, images: int, rng: np.random.Generator, samples: int
) -> Floats:
    """Whether each claim of a shape, as true or false, is given the wrong verdict."""
    drawn = describe_draws(rng, curve, images, samples)
    wrong = {True: "contradicted", False: "supported"}
    return np.array(
        [[verdict_of_shares(word, one.shape.shares) == wrong[is_true] for word, is_true in claimed] for one in drawn],
        dtype=np.float64,
    )


def jobs() -> list[Job]:
    found = []
    for images in (50, 500, 2_000):
        for truth, curve in CURVES.items():
            measures: dict[str, tuple[str, Callable[..., Floats], tuple[str, ...]]] = {
                "a claim of two accuracy drops": ("both", partial(measure_two_drops, curve, images, True), _notes()),
                "a claim of a drop limit": ("", partial(measure_limit, "drop_at_most", curve, images), _notes()),
                "a claim of a limit of accuracy": ("", partial(measure_limit, "at_least", curve, images), _notes()),
                "a claim that a checkpoint is better": (
                    "both", partial(measure_models, curve, images), (*_notes(), "on clean images"),
                ),
            }  # fmt: skip
            for kind, (who, measure, notes) in measures.items():
                name = f"{who} {truth}".strip()
                claims = tuple(Claim(kind, FALSE, name, images, SEVERITIES, NEVER_FALSE, note) for note in notes)
                found.append(Job(claims, measure))
    claims = tuple(
        Claim("a claim of two accuracy drops", FALSE, "both straight from 90 to 50%", 500, SEVERITIES, NEVER_FALSE,
              f"{note}, images do not pair") for note in _notes()
    )  # fmt: skip
    found.append(Job(claims, partial(measure_two_drops, FALLING, 500, False)))
    return found + gap_jobs() + shape_jobs()


@answered
def measure_gap(
    clean: float, shifted: float, images: tuple[int, int], rng: np.random.Generator, samples: int
) -> Answers:
    """Whether a gap that is the limit itself is decided as a claim, and passes or fails as a rule.

    Args:
        clean: true accuracy on clean images.
        shifted: true accuracy on those of the shift, which are others.
        images: number of both.
        rng: of the draws.
        samples: number of draws.
    """
    keys = {"metric": "accuracy", "shift": "S", "relation": "gap_at_most", "limit": round(clean - shifted, 12)}
    for _ in range(samples):
        sides = [
            ModelRows((RunRows("simulated", True, [CLEAN_CELL], rng.random((count, 1)) < share, ("",)),), str(place))
            for place, (share, count) in enumerate(zip((clean, shifted), images, strict=True))
        ]
        models = ModelMetrics(*sides)
        question = question_of(as_statement(keys), EvaluatedCells([CLEAN_CELL]), models, "claim")
        claim, rule = (judge([question], is_two_sided=is_claim)[0].verdict for is_claim in (True, False))
        yield [claim != "inconclusive", rule == "supported", rule == "contradicted"]


def gap_jobs() -> list[Job]:
    """Claims and rules about a gap between clean accuracy and accuracy under a shift, at its limit."""
    found = []
    for clean, shifted in ((0.95, 0.85), (0.9, 0.9), (0.99, 0.97), (0.8, 0.1)):
        for images in ((50, 50), (500, 100), (2_000, 2_000)):
            truth = f"{clean:.0%} on {images[0]:,} clean images, {shifted:.0%} under the shift"
            claims = (
                Claim(OF_GAPS[0], FALSE, truth, images[1], 0, NEVER_FALSE),
                *(Claim(kind, FALSE, truth, images[1], 0, ONE_SIDED, WHY_ONE_SIDED) for kind in OF_GAPS[1:]),
            )
            found.append(Job(claims, partial(measure_gap, clean, shifted, images)))
    return found


def shape_jobs() -> list[Job]:
    """Claims of both shapes between which a curve lies, as if it were the one and as if it were the other."""
    found = []
    for name in EDGES:
        first, second = (through(np.array(curve) / 100, SEVERITIES) for curve in EDGES[name])
        below, above = edge_between(first, second)
        words = word_of(below), word_of(above)
        claimed = [(word, word == true) for true in words for word in words if word != "inconclusive"]
        for images in (50, 500):
            claims = tuple(
                Claim("a claim of a shape", FALSE, f"between {name}", images, SEVERITIES, NEVER_FALSE,
                      f"{word}, {str(is_true).lower()} at the boundary")
                for word, is_true in claimed
            )  # fmt: skip
            found.append(Job(claims, partial(measure_shapes, claimed, below, images)))
    return found
