"""Conditions that a report states first, since they invalidate or limit other findings.

A condition is a finding if it holds, and has no row otherwise. Their order is below 10, so that they come first in a
report. `Kind.suppresses` names the kinds that a condition invalidates for its evaluation.
"""

from collections.abc import Iterator, Sequence

import duckdb
import numpy as np

from failmodes.analysis.evaluations.same_labels import differences
from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_metrics
from failmodes.analysis.evaluations.trained_models import TrainedModel, trained_models
from failmodes.analysis.judging.findings.kind import EVERY, Judged, kind, rows_of
from failmodes.analysis.render.formatting import (
    format_count,
    format_interval,
    format_percent,
    format_percent_interval,
    format_points_interval,
)
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.run_rows import duplicate_images
from failmodes.analysis.statistics.sufficiency import chance_of
from failmodes.sql import sql_literal
from failmodes.warehouse.metrics.cell_rows import OTHER
from failmodes.warehouse.metrics.class_order import Classes, far_better_order
from failmodes.warehouse.metrics.metric import FEWEST_IMAGES, too_few
from failmodes.warehouse.schema import CLEAN

RELATION = "accuracy_by_severity"
OF_FAILURES = (
    "largest_drop", "shape", "class_failure", "confidence_below_chance", "early_warning", "attention_drift",
    "attention_on_object", "attention_off_object", "better_model",
)  # fmt: skip


@kind(
    "warning",
    order=0,
    section="accuracy",
    topic="Warning",
    claims="a check of the run found a possible mistake",
    unit="warnings",
    relation="evaluation_notes",
    tells_each_claim=True,
)
def warning(con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo) -> Iterator[Judged]:
    """Each warning of the run, except those that another condition states with an interval."""
    rows = con.execute(
        "select topic, subject, note from evaluation_notes where evaluation_id = $1 and level = 'warning' "
        "order by step desc, topic",
        [evaluation.evaluation_id],
    ).fetchall()
    stated = {"repeated_images": duplicates, "class_order": permuted_outputs, "chance": at_chance}
    for topic, subject, note in rows:
        if topic in stated and any(stated[topic].judge(con, selection, evaluation)):
            continue
        yield Judged(
            "supported",
            f"Warning: {note}." if subject == "images" else f"Warning: {evaluation.label}: {note}.",
            claim=topic,
            query=f"{rows_of('evaluation_notes', evaluation)} and level = 'warning'",
            n=evaluation.facts["image_count"],
        )


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
    """Fewer than FEWEST_IMAGES distinct images; copies count once."""
    distinct = duplicate_images(con, evaluation.evaluation_id).distinct
    if distinct < FEWEST_IMAGES:
        yield Judged("supported", f"{too_few(distinct)}.", n=distinct, value=float(distinct))


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
    duplicated = duplicate_images(con, evaluation.evaluation_id)
    if duplicated.note:
        yield Judged(
            "supported",
            f"{duplicated.note}.",
            n=duplicated.images,
            value=float(duplicated.images - duplicated.distinct),
            query="select pixel_hash, count(*) as copies, list(image_id order by image_id) as image_ids from images "
            f"where dataset_id = {sql_literal(evaluation.facts['dataset_id'])} group by pixel_hash having copies > 1",
        )


@kind(
    "same_label",
    order=3,
    section="accuracy",
    topic="Names",
    claims="evaluations that are not training seeds of one model share a label",
    unit="evaluations",
    relation="evaluation_labels",
    is_of_pairs=True,
    tells_each_claim=True,
)
def same_label(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Judged]:
    """Each label that several models of the selection have, as a finding about the newest and the next."""
    models_of: dict[str, set[TrainedModel]] = {}
    for model in trained_models(selection.evaluations):
        for run in model.runs:
            models_of.setdefault(run.facts["model_label"], set()).add(model)
    for label, models in models_of.items():
        if len(models) > 1:
            runs = [run for run in selection.evaluations if run.facts["model_label"] == label]
            yield Judged(
                "supported",
                f"{format_count(len(runs), 'evaluation')} share the label {label}: they differ in "
                f"{differences([run.facts for run in runs])}.",
                n=selection.image_count,
                value=float(len(runs)),
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
    """The assignment that fits half of the clean images best, judged on the other half."""
    if evaluation.facts["class_protocol"] == "all":  # an output may be outside the dataset's classes
        return
    labels, predictions = _clean_predictions(con, evaluation.evaluation_id)
    if not len(labels):
        return
    order = far_better_order(labels, predictions, 1 + int(max(labels.max(), predictions.max())))
    if order is not None:
        rise = Estimate(order.rise, order.low, order.high, n=order.images)
        yield Judged(
            "supported",
            f"Outputs of {evaluation.label} look permuted: reassigned classes raise accuracy on "
            f"{format_count(order.images, 'held-out clean image')} from {format_percent(order.actual)} to "
            f"{format_percent(order.matched)} ({format_points_interval(rise, signed=True)}). Check class_names and the "
            "order of labels.",
            rise,
            CLEAN,
            0.0,
            query=f"{rows_of('confusion_by_severity', evaluation)} and severity = 0",
        )


def _clean_predictions(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> tuple[Classes, Classes]:
    """Labels and predictions of clean images, copies once, by image_id; OTHER outside the dataset's classes."""
    rows = con.execute(
        f"""
        select prediction_facts.label, coalesce(predicted, {OTHER}) as predicted
        from prediction_facts
        inner join evaluations using (evaluation_id)
        inner join images using (dataset_id, image_id)
        where evaluation_id = $1 and corruption = $2
        qualify row_number() over (
            partition by coalesce(images.pixel_hash, 'image ' || image_id) order by image_id
        ) = 1
        order by image_id
        """,
        [evaluation_id, CLEAN],
    ).fetchnumpy()
    return np.asarray(rows["label"], np.int64), np.asarray(rows["predicted"], np.int64)


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
    """Unless the exact interval of clean accuracy is above chance: a one-sided test at 2.5%."""
    chance = chance_of(con, evaluation.evaluation_id)
    accuracy = clean_accuracy(con, evaluation)
    if chance is None or accuracy is None or accuracy.low > chance:
        return
    where = "below chance" if accuracy.high < chance else "indistinguishable from chance"
    yield Judged(
        "supported",
        f"{evaluation.label} is {where} on clean images: {format_percent_interval(accuracy)}, chance "
        f"{format_percent(chance)}",
        accuracy,
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
    """It invalidates no finding: confidence below 1 on images that are all correct is still underconfidence."""
    accuracy = clean_accuracy(con, evaluation)
    if accuracy is None or accuracy.value < 1:
        return
    yield Judged(
        "supported",
        f"{evaluation.label} classifies all {format_count(accuracy.n, 'clean image')} correctly "
        f"{format_interval(*accuracy[1:3])}: the images may be too easy to distinguish models, or part of the training "
        "data.",
        accuracy,
        CLEAN,
        0.0,
        query=f"{rows_of(RELATION, evaluation)} and severity = 0",
    )


def clean_accuracy(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> Estimate | None:
    """Stored accuracy on clean images with its 95% interval."""
    rows = read_metrics(con, [evaluation.evaluation_id], ["accuracy"]).filter(corruption=CLEAN)
    cells: Sequence[tuple[float, float, float, int]] = rows.select("value", "low", "high", "n").rows()
    return Estimate(*cells[0][:3], n=cells[0][3]) if cells else None
