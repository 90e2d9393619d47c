"""What must not be claimed from a selection."""

from collections import Counter
from collections.abc import Iterator

import duckdb
import polars as pl

from failmodes.analysis.judging.findings.correction import BESIDE, FIRST_SCREEN, OTHERS
from failmodes.analysis.judging.findings.kind import Limitation
from failmodes.analysis.render.formatting import MAX_LISTED, format_count, format_percent, join_names
from failmodes.analysis.selection import Selection, read_metrics
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.shape_tables import FALSE_SHAPES
from failmodes.analysis.statistics.shares import ALPHA
from failmodes.analysis.trained_models import TrainedModel, trained_models
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.schema import IMPORTED_FAMILY


def _error_rates() -> str:
    """What `correction` and the shapes hold, as shares of a report's statements."""
    better, largest = (format_percent(FIRST_SCREEN[kind], 2) for kind in ("better_model", "largest_drop"))
    beside, others, shapes = (format_percent(rate, 2) for rate in (BESIDE, OTHERS, FALSE_SHAPES))
    return (
        f"The probability of any false statement is at most {better} about which model is better, {largest} about "
        f"which corruption hurts most, and {beside} about what the verdict adds. At most {shapes} of the named shapes "
        f"and {others} of all other findings are expected to be false; of everything together, in simulated reports, "
        f"fewer than {format_percent(ALPHA, 0)}. These rates cover the choice of test images only."
    )


def limitations(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Limitation]:
    """Limitations, topic by topic: of what was run, of what it was run on, and of what may be claimed."""
    return [Limitation(*texts) for texts in _limitations(con, selection)]


def _limitations(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[tuple[str, str, str]]:
    """Topic, headline and detail of each limitation that holds for the selection."""
    shared, left_out = selection.shared, selection.left_out
    yield "Training", *_training(selection)
    yield "Images", "One set of images was seen.", _subset(con, selection)
    if left_out:
        yield (
            "Left out",
            f"{join_names(left_out)} {'is' if len(left_out) == 1 else 'are'} left out.",
            "Cells that the other models have are missing: it raised, or was not run to the end.",
        )
    if shared["note"]:
        yield (
            "Pixels",
            "The data set comes with a remark.",
            f"On {shared['dataset_label']}: {shared['note'].rstrip('.')}. Do not set these figures beside published "
            "ones without that remark.",
        )
    imported = [e.label for e in selection.evaluations if e.facts["family"] == IMPORTED_FAMILY]
    if imported:
        yield (
            "Imports",
            f"Predictions of {join_names(imported)} were made elsewhere.",
            "That they are of just these images and corrupted pixels is taken on trust; there is no attention of them.",
        )
    yield from _protocols(selection)
    counts = _non_finite_counts(con, selection)
    if counts:
        yield (
            "Numbers",
            "Some predictions are not finite numbers.",
            f"{join_names(f'{counts[id_]:,} of {label}' for id_, label in selection.labels.items() if id_ in counts)}, "
            "over all cells: they count as wrong, and are left out of confidence and calibration. Of a curve with more "
            "than 1\u00a0% of them in a cell neither shape nor cost is told.",
        )
    if not shared["paired"]:
        yield (
            "Pairing",
            "Corrupted and clean images do not pair.",
            f"{shared['pairing_note']}: drift, onset and distortion are not measured, and intervals of drops are "
            "wider.",
        )
    yield (
        "Severity",
        "Severity is an index, not a dose.",
        "A shape belongs to the recipe's spacing of its levels.",
    )
    yield (
        "Errors",
        "Corruption errors are not normalized.",
        "Dividing by AlexNet's errors is defined for ImageNet-C only.",
    )
    yield (
        "Shapes",
        "Words for shapes rest on conventions.",
        f"Stability is the share of {stored_settings(con).resamples:,} resamples of the curve with the same word; "
        "the table of shapes shows how often other thresholds give the same word.",
    )
    yield "Error rates", "A few statements may be false.", _error_rates()
    yield (
        "Attention",
        "Attention is no explanation.",
        "Grad-CAM is an account of one layer, not a cause. Without object masks it says that attention moves, not "
        "where it moves to.",
    )


def _training(selection: Selection) -> tuple[str, str]:
    """How many training runs each model or architecture has, as far as it is on record, and what follows."""
    models = trained_models(selection.evaluations)
    several = [model for model in models if model.has_several_seeds]
    seeds = f"Training seeds: {join_names(map(_seeds_of, models))}."
    if several:
        return _single_runs(models, several), (
            f"Intervals of {join_names(model.label for model in several)} as a model speak of training and of "
            "test images; those of one training run, and all shapes, of test images alone. Two to four seeds tell "
            f"little of how far others may lie apart. {seeds}"
        )
    detail = (
        "Intervals speak of the choice of test images, not of training: another seed may give other figures, and "
        f"whether an architecture is better takes several seeds of each. {seeds}"
    )
    runs = Counter((e.facts["architecture"], e.facts["training_recipe"]) for e in selection.evaluations)
    most = max(runs.values())
    if most == 1:
        return "Of each architecture there is one training run.", detail
    if any(not model.seeds for model in models):
        return "Training seeds are not stated.", detail
    return f"Of an architecture there are at most {format_count(most, 'training run')}.", detail


def _single_runs(models: list[TrainedModel], several: list[TrainedModel]) -> str:
    """Which models have one training run; where none has, the fewest runs of a model."""
    single = [model.label for model in models if not model.has_several_seeds]
    if not single:
        return f"Of each model there are at least {min(len(model.runs) for model in several)} training runs."
    if len(single) > MAX_LISTED:
        return f"Of {format_count(len(single), 'model')} there is one training run each."
    return f"Of {join_names(single)} there is one training run{' each' if len(single) > 1 else ''}."


def _seeds_of(model: TrainedModel) -> str:
    return f"{model.label} {join_names(map(str, model.seeds)) if model.seeds else 'not stated'}"


def _protocols(selection: Selection) -> Iterator[tuple[str, str, str]]:
    """What the answer was chosen among, where models have outputs that are no classes of the data set."""
    among = {
        "all": ("among all outputs of the model", "an answer outside the data set's classes counts as wrong"),
        "subset": ("among the data set's classes alone", "other outputs were left out, which makes the task easier"),
    }
    for protocol, (chosen, meaning) in among.items():
        labels = [e.label for e in selection.evaluations if e.facts["class_protocol"] == protocol]
        if labels:
            yield "Classes", f"{join_names(labels)} chose {chosen}.", f"By the study's `classes`: {meaning}."


def _subset(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    row = fetch_first(con, "select image_count from datasets where dataset_id = ?", [selection.shared["dataset_id"]])
    images, full = selection.image_count, row[0] if row else None
    seen = format_count(images, "image")
    if full is None or images >= full:
        return f"All {seen} of one split of one data set: on other data models may fail elsewhere."
    return f"{seen} of {full:,} ({format_percent(images / full, 0)}): small differences need more images."


def _non_finite_counts(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, int]:
    counts = (pl.col("value") * pl.col("n")).round().sum().cast(pl.Int64)
    rows = read_metrics(con, selection.ids, ["non_finite_share"]).group_by("evaluation_id").agg(count=counts)
    return dict(rows.filter(pl.col("count") > 0).iter_rows())
