"""Simulated models whose curves, confidences and predictions are known, and what is asked about them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
Curves = Mapping[str, Sequence[float]]
CORRUPTIONS = ("gaussian_noise", "fog", "contrast", "jpeg_compression")
CLASSES = ("ant", "bee", "cat", "dog", "elk")
COUNT = len(CLASSES)
DOMINANT, WEAK = 3, 1  # the class that predictions collapse to, and the class that fails
# Accuracy from clean to severity 5
LATE = (0.9, 0.89, 0.87, 0.8, 0.66, 0.42)
EARLY = (0.9, 0.72, 0.6, 0.55, 0.52, 0.5)
ABRUPT = (0.9, 0.9, 0.89, 0.88, 0.4, 0.39)
STEPS = (0.9, 0.89, 0.66, 0.65, 0.42, 0.41)
MIDDLE = (0.9, 0.88, 0.8, 0.56, 0.43, 0.4)
BACK = (0.9, 0.7, 0.45, 0.5, 0.7, 0.88)
LINE = (0.9, 0.82, 0.74, 0.66, 0.58, 0.5)
SMALL = (0.9, 0.88, 0.86, 0.84, 0.82, 0.8)
FLAT = (0.9,) * 6
RISE = (0.7, 0.75, 0.8, 0.86, 0.92, 0.97)
ZIGZAG = (0.9, 0.6, 0.85, 0.55, 0.8, 0.45)
BROKEN = (0.9, 0.86, 0.8, 0.65, 0.3, 0.15)
CHANCE = (0.2,) * 6


def each(*curves: Sequence[float]) -> dict[str, Sequence[float]]:
    """Curves of CORRUPTIONS."""
    return dict(zip(CORRUPTIONS, curves, strict=False))


FALLING = each(LATE, EARLY, LINE)


def shifted(curves: Curves, by: float) -> Curves:
    """Curves that are as much higher."""
    return {name: [min(0.99, value + by) for value in curve] for name, curve in curves.items()}


@dataclass(frozen=True)
class Model:
    """What is true of a model.

    Attributes:
        curves: accuracy from clean to severity 5, by corruption; None where it was not evaluated.
        insight: correlation of confidence with the difficulty of the image; below 0 it misleads.
        sharpness: how much confidence differs between images; a model with as much insight is calibrated.
        overconfidence: mean confidence minus accuracy.
        collapse: share of incorrect predictions at the last two severities that go to class DOMINANT.
        weak: how far class WEAK lies below the others at the last two severities.
        dark: how far images of camera B lie below the others.
    """

    curves: Curves = field(default_factory=lambda: FALLING)
    insight: float = 0.8
    sharpness: float = 0.8
    overconfidence: float = 0.0
    collapse: float = 0.0
    weak: float = 0.0
    dark: float = 0.0


@dataclass(frozen=True)
class Report:
    """Models of one table.

    Attributes:
        holds: the columns of predictions: probabilities of every class, confidence, or the predicted class alone.
        runs: training runs of each model.
        persistence: share of an image's difficulty that all its cells have.
        unpaired: every cell has other images.
        missing: share of predictions that are missing.
        axis: severities are values of this axis.
    """

    models: Mapping[str, Model]
    images: int = 160
    holds: str = "probabilities"
    runs: int = 1
    persistence: float = 0.7
    unpaired: bool = False
    missing: float = 0.0
    axis: str = ""


def two(one: Model, other: Model | None = None, **more: Any) -> Report:
    """A report of two models, of which the other is alike if it is not given."""
    return Report({"Alder": one, "Birch": other or one}, **more)


PLAIN = Model()
REPORTS = {
    "flat": two(Model(each(FLAT, FLAT, FLAT))),
    "falling": two(PLAIN, images=240),
    "slightly-better": two(PLAIN, Model(shifted(FALLING, 0.03))),
    "better": two(PLAIN, Model(shifted(FALLING, 0.09), insight=0.9, sharpness=0.9)),
    "tied-drops": two(Model(each(LATE, SMALL, (0.9, 0.85, 0.75, 0.65, 0.5, 0.42)))),
    "abrupt": two(Model(each(ABRUPT, STEPS, MIDDLE, BACK)), Model(each(FLAT, EARLY, LINE, SMALL)), images=500),
    "rising": two(Model(each(RISE, RISE)), Model(each((0.7, 0.9, 0.7, 0.9, 0.7, 0.9), ZIGZAG)), images=400),
    "overconfident": two(replace(PLAIN, overconfidence=0.12), replace(PLAIN, overconfidence=-0.12)),
    "overconfident-flat": two(Model(each(FLAT, FLAT), overconfidence=0.07), holds="confidence"),
    "chance": two(Model(each(CHANCE, CHANCE), insight=0, sharpness=0.3, overconfidence=0.3)),
    "misleading": two(replace(PLAIN, insight=-0.4), replace(PLAIN, insight=0.0), holds="confidence"),
    "collapse": two(
        Model(each(BROKEN, LATE, LINE), collapse=1.0), replace(PLAIN, weak=0.5, collapse=0.3), images=240,
    ),
    "persistent": two(replace(PLAIN, insight=0.95, sharpness=0.9), persistence=0.95),
    "erratic": two(PLAIN, replace(PLAIN, insight=0.3), persistence=0.1),
    "few": two(Model(each(ABRUPT, LINE)), Model(each(LATE, FLAT)), images=24),
    "training-runs": two(PLAIN, Model(shifted(FALLING, 0.05)), runs=3, images=90, holds="confidence"),
    "unpaired": two(Model(each(ABRUPT, LINE)), Model(each(LINE, LINE)), unpaired=True, holds="prediction"),
    "axis": two(Model({"contrast": LATE}), Model({"contrast": EARLY}), axis="%,100..5,log", holds="confidence"),
    "cameras": two(replace(PLAIN, dark=0.35), replace(PLAIN, dark=0.1), images=300),
    "incomplete": Report(
        {"Alder": PLAIN, "Birch": Model(each(LATE, EARLY)), "Cedar": Model({"fog": LINE, "frost": ABRUPT})},
        holds="prediction", missing=0.02,
    ),
}  # fmt: skip
PERCENT = (100, 50, 30, 15, 10, 5)


def table(report: Report, seed: int) -> pl.DataFrame:
    """One row per model, run, cell and image."""
    return pl.concat(list(_cells(report, np.random.default_rng(seed))), how="diagonal")


def _cells(report: Report, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    count = report.images
    labels, cameras = np.arange(count) % COUNT, np.where(np.arange(count) // COUNT % 3 == 0, "B", "A")
    shared = rng.normal(size=count)
    for name, model in report.models.items():
        for run in range(report.runs):
            own = _mixed(shared, rng.normal(size=count), report.persistence)
            for number, (corruption, severity, accuracy) in enumerate(_accuracies(model.curves)):
                hard = _mixed(own, rng.normal(size=count), report.persistence)
                found = _predictions(model, accuracy, severity, hard, labels, cameras == "B", rng)
                rows = pl.DataFrame({"image": _names(count, number if report.unpaired else 0), "camera": cameras})
                rows = rows.with_columns(
                    label=pl.Series([CLASSES[label] for label in labels]), corruption=pl.lit(corruption),
                    model=pl.lit(name), **_columns(report, severity), **_held(report, found, rng),
                )  # fmt: skip
                yield rows.with_columns(run=pl.lit(run)) if report.runs > 1 else rows


def _mixed(one: Floats, other: Floats, share: float) -> Floats:
    return np.sqrt(share) * one + np.sqrt(1 - share) * other


def _accuracies(curves: Curves) -> Iterator[tuple[str, int, float]]:
    clean = next(iter(curves.values()))[0]
    yield "none", 0, clean
    for corruption, curve in curves.items():
        yield from ((corruption, severity, curve[severity]) for severity in range(1, len(curve)))


def _predictions(
    model: Model, accuracy: float, severity: int, hard: Floats, labels: Any, dark: Any, rng: np.random.Generator
) -> tuple[Any, Floats]:
    """Predicted classes and their confidence."""
    is_late = severity >= 4
    known = accuracy - model.dark * dark - model.weak * is_late * (labels == WEAK)
    correct = hard < ndtri(known.clip(0.01, 0.99))
    wrong = (labels + rng.integers(1, COUNT, len(labels))) % COUNT
    wrong = np.where((rng.random(len(labels)) < model.collapse * is_late) & (labels != DOMINANT), DOMINANT, wrong)
    seen = model.insight * hard + np.sqrt(1 - model.insight**2) * rng.normal(size=len(labels))
    expected = ndtri((accuracy + model.overconfidence + np.zeros(len(labels))).clip(0.05, 0.99))
    confidence = ndtr((expected - model.sharpness * seen) / np.sqrt(1 - model.sharpness**2))
    return np.where(correct, labels, wrong), confidence.clip(1 / COUNT + 0.02, 0.995)


def _names(count: int, cell: int) -> list[str]:
    return [f"{cell:02}-{number:04}.png" for number in range(count)]


def _columns(report: Report, severity: int) -> dict[str, Any]:
    return {"value": pl.lit(PERCENT[severity])} if report.axis else {"severity": pl.lit(severity)}


def _held(report: Report, found: tuple[Any, Floats], rng: np.random.Generator) -> dict[str, Any]:
    predicted, confidence = found
    if report.holds == "probabilities":
        return {f"probability_{name}": column for name, column in zip(CLASSES, _shares(*found, rng).T, strict=True)}
    names = [CLASSES[number] for number in predicted]
    is_missing = rng.random(len(names)) < report.missing
    given = pl.Series(["refused" if lost else name for name, lost in zip(names, is_missing, strict=True)])
    return {"prediction": given} | ({"confidence": pl.Series(confidence)} if report.holds == "confidence" else {})


def _shares(predicted: Any, confidence: Floats, rng: np.random.Generator) -> Floats:
    """Probabilities of every class, of which that of the prediction is the largest."""
    others = rng.dirichlet(np.ones(COUNT - 1), len(predicted)) * (1 - confidence)[:, None]
    even = np.repeat(((1 - confidence) / (COUNT - 1))[:, None], COUNT - 1, axis=1)
    others = np.where(others.max(1, keepdims=True) < confidence[:, None], others, even)
    shares = np.empty((len(predicted), COUNT))
    is_other = np.arange(COUNT) != predicted[:, None]
    shares[is_other] = others.ravel()
    shares[~is_other] = confidence
    return shares
