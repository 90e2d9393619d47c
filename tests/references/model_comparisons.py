"""Comparisons of two models made by hand, with the cases that are told in different words."""

from dataclasses import replace
from typing import Any

from failmodes.analysis.judging.compare import ChangedImage, ChangedImages, Comparison, Crossover, Difference, Winner
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.opened_models import DescribedModel
from failmodes.analysis.statistics.run_rows import ImagePairing
from failmodes.warehouse.metrics.metric import all_metrics

LABELS = {"fog": "Fog", "contrast": "Contrast", "gaussian_noise": "Gaussian noise"}
LOSSES = {"gaussian_noise": -0.06, "fog": -0.02, "contrast": 0.015}  # of the second, the largest first
SOURCE = "Data: Synthetic digits; subset: all 500 images; corruptions: cifar-c recipe, seed 0; training seed 0."


def around(value: float, half: float = 0.008) -> Estimate:
    """A value with an interval."""
    return Estimate(value, value - half, value + half)


def compared(a: str = "Alpha", b: str = "Beta") -> Comparison:
    """Beta is 2.2 points worse than Alpha, better under contrast; the margin of 1 point is broken."""
    images = tuple(
        ChangedImage(17 * place, 1, "one", 9 - place, "fog" if place else "none", 2.0 if place else 0.0, "one",
                     None if place == 2 else "seven")
        for place in range(4)
    )  # fmt: skip
    return Comparison(
        a=DescribedModel(a, ("aaaa1111",), (0,), 500, SOURCE),
        b=DescribedModel(b, ("bbbb2222",), (0,), 500, SOURCE),
        level=0.95,
        margin=0.01,
        pairing=ImagePairing("same", 500),
        averaged=tuple(LOSSES),
        missing_cells=(),
        is_about_training=False,
        overall=difference("accuracy", "corrupted", 0.655, around(-0.022), winner="a"),
        bounds=(-0.029, -0.015),
        not_worse="contradicted",
        equivalent="contradicted",
        images_needed=None,
        clean=difference("accuracy", "clean", 0.97, around(-0.002)),
        metrics=(
            difference("ece", "corrupted", 0.081, around(0.013), winner="a"),
            difference("onset_severity", "corrupted", 3.1, None, reason="no image fails"),
        ),
        corruptions=tuple(
            difference("accuracy", "corruption", 0.65, around(loss), corruption=c, label=LABELS[c],
                       crossover=Crossover(2.4, 2.0, 3.0, "a") if c == "contrast" else None)
            for c, loss in LOSSES.items()
        ),
        cells=(_cell("none", 0.0, -0.002),
               *(_cell(c, s, loss * s / 3) for c, loss in LOSSES.items() for s in (1, 2, 3, 4, 5))),
        classes=(
            difference("accuracy", "class", 0.7, around(-0.1, 0.05), class_index=3, label="three", winner="a"),
            difference("accuracy", "class", 0.8, around(0.01, 0.05), class_index=1, label="one"),
        ),
        newly_incorrect=ChangedImages(6, 0.081, images),
        newly_correct=ChangedImages(5, 0.059, images[:1]),
        distinct_count=500,
    )  # fmt: skip


def difference(metric: str, cells: Any, a: float, of_both: Estimate | None, **facts: Any) -> Difference:
    """A metric of both by the value of the first, and the difference."""
    b = None if of_both is None else a + of_both.value
    return Difference(all_metrics()[metric], cells, a, b, of_both, 500, **facts)


def few_images() -> Comparison:
    """Too few images for a verdict."""
    found = compared()
    return replace(
        found, pairing=ImagePairing("same", 12), distinct_count=12, overall=replace(found.overall, winner=""),
        corruptions=tuple(replace(row, crossover=None) for row in found.corruptions),
        **{name: tuple(replace(row, winner="") for row in getattr(found, name))
           for name in ("metrics", "cells", "classes")},
    )  # fmt: skip


def inconclusive() -> Comparison:
    """Neither is shown to be better, nor that the margin holds; some cells are only in one."""
    found = compared()
    return replace(
        found, overall=difference("accuracy", "corrupted", 0.655, around(-0.001, 0.012)), bounds=(-0.011, 0.009),
        not_worse="inconclusive", equivalent="inconclusive", images_needed=4210,
        missing_cells=(("snow", 3.0), ("snow", 5.0)),
    )  # fmt: skip


def of_different_images() -> Comparison:
    """Images do not pair, nothing is said of single ones."""
    found = compared()
    return replace(
        found, b=replace(found.b, image_count=400), 
        pairing=ImagePairing("different", 400, "they are of different data sets"),
        newly_incorrect=None, newly_correct=None,
        cells=tuple(replace(c, only_a=None, only_b=None) for c in found.cells),
    )  # fmt: skip


def over_seeds() -> Comparison:
    """Two training runs against three; Beta is shown to be within the margin."""
    found = compared()
    return replace(
        found, a=replace(found.a, evaluation_ids=("a1", "a2"), seeds=(0, 1)),
        b=replace(found.b, evaluation_ids=("b1", "b2", "b3"), seeds=(0, 1, 2)), is_about_training=True,
        overall=difference("accuracy", "corrupted", 0.655, around(0.006, 0.004), winner="b"), bounds=(0.002, 0.0095),
        not_worse="supported", equivalent="supported", newly_incorrect=None, newly_correct=None,
        cells=tuple(replace(c, only_a=None, only_b=None) for c in found.cells),
    )  # fmt: skip


def _cell(corruption: str, severity: float, loss: float) -> Difference:
    winner: Winner = "b" if loss > 0.02 else "a" if loss < -0.02 else ""
    return difference(
        "accuracy", "cell", 0.7, around(loss, 0.02), corruption=corruption, severity=severity, winner=winner, only_a=30,
        only_b=30 + round(500 * loss), adjusted_p=0.001 if winner else 0.4,
    )  # fmt: skip
