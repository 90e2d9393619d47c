"""What is true of two models in each simulated report, exactly: every curve, every confidence, every prediction."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from curves import Curve
from shapes import edge_between, word_of

from failmodes.analysis.statistics.early_warning import OF_PREDICTION
from failmodes.analysis.statistics.predictions import CLASS_GAP
from failmodes.warehouse.metrics.abstention import Aim
from failmodes.warehouse.schema import CLEAN

CORRUPTIONS = ("gaussian_noise", "defocus_blur", "fog", "contrast", "brightness", "jpeg_compression")
SEVERITIES = (0, 1, 2, 3, 4, 5)
CLASSES = 10
GUESS = 1 / CLASSES  # accuracy of a model on images whose class it does not know
MODELS = ("alder", "birch")
DOMINANT, WEAK = 3, 7  # the class that predictions collapse to, and the class that fails, where a model has either
NEAR = 1e-9  # accuracies nearer than this are the same
Cell = tuple[str, int]
Curves = Mapping[str, Curve]


@dataclass(frozen=True)
class ModelTruth:
    """One model.

    Attributes:
        curves: accuracy at SEVERITIES by corruption; all begin with the clean accuracy.
        insight: correlation of what confidence is made from with the difficulty of the image: above 0 confidence finds
            failures better than chance (AUROC above .5), at 0 it is independent of them, below 0 it misleads.
        sharpness: by how much confidence differs between images, 0-1; a model with as much insight is calibrated.
        overconfidence: mean confidence minus accuracy in every cell.
        dominated: by cell the share of incorrect predictions, of images of other classes, that go to class DOMINANT.
        weak: by cell how far the accuracy of class WEAK lies below that of the other classes.
    """

    curves: Curves
    insight: float = 0.8
    sharpness: float = 0.8
    overconfidence: float = 0.0
    dominated: Mapping[Cell, float] = field(default_factory=dict)
    weak: Mapping[Cell, float] = field(default_factory=dict)

    def at(self, corruption: str, severity: int) -> float:
        """Accuracy of a cell; clean images are CLEAN at severity 0."""
        return self.curves[CORRUPTIONS[0] if corruption == CLEAN else corruption][severity]

    @property
    def is_calibrated(self) -> bool:
        return self.overconfidence == 0 and self.insight == self.sharpness

    @property
    def corrupted(self) -> float:
        """Mean accuracy over corruptions and their severities."""
        return float(np.mean([curve[1:] for curve in self.curves.values()]))

    @property
    def largest_drop(self) -> str | None:
        """The corruption with the largest drop at the last severity; None where two tie, or accuracy drops nowhere."""
        drops = {name: curve[0] - curve[-1] for name, curve in self.curves.items()}
        first, *others = sorted(drops, key=lambda name: -drops[name])
        is_first = all(drops[first] > drops[other] + NEAR for other in others)
        return first if is_first and drops[first] > NEAR else None

    def share_of_dominant(self, cell: Cell) -> float:
        """Share of the predictions of a cell that are of class DOMINANT: 1/CLASSES unless incorrect ones go there."""
        goes = self.dominated.get(cell, 0.0)
        incorrect = (1 - 1 / CLASSES) * (1 - self.at(*cell))
        return self.at(*cell) / CLASSES + incorrect * (goes + (1 - goes) / (CLASSES - 1))


class Scenario(NamedTuple):
    """Two models of one report, in the order of MODELS."""

    name: str
    models: tuple[ModelTruth, ModelTruth]
    sizes: tuple[int, ...] = (500,)  # images


class Statement(NamedTuple):
    """What a finding states, as far as it decides whether that is true.

    Attributes:
        kind: of the finding.
        model: which it is about; of two the better one.
        about: corruption, or the score that predicts; empty where it is about the model as a whole.
        word: the class of a shape, a verdict, a severity; empty where there is none.
    """

    kind: str
    model: str
    about: str = ""
    word: str = ""

    @property
    def unit(self) -> tuple[str, str, str]:
        """What it is about, whatever it says of that."""
        return self.kind, self.model, self.about


def true_statements(scenario: Scenario) -> frozenset[Statement]:
    """Everything that a report of the scenario may state."""
    one, other = (model.corrupted for model in scenario.models)
    found = set[Statement]()
    if abs(one - other) > NEAR:
        found.add(Statement("better_model", MODELS[0] if one > other else MODELS[1]))
    for name, model in zip(MODELS, scenario.models, strict=True):
        found.update(_of_curves(name, model))
        found.update(_of_predictions(name, model))
        found.update(_of_confidence(name, model))
    return frozenset(found)


def _of_curves(name: str, model: ModelTruth) -> set[Statement]:
    found = {Statement("largest_drop", name, model.largest_drop)} if model.largest_drop else set()
    found |= {Statement("shape", name, corruption, word_of(curve)) for corruption, curve in model.curves.items()}
    if model.at(CLEAN, 0) <= GUESS + NEAR:
        found.add(Statement("at_chance", name))
    return found


def _of_predictions(name: str, model: ModelTruth) -> set[Statement]:
    most = (1 + 1 / CLASSES) / 2  # half-way from the share of the labels to all
    collapsed = [cell for cell in model.dominated if model.share_of_dominant(cell) > most]
    failing = [cell for cell, gap in model.weak.items() if gap > CLASS_GAP]
    return {Statement("prediction_collapse", name, cell[0], f"{DOMINANT} at {cell[1]}") for cell in collapsed} | {
        Statement("class_failure", name, cell[0], f"{WEAK} at {cell[1]}") for cell in failing
    }


def _of_confidence(name: str, model: ModelTruth) -> set[Statement]:
    found = set[Statement]()
    if model.overconfidence:
        verdict = "supported" if model.overconfidence > 0 else "contradicted"
        found |= {Statement("overconfidence", name, cell, verdict) for cell in (CLEAN, *CORRUPTIONS)}
    if not model.is_calibrated:
        found.add(Statement("calibration_error", name))
    if model.insight:
        found |= {Statement("early_warning", name, score) for score in OF_PREDICTION}
    # Confidence that finds failures accepts at most as many as all images have: fewer than the target are incorrect
    found |= {
        Statement("errors_accepted", name, one) for one in CORRUPTIONS if model.at(one, 5) < 1 - Aim().target_value
    }
    if model.insight < 0:
        found |= {Statement("confidence_below_chance", name, corruption) for corruption in CORRUPTIONS}
    return found


def _each(*curves: Curve) -> Curves:
    return dict(zip(CORRUPTIONS, curves, strict=True))


def _lowered(curves: Curves, by: float) -> Curves:
    return {name: tuple(round(value - by, 12) for value in curve) for name, curve in curves.items()}


FLAT = _each(*[(0.9,) * 6] * 6)
FALLING = _each(
    (0.90, 0.89, 0.87, 0.80, 0.66, 0.42),  # late
    (0.90, 0.74, 0.67, 0.63, 0.61, 0.60),  # early
    (0.90, 0.90, 0.89, 0.88, 0.87, 0.66),  # the last step alone
    (0.90, 0.82, 0.73, 0.65, 0.56, 0.48),  # a line
    (0.90,) * 6,
    (0.90, 0.88, 0.86, 0.84, 0.82, 0.80),  # a line, a small drop
)
LINE, LOW_LINE = (0.90, 0.82, 0.74, 0.66, 0.58, 0.50), (0.90, 0.80, 0.70, 0.60, 0.50, 0.40)
BOUNDARIES = (  # lines to words that differ, and one word to another
    edge_between(LINE, (0.90, 0.90, 0.89, 0.85, 0.74, 0.50)),
    edge_between(LINE, (0.90, 0.66, 0.58, 0.54, 0.52, 0.50)),
    edge_between(LINE, (0.90, 0.90, 0.90, 0.50, 0.50, 0.50)),
    edge_between((0.90, 0.90, 0.89, 0.85, 0.74, 0.50), (0.90, 0.90, 0.90, 0.90, 0.90, 0.50)),
    edge_between((0.90,) * 6, (0.90, 0.89, 0.88, 0.87, 0.86, 0.85)),
    edge_between(LOW_LINE, (0.90, 0.90, 0.65, 0.65, 0.40, 0.40)),
)
TIED = {**FALLING, "contrast": (0.90, 0.80, 0.71, 0.61, 0.52, 0.42)}
CALIBRATED = ModelTruth(FALLING)
OTHER_SHAPES = _each(
    (0.90, 0.89, 0.87, 0.47, 0.45, 0.45),  # abrupt
    (0.90, 0.89, 0.69, 0.68, 0.49, 0.48),  # two steps
    (0.90, 0.88, 0.80, 0.58, 0.43, 0.40),  # the middle
    (0.90, 0.75, 0.55, 0.55, 0.72, 0.89),  # down and back
    (0.90, 0.91, 0.93, 0.95, 0.96, 0.97),  # a rise
    (0.90, 0.68, 0.86, 0.60, 0.82, 0.50),  # up and down
)
LAST_TWO = [("fog", 4), ("fog", 5)]
BROKEN = {**FALLING, "fog": (0.90, 0.86, 0.80, 0.65, 0.30, 0.20)}
SIZES = (300, 500, 2_000)

SCENARIOS = (
    Scenario("flat at 90%, equal, calibrated", (ModelTruth(FLAT),) * 2, SIZES),
    Scenario("falling, equal, calibrated", (CALIBRATED,) * 2, SIZES),
    Scenario("falling, one model 2 points better", (CALIBRATED, ModelTruth(_lowered(FALLING, 0.02))), SIZES),
    Scenario("falling, the two largest drops tie", (ModelTruth(TIED),) * 2),
    Scenario(
        "falling, one model 5 points overconfident, one 5 points underconfident",
        (ModelTruth(FALLING, overconfidence=0.05), ModelTruth(FALLING, overconfidence=-0.05)),
    ),
    Scenario("flat at 90%, 5 points overconfident", (ModelTruth(FLAT, overconfidence=0.05),) * 2),
    Scenario(
        "at chance, overconfident, uninformative confidence",
        (ModelTruth(_each(*[(GUESS,) * 6] * 6), insight=0.0, sharpness=0.3, overconfidence=0.2),) * 2,
    ),
    Scenario(
        "falling, uninformative or misleading confidence",
        (replace(CALIBRATED, insight=0.0), replace(CALIBRATED, insight=-0.3)),
    ),
    Scenario(
        "prediction collapse and class failure",
        (
            ModelTruth(BROKEN, dominated=dict.fromkeys(LAST_TWO, 1.0)),
            ModelTruth(FALLING, weak=dict.fromkeys(LAST_TWO, 0.5)),
        ),
    ),
    Scenario(
        "curves at the boundaries of shape classes",
        (ModelTruth(_each(*(one for one, _ in BOUNDARIES))), ModelTruth(_each(*(other for _, other in BOUNDARIES)))),
    ),
    Scenario("falling or rising in six other shapes", (ModelTruth(OTHER_SHAPES),) * 2, (500, 2_000)),
)
