"""Conditions that a report states before anything else, since they invalidate other findings or limit them.

A condition is a finding where it holds; of an evaluation without it there is no row. Their order is below 10, so that
they come first in a report. `Kind.suppresses` names the kinds that a condition invalidates for its evaluation.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
from numpy.typing import NDArray

from failmodes.analysis.formatting import (
    format_count,
    format_interval,
    format_percent,
    format_percent_interval,
    format_points_interval,
)
from failmodes.analysis.judging.findings.kind import EVERY, Judged, kind, rows_of, too_few
from failmodes.analysis.same_labels import differences
from failmodes.analysis.selection import EvaluationInfo, Selection, read_metrics
from failmodes.analysis.statistics.bootstrap import Estimate
from failmodes.analysis.statistics.duplicates import duplicate_images
from failmodes.analysis.statistics.shares import count_pairs, newcombe_interval
from failmodes.analysis.statistics.sufficiency import FEWEST_IMAGES, chance_of
from failmodes.analysis.trained_models import TrainedModel, trained_models
from failmodes.sql import sql_literal
from failmodes.warehouse.metrics.columns import OTHER
from failmodes.warehouse.schema import CLEAN

RELATION = "accuracy_by_severity"
LEAST_RISE = 0.1  # of accuracy on held-out images, by reassigned classes, that its whole interval must exceed
LEAST_FACTOR = 2.0  # that reassigned classes must multiply accuracy by …
MOST_ERRORS_LEFT = 0.25  # … or the share of errors that they must not leave, as where few classes are swapped
MOST_CLASSES = 2000  # beyond, the assignment takes minutes
OF_FAILURES = (
    "largest_drop", "shape", "class_failure", "confidence_below_chance", "early_warning", "attention_drift",
    "attention_on_object", "attention_off_object", "better_model",
)  # fmt: skip


@kind(
    "few_images",
    order=1,
    section="accuracy",
    topic="Images",
    claims=f"there are fewer than {FEWEST_IMAGES} distinct images",
    unit="images",
    relation=RELATION,
    suppresses=("permuted_outputs", "at_chance", "perfect_clean", EVERY),
)
def few_images(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """Copies count once."""
    distinct = duplicate_images(con, evaluation.evaluation_id).distinct
    if distinct < FEWEST_IMAGES:
        yield Judged("supported", too_few(distinct), distinct, (float(distinct), None, None))


@kind(
    "duplicate_images",
    order=2,
    section="accuracy",
    topic="Images",
    claims="some images are exact duplicates of others",
    unit="images",
    relation="images",
)
def duplicates(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """The same sentence for every model of a selection."""
    found = duplicate_images(con, evaluation.evaluation_id)
    if found.note:
        yield Judged(
            "supported",
            found.note,
            found.images,
            (float(found.images - found.distinct), None, None),
            query="select pixel_hash, count(*) as copies, list(image_id order by image_id) as image_ids from images "
            f"where dataset_id = {sql_literal(evaluation.facts['dataset_id'])} group by pixel_hash having copies > 1",
        )


@kind(
    "same_label",
    order=3,
    section="accuracy",
    topic="Names",
    claims="evaluations that are no training seeds of one model share a label",
    unit="evaluations",
    relation="evaluation_labels",
    is_of_pairs=True,
    tells_each_claim=True,
)
def same_label(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Judged]:
    """Each label that several models of the selection have, told of the newest and the next."""
    models_of: dict[str, set[TrainedModel]] = {}
    for model in trained_models(selection.evaluations):
        for run in model.runs:
            models_of.setdefault(run.facts["model_label"], set()).add(model)
    for label, models in models_of.items():
        if len(models) > 1:
            runs = [run for run in selection.evaluations if run.facts["model_label"] == label]
            yield Judged(
                "supported",
                f"{format_count(len(runs), 'evaluation')} are named {label}: they differ in "
                f"{differences([run.facts for run in runs])}.",
                selection.image_count,
                (float(len(runs)), None, None),
                claim=f"named {label}",
                query=f"from evaluation_labels where model_label = {sql_literal(label)}",
                pair=(runs[0], runs[1]),
            )


@kind(
    "permuted_outputs",
    order=4,
    section="accuracy",
    topic="Classes",
    claims="another assignment of outputs to classes classifies clean images far better",
    unit="accuracy",
    relation="confusion_by_severity",
    suppresses=("perfect_clean", EVERY),
)
def permuted_outputs(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo
) -> Iterator[Judged]:
    """The assignment that half of the clean images choose, judged on the other half."""
    if evaluation.facts["class_protocol"] == "all":  # an output may be no class of the data set
        return
    chosen, held_out = _halves(con, evaluation.evaluation_id)
    found = reassigned(chosen, held_out)
    if found is None:
        return
    rise, actual, matched = found
    if found.is_far_better:
        count = len(held_out)
        yield Judged(
            "supported",
            f"Outputs of {evaluation.label} look permuted: reassigned classes raise accuracy on "
            f"{format_count(count, 'held-out clean image')} from {format_percent(actual)} to {format_percent(matched)} "
            f"({format_points_interval(rise, signed=True)}). Check class_names and the order of labels.",
            count,
            rise,
            CLEAN,
            0.0,
            query=f"{rows_of('confusion_by_severity', evaluation)} and severity = 0",
        )


Predictions = NDArray[np.int64]  # (N, 2) label and prediction


class Reassigned(NamedTuple):
    """Held-out images with outputs reassigned to classes.

    Attributes:
        rise: accuracy with that assignment minus accuracy, with Newcombe's interval.
        actual: accuracy, 0-1.
        matched: accuracy with that assignment.
    """

    rise: Estimate
    actual: float
    matched: float

    @property
    def is_far_better(self) -> bool:
        """Whether the rise is shown to be large, and so large that no bias of a model between two classes makes it."""
        doubles = self.matched >= LEAST_FACTOR * self.actual
        leaves_few_errors = 1 - self.matched <= MOST_ERRORS_LEFT * (1 - self.actual)
        return self.rise.low > LEAST_RISE and (doubles or leaves_few_errors)


def reassigned(chosen: Predictions, held_out: Predictions) -> Reassigned | None:
    """The assignment of outputs to classes that some images choose, applied to others.

    Args:
        chosen: (N, 2) label and prediction, OTHER for no class of the data set.
        held_out: (M, 2) the same of other images.

    Returns:
        None where no assignment can be far better, or there are too many classes.
    """
    if not len(held_out):
        return None
    classes = 1 + int(max(chosen.max(), held_out.max()))
    if classes > MOST_CLASSES:
        return None
    actual = held_out[:, 0] == held_out[:, 1]
    counts = _confusion(held_out, classes)
    if counts.max(axis=0).sum() / len(held_out) - actual.mean() <= LEAST_RISE:  # as if an assignment could repeat
        return None
    from scipy.optimize import linear_sum_assignment  # here: 20 MB, for few models

    weights = _confusion(chosen, classes) + np.eye(classes) / 2  # of equal assignments the given one
    label_of = linear_sum_assignment(weights.T, maximize=True)[1]  # by prediction
    is_class = held_out[:, 1] != OTHER
    matched = is_class & (label_of[held_out[:, 1]] == held_out[:, 0])
    pairs = count_pairs(matched, actual)
    low, high = newcombe_interval(pairs)
    rise = Estimate(float(pairs.difference), float(low), float(high))
    return Reassigned(rise, float(actual.mean()), float(matched.mean()))


def _confusion(predictions: Predictions, classes: int) -> NDArray[np.float64]:
    """(classes, classes) images by label and prediction."""
    counts = np.zeros((classes, classes))
    known = predictions[predictions[:, 1] != OTHER]
    np.add.at(counts, (known[:, 0], known[:, 1]), 1)
    return counts


def _halves(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> tuple[Predictions, Predictions]:
    """Clean images, copies once, by turns of each class in the order of image_id."""
    rows = con.execute(
        f"""
        with distinct_images as (
            select image_id, prediction_facts.label, coalesce(predicted, {OTHER}) as predicted
            from prediction_facts
            inner join evaluations using (evaluation_id)
            inner join images using (dataset_id, image_id)
            where evaluation_id = $1 and corruption = $2
            qualify row_number() over (
                partition by coalesce(images.pixel_hash, 'image ' || image_id) order by image_id
            ) = 1
        )
        select label, predicted, row_number() over (partition by label order by image_id) % 2 as half
        from distinct_images order by image_id
        """,
        [evaluation_id, CLEAN],
    ).fetchnumpy()
    found = np.stack([np.asarray(rows[name], np.int64) for name in ("label", "predicted")], axis=1)
    is_first = np.asarray(rows["half"]) == 1
    return found[is_first], found[~is_first]


@kind(
    "at_chance",
    order=5,
    section="accuracy",
    topic="Clean accuracy",
    claims="clean accuracy is not shown to be above chance",
    unit="accuracy",
    relation=RELATION,
    suppresses=OF_FAILURES,
)
def at_chance(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """Unless the exact interval of clean accuracy lies above chance: a one-sided test at 2.5 %."""
    chance, accuracy = chance_of(con, evaluation.evaluation_id), clean_accuracy(con, evaluation)
    if chance is None or accuracy is None or accuracy[0].low > chance:
        return
    estimate, count = accuracy
    where = "below chance" if estimate.high < chance else "indistinguishable from chance"
    yield Judged(
        "supported",
        f"{evaluation.label} is {where} on clean images: {format_percent_interval(estimate)}, chance "
        f"{format_percent(chance)}",
        count,
        estimate,
        CLEAN,
        0.0,
        query=f"{rows_of(RELATION, evaluation)} and severity = 0",
    )


@kind(
    "perfect_clean",
    order=6,
    section="accuracy",
    topic="Clean accuracy",
    claims="every clean image is classified correctly",
    unit="accuracy",
    relation=RELATION,
)
def perfect_clean(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """It invalidates no finding: a confidence below 1 of images that are all correct is underconfidence still."""
    accuracy = clean_accuracy(con, evaluation)
    if accuracy is None or accuracy[0].value < 1:
        return
    estimate, count = accuracy
    yield Judged(
        "supported",
        f"{evaluation.label} classifies all {format_count(count, 'clean image')} correctly "
        f"{format_interval(*estimate[1:])}: the images may be too easy to tell models apart, or part of the training "
        "data.",
        count,
        estimate,
        CLEAN,
        0.0,
        query=f"{rows_of(RELATION, evaluation)} and severity = 0",
    )


def clean_accuracy(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> tuple[Estimate, int] | None:
    """Stored accuracy on clean images with its 95 % interval, and how many these are."""
    rows = read_metrics(con, [evaluation.evaluation_id], ["accuracy"]).filter(corruption=CLEAN)
    found: Sequence[tuple[float, float, float, int]] = rows.select("value", "low", "high", "n").rows()
    return (Estimate(*found[0][:3]), found[0][3]) if found else None
