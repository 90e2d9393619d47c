"""Comparisons of two models made by hand, with the cases that are told in different words."""

from dataclasses import replace
from typing import Any

from failmodes.analysis.judging.compare import ChangedImage, ChangedImages, Comparison, Crossover, Difference, Pair
from failmodes.analysis.judging.judge import Decision, Question, Verdict
from failmodes.analysis.statistics.estimate import Estimate, Word
from failmodes.analysis.statistics.opened_models import DescribedModel
from failmodes.analysis.statistics.run_rows import ImagePairing
from failmodes.ingest.statements import as_statement
from failmodes.warehouse.metrics.metric import all_metrics

LABELS = {"fog": "Fog", "contrast": "Contrast", "gaussian_noise": "Gaussian noise"}
LOSSES = {"gaussian_noise": -0.06, "fog": -0.02, "contrast": 0.015}  # of the second, the largest first
SOURCE = "Data: Synthetic digits; subset: all 500 images; corruptions: cifar-c recipe, seed 0; training seed 0."


def around(value: float, half: float = 0.008) -> Estimate:
    """A value with an interval."""
    return Estimate(value, value - half, value + half, n=500)


def compared(a: str = "Alpha", b: str = "Beta") -> Comparison:
    """Beta is 2.2 points worse than Alpha, better under contrast; the margin of 1 point is broken."""
    images = tuple(
        ChangedImage(17 * place, 1, "one", 9 - place, "fog" if place else "none", 2.0 if place else 0.0, "one",
                     None if place == 2 else "seven")
        for place in range(4)
    )  # fmt: skip
    within = _within("contradicted", (-0.029, -0.015)), _within("supported", (-0.029, -0.015), "better_by_at_most")
    overall = difference("accuracy", "corrupted", 0.655, around(-0.022), "contradicted")
    clean = difference("accuracy", "clean", 0.97, around(-0.002))
    metrics = (
        difference("ece", "corrupted", 0.081, around(0.013), "contradicted"),
        difference("onset_severity", "corrupted", 3.1, None, "not_measurable"),
    )
    corruptions = tuple(
        difference("accuracy", "corruption", 0.65, around(loss), cells=((c, 0.0),), label=LABELS[c],
                   crossover=Crossover(2.4, 2.0, 3.0, "a") if c == "contrast" else None)
        for c, loss in LOSSES.items()
    )  # fmt: skip
    cells = (
        _cell("none", 0.0, -0.002), *(_cell(c, s, loss * s / 3) for c, loss in LOSSES.items() for s in (1, 2, 3, 4, 5)),
    )  # fmt: skip
    classes = (
        difference("accuracy", "class", 0.7, around(-0.1, 0.05), "contradicted", class_index=3, label="three"),
        difference("accuracy", "class", 0.8, around(0.01, 0.05), class_index=1, label="one"),
    )
    models = (DescribedModel(a, ("aaaa1111",), (0,), 500, SOURCE), DescribedModel(b, ("bbbb2222",), (0,), 500, SOURCE))
    pair = Pair(*models, ImagePairing("same", 500), tuple(LOSSES), (), False, 500)
    verdicts = (*within, overall, clean, *metrics, *corruptions, *cells, *classes)
    return Comparison(pair, 0.95, 0.01, verdicts, ChangedImages(6, 0.081, images), ChangedImages(5, 0.059, images[:1]))


def difference(
    metric: str, scope: Any, a: float, of_both: Estimate | None, word: Word = "inconclusive", *,
    cells: Any = (("fog", 1.0),), relation: str = "better_by_at_least", images_needed: int | None = None, **facts: Any,
) -> Difference:  # fmt: skip
    """A metric of both by the value of the first, the difference, and whether the second is better."""
    b = None if of_both is None else a + of_both.value
    statement = as_statement({"metric": metric, "relation": relation})
    decision = Decision(word, cells, of_both, images_needed, "" if of_both else "no image fails")
    verdict = Verdict(statement, (decision,), Question(statement, all_metrics()[metric], ()))
    return Difference(verdict, scope, a, b, **facts)


def _within(
    word: Word, bounds: tuple[float, float], relation: str = "worse_by_at_most", needed: int | None = None
) -> Difference:
    """Whether the second is within the margin on one side, with one-sided bounds."""
    estimate = Estimate(-0.022, *bounds)
    return difference("accuracy", "corrupted", 0.655, estimate, word, relation=relation, images_needed=needed)


def _decided(
    found: Comparison, words: tuple[Word, Word], bounds: tuple[float, float], needed: int | None = None
) -> Any:
    """The verdicts with others on the margin."""
    sides = zip(words, ("worse_by_at_most", "better_by_at_most"), strict=True)
    return [*(_within(word, bounds, relation, needed) for word, relation in sides), *found.verdicts[2:]]


def _inconclusive(row: Difference) -> Difference:
    decisions = tuple(replace(one, verdict="inconclusive") for one in row.verdict.decisions)
    return replace(row, verdict=replace(row.verdict, decisions=decisions), crossover=None)


def few_images() -> Comparison:
    """Too few images for a verdict."""
    found = compared()
    pair = replace(found.pair, pairing=ImagePairing("same", 12), distinct_count=12)
    return replace(found, pair=pair, verdicts=tuple(map(_inconclusive, found.verdicts)))


def inconclusive() -> Comparison:
    """Neither is shown to be better, nor that the margin holds; some cells are only in one."""
    found = compared()
    verdicts = _decided(found, ("inconclusive", "inconclusive"), (-0.011, 0.009), 4210)
    verdicts[2] = difference("accuracy", "corrupted", 0.655, around(-0.001, 0.012))
    pair = replace(found.pair, missing_cells=(("snow", 3.0), ("snow", 5.0)))
    return replace(found, pair=pair, verdicts=tuple(verdicts))


def _without_images(found: Comparison) -> Comparison:
    verdicts = tuple(replace(row, only_a=None, only_b=None) for row in found.verdicts)
    return replace(found, verdicts=verdicts, newly_incorrect=None, newly_correct=None)


def of_different_images() -> Comparison:
    """Images do not pair, nothing is said of single ones."""
    found = compared()
    pairing = ImagePairing("different", 400, "they are of different data sets")
    pair = replace(found.pair, b=replace(found.b, image_count=400), pairing=pairing)
    return _without_images(replace(found, pair=pair))


def over_seeds() -> Comparison:
    """Two training runs against three; Beta is shown to be within the margin."""
    found = compared()
    verdicts = _decided(found, ("supported", "supported"), (0.002, 0.0095))
    verdicts[2] = difference("accuracy", "corrupted", 0.655, around(0.006, 0.004), "supported")
    pair = replace(
        found.pair, a=replace(found.a, evaluation_ids=("a1", "a2"), seeds=(0, 1)),
        b=replace(found.b, evaluation_ids=("b1", "b2", "b3"), seeds=(0, 1, 2)), is_about_training=True,
    )  # fmt: skip
    return _without_images(replace(found, pair=pair, verdicts=tuple(verdicts)))


def _cell(corruption: str, severity: float, loss: float) -> Difference:
    word: Word = "supported" if loss > 0.02 else "contradicted" if loss < -0.02 else "inconclusive"
    estimate = around(loss, 0.02)._replace(p_value=0.4 if word == "inconclusive" else 0.001)
    return difference(
        "accuracy", "cell", 0.7, estimate, word, cells=((corruption, severity),), only_a=30,
        only_b=30 + round(500 * loss),
    )  # fmt: skip
