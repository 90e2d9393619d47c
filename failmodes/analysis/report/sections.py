"""Sections of a report: comparisons of two models, natural shifts, the gallery of exemplars, and provenance."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.charts.differences import draw
from failmodes.analysis.charts.registry import draw_selection
from failmodes.analysis.charts.style.series import model_colors
from failmodes.analysis.evaluations.comparability import protocol_words
from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.evaluations.trained_models import trained_models
from failmodes.analysis.images.collection import SERIES, changed_pictures, exemplar_images, exemplar_rows
from failmodes.analysis.images.strips import picture_strip
from failmodes.analysis.judging.compare import ChangedImages, compare_models
from failmodes.analysis.judging.compare_text import ComparisonText
from failmodes.analysis.judging.slices import judge_slices
from failmodes.analysis.judging.slices_text import slice_blocks
from failmodes.analysis.render.blocks import Block, Gallery, ImageStrip, Section, Sentence, Table, TableCell
from failmodes.analysis.render.formatting import (
    MAX_LISTED,
    REASON_MEANINGS,
    capitalize_first,
    format_count,
    format_percent,
    join_names,
)
from failmodes.analysis.report.report_charts import IN_COMPARISON, OF_SHIFTS, report_chart
from failmodes.analysis.report.report_tables import figure
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.model_accuracy import best_and_worst, lowest_first, run_accuracies
from failmodes.analysis.statistics.opened_models import OpenedModel, find_model, opened_model
from failmodes.analysis.statistics.run_rows import read_run
from failmodes.analysis.statistics.shares import BETTER_MODEL_ERROR
from failmodes.analysis.statistics.shifts import FEWEST_MODELS, classes_note, shift_rows
from failmodes.analysis.statistics.slices import SliceOptions, has_attributes
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.connection import fetch_first
from failmodes.warehouse.evaluation_facts import FACTS, PREPROCESSING, read_facts
from failmodes.warehouse.schema import CLEAN, OF_TABLE, WHOLE

MAX_SLICES = 12  # rows; `failmodes slices` lists all
MAX_PICTURES = 8  # newly incorrect images, and newly correct ones
Pair = tuple[OpenedModel, OpenedModel]
COLUMNS = ("Shift", "Model", "Accuracy", "Clean", "Gap", "Images", "Clean images")
NOTE = (
    "Accuracy under the shift and clean accuracy on the same classes in percent with exact 95% intervals; gap: clean "
    "minus shifted accuracy in points, with its 95% interval of independent samples."
)
ROBUSTNESS_NOTE = (
    " Effective robustness (Taori et al. 2020): points above the line fitted on the logits of both accuracies over the "
    f"models here, at least {FEWEST_MODELS}."
)
MAX_BYTES = 4_000_000  # of all strips of a selection; base64 adds a third
MAX_PIXELS = 2**29  # decoded, about 10 s
LOSSLESS_BYTES = 800_000  # of all stored pictures, up to which they are embedded uncompressed
MODEL, CORRUPTION, REASON = "Model", "Corruption", "Chosen as"  # filters
NO_IMAGES = (
    "No images are stored: the study has thumbnails = false, or its corrupted images do not pair with clean images."
)
ABSENT = {  # what is not measured without the metric of the key, and why
    "mean_confidence": "calibration and failure prediction{models} (no confidence)",
    "nll_nats": "log-loss, top-5 accuracy, temperature and prediction sets{models} (no logits of all classes)",
    "mean_rmse": "distortion and attention{models} (no pixels)",
}
NameValueRows = list[tuple[str, str]]
UNKNOWN = "not stated"


def pairs_by_selection(
    con: duckdb.DuckDBPyConnection, path: Path, selections: Sequence[Selection], names: Sequence[Sequence[str]] = ()
) -> list[list[Pair]]:
    """The pairs of each part of a report: those that the user named, else the only pair, or each with the baseline.

    Raises:
        StudyError: a name matches no model of this warehouse, or several; or a pair is not two names.
    """
    if not names:
        return [_usual_pairs(con, path, selection) for selection in selections]
    pairs: list[list[Pair]] = [[] for _ in selections]
    for pair in names:
        if isinstance(pair, str) or len(pair) != 2:
            raise StudyError(f"expected a pair of two model names, not {pair!r}")
        a, b = (find_model(con, path, name) for name in pair)
        places = (place for place, selection in enumerate(selections) if set(a.selection.ids) <= set(selection.ids))
        pairs[next(places, 0)].append((a, b))
    return pairs


def _usual_pairs(con: duckdb.DuckDBPyConnection, path: Path, selection: Selection) -> list[Pair]:
    """The two models of a selection; of more, each with the baseline, if there is one, as far as they share cells.

    Of many, those with the highest and the lowest mean accuracy (see `best_and_worst`).
    """
    models = trained_models(selection.evaluations)
    first, *others = models
    if len(models) > 2:
        if not first.runs[0].facts["is_baseline"]:
            return []
        rest = replace(selection, evaluations=tuple(run for model in others for run in model.runs))
        others = trained_models(best_and_worst(con, rest, MAX_LISTED).evaluations)
    a, *compared = (opened_model(con, path, model) for model in (first, *others))  # not by name, which others may share
    if not selection.corruptions:
        return [(a, b) for b in compared]
    return [(a, b) for b in compared if set(a.selection.shared_cells) & set(b.selection.shared_cells)]


def comparison_sections(
    con: duckdb.DuckDBPyConnection, selection: Selection, pair: Pair, anchor: str = "", *, is_only: bool = True
) -> tuple[Section, Section]:
    """One pair: a section with its chart and strongest sentences, and one with all results for Details.

    Args:
        con: the warehouse.
        selection: the part of the report, which determines colors.
        pair: the two models.
        anchor: of the section.
        is_only: whether it is the only comparison, whose title needs no names.

    Raises:
        StudyError: they cannot be compared; the message says why.
    """
    comparison = compare_models(*pair, level=1 - BETTER_MODEL_ERROR)
    text = ComparisonText(comparison)
    colors = model_colors(con, selection).colors
    first, *others = text.sentences  # the title of the chart is the first without its images
    opening: Block = Sentence(first)
    if comparison.corruptions:
        opening = report_chart(IN_COMPARISON, partial(draw, comparison, pair[1].selection.images, colors=colors))
    blocks: list[Block] = [Sentence(sentence, "item") for sentence in (first, *others, text.no_images) if sentence]
    changes = {"Newly incorrect": comparison.newly_incorrect, "Newly correct": comparison.newly_correct}
    for table in text.tables():
        changed = changes.get(table.caption)
        shown = _changed_images(con, text, changed) if changed else ()
        blocks.append(Section(table.caption, (table, *shown), is_folded=True))
    names = f"{text.b} with {text.a}"
    title = "Comparison" if is_only else f"Comparison: {names}"
    return (
        Section(title, (opening, *map(Sentence, others[:2])), anchor=anchor),
        Section(f"Comparison of {names}: tables and changed images", tuple(blocks), is_folded=True),
    )


def _changed_images(
    con: duckdb.DuckDBPyConnection, text: ComparisonText, changed: ChangedImages
) -> tuple[Gallery, ...]:
    """Images that change in most cells, as far as the warehouse has them."""
    images = changed.images[:MAX_PICTURES]
    is_incorrect = changed is text.comparison.newly_incorrect
    seen_by = text.comparison.b if is_incorrect else text.comparison.a  # the model whose predictions are incorrect
    # An image that changes when clean is shown under the corruption with the lowest accuracy of this model
    rows = sorted(text.comparison.corruptions, key=lambda row: (row.b if is_incorrect else row.a) or 0.0)
    worst = rows[0].corruption if rows else CLEAN
    cells = {
        image.image_id: (image.corruption if image.severity else worst or CLEAN, image.severity) for image in images
    }
    pictures, missing = changed_pictures(con, seen_by.evaluation_ids[0], cells)
    strips = [
        picture_strip(
            pictures[image.image_id],
            seen_by.label,
            f"Changes in {format_count(image.cell_count, 'cell')}; mildest: "
            f"{text.cell(image.corruption, image.severity)}",
        )
        for image in images
        if image.image_id in pictures
    ]
    note = "Images that change in most cells." + (f" No images: {missing}." if missing else "")
    return (Gallery(tuple(strips), note),) if strips or missing else ()


def shift_sections(con: duckdb.DuckDBPyConnection, selection: Selection, number: int = 1) -> list[Section]:
    """The section on natural shifts; empty without any.

    Args:
        con: the warehouse.
        selection: of the part.
        number: of the part.
    """
    rows = shift_rows(con, selection)
    if rows.is_empty():
        return []
    chart = report_chart(OF_SHIFTS, partial(draw_selection, OF_SHIFTS, con, selection))
    blocks: tuple[Block, ...] = (chart, *(Sentence(line, "note") for line in _protocols(rows)), shift_table(rows))
    return [Section("Natural shifts", blocks, anchor=f"shifts-{number}")]


def slice_sections(con: duckdb.DuckDBPyConnection, selection: Selection, number: int = 1) -> list[Section]:
    """The section of slices; none if nothing but the class is known of images, or cells show different ones."""
    paired = [run for one in selection.evaluations if (run := read_run(con, one.evaluation_id)).shares_images]
    dataset_id = selection.evaluations[0].facts["dataset_id"]
    if not paired or not has_attributes(con, dataset_id, paired[0].image_ids):
        return []
    (found,) = judge_slices(con, [selection], SliceOptions())
    return [Section("Slices", tuple(slice_blocks(found, MAX_SLICES)), anchor=f"slices-{number}")]


def shift_limitations(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """One sentence per shift whose accuracies are of some classes only."""
    return [
        f"Accuracy under {row['shift']} and its clean accuracy are of {note}: neither compares with the accuracy of "
        "the curves."
        for row in _first_rows(shift_rows(con, selection))
        if (note := _classes(row))
    ]


def shift_table(rows: pl.DataFrame) -> Table:
    """A row for each shift and model."""
    has_line = rows["effective_robustness"].drop_nulls().len() > 0
    lines = tuple(
        (
            TableCell(row["shift"], _classes(row)),
            TableCell(row["label"]),
            figure(row, "accuracy"),
            figure(row, "clean_accuracy"),
            figure(row, "gap", signed=True),
            *([figure(row, "effective_robustness", signed=True)] if has_line else []),
            TableCell(f"{row['image_count']:,}"),
            TableCell(f"{row['clean_image_count']:,}"),
        )
        for row in rows.rows(named=True)
    )
    columns = (*COLUMNS[:5], *(["Effective robustness"] if has_line else []), *COLUMNS[5:])
    return Table("Natural shifts", NOTE + ROBUSTNESS_NOTE * has_line, columns, lines, texts=("Model",))


def _protocols(rows: pl.DataFrame) -> Iterator[str]:
    """What each shift is compared with, and where that is defined."""
    for row in _first_rows(rows):
        parts = [f"compared with {row['clean']}", _classes(row), row["note"]]
        source = f" ({row['source']})" if row["source"] else ""
        yield f"{row['shift']}: {', '.join(filter(None, parts))}{source}."


def _first_rows(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """One row per shift."""
    first: list[dict[str, Any]] = rows.unique("shift", keep="first", maintain_order=True).rows(named=True)
    return first


def _classes(row: dict[str, Any]) -> str:
    return classes_note(row["class_count"], row["clean_class_count"], is_restricted=row["restricted"])


def gallery(con: duckdb.DuckDBPyConnection, selection: Selection) -> Gallery:
    """Image strips of a selection, as far as they fit: first choices first, then by accuracy drop."""
    order = lowest_first(run_accuracies(con, selection).values())
    rows = exemplar_rows(con, selection.ids, order, selection.shared["dataset_id"])
    parts = sorted(
        rows.partition_by(*SERIES, maintain_order=True),
        key=lambda part: (
            part["reason_rank"][0], order.index(part["corruption"][0]), selection.ids.index(part["evaluation_id"][0])
        ),
    )  # fmt: skip
    is_lossless = sum(map(len, rows["png"])) <= LOSSLESS_BYTES
    strips: list[ImageStrip] = []
    facts: list[tuple[str, str, str]] = []
    size = pixels = 0
    for part in parts:
        first = part.row(0, named=True)
        pixels += part.height * first["height_px"] * first["width_px"]
        if pixels > MAX_PIXELS and strips:
            break
        reason = first["reason_name"]
        labels = (selection.labels[first["evaluation_id"]], first["corruption_label"], reason)
        chosen = capitalize_first(f"{reason} ({REASON_MEANINGS[reason]})" if reason in REASON_MEANINGS else reason)
        strip = picture_strip(exemplar_images(part), labels[0], chosen, is_lossless=is_lossless)
        size += len(strip.url) * 3 // 4
        if size > MAX_BYTES and strips:
            break
        strips.append(strip)
        facts.append(labels)
    filters: dict[str, tuple[str, ...]] = dict(
        zip((MODEL, CORRUPTION, REASON), zip(*facts, strict=True), strict=bool(facts))
    )
    return Gallery(tuple(strips), _note(len(strips), len(parts), is_lossless=is_lossless), filters)


def _note(shown: int, total: int, *, is_lossless: bool) -> str:
    if not shown:
        return NO_IMAGES
    note = "Images from clean to the last severity, chosen by rule: illustrations, not evidence."
    note += "" if is_lossless else " Compressed copies."
    note += f" {shown:,} of {total:,} stored." if shown < total else ""
    return f"{note} `failmodes images` shows any other image."


def has_pixels(selection: Selection) -> bool:
    """Whether images of a selection may be shown: those of imported tables are known by name only."""
    return any(evaluation.facts["source_kind"] != OF_TABLE for evaluation in selection.evaluations)


def absent_sentence(con: duckdb.DuckDBPyConnection, selection: Selection) -> str:
    """What imported tables lack, and what is therefore not measured, in one sentence; '' if they lack nothing."""
    tables = {run.evaluation_id: run.label for run in selection.evaluations if run.facts["source_kind"] == OF_TABLE}
    parts = []
    for metric, absent in ABSENT.items():
        found = con.execute(
            "select distinct evaluation_id from cell_metrics where evaluation_id = any($1) and metric = $2",
            [list(tables), metric],
        ).fetchall()
        lacking = [label for evaluation_id, label in tables.items() if (evaluation_id,) not in found]
        models = "" if len(lacking) == len(selection.evaluations) else f" of {join_names(lacking)}"
        parts += [absent.format(models=models)] if lacking else []
    return f"Not measured: {'; '.join(parts)}." if parts else ""


def shared_provenance(con: duckdb.DuckDBPyConnection, selection: Selection) -> NameValueRows:
    """Dataset, subset, source and settings, shared by all evaluations of the selection."""
    (shared,) = read_facts(con, selection.ids[:1])
    settings = stored_settings(con)
    made = selection.made_at
    of_split = "" if shared["split"] == WHOLE else f", {shared['split']} split"
    size = "" if shared["height_px"] is None else f" of {shared['height_px']} \u00d7 {shared['width_px']} pixels"
    notes = con.execute(
        "select distinct note from evaluation_notes where evaluation_id = $1 and subject = 'images' order by note",
        [selection.evaluations[0].evaluation_id],
    ).fetchall()
    info = fetch_first(con, "select schema_version, failmodes_version from warehouse_info") or (UNKNOWN, UNKNOWN)
    return [
        ("Study", _text(shared["study"])),
        ("Dataset", f"{shared['dataset_label']}{of_split}: {shared['dataset_image_count']:,} images{size}, "
                     f"{shared['class_count']} classes"),
        ("Note on the dataset", _text(shared["note"], "none")),
        ("Images evaluated", f"{selection.image_count:,} ({shared['subset']})"),
        ("Corrupted pixels", f"{shared['source_label']} ({shared['source_kind']}; recipe {_text(shared['recipe'])}; "
                             f"seed {_text(shared['seed'])}; noise {_text(shared['noise'])})"),
        ("Notes on the images", "; ".join(note for (note,) in notes) or "none"),
        ("Made with", _json_text(shared["versions"])),
        ("Pairing", "each corrupted image with its clean image" if shared["paired"] else _text(shared["pairing_note"])),
        ("Shape thresholds", f"flat below a drop of {format_percent(settings.flat_below, 0)}; late or early from a "
                             f"curvature of \u00b1{settings.curvature_threshold:g}"),
        ("Intervals", f"{format_percent(settings.interval_level, 0)}; {settings.resamples:,} bootstrap resamples of "
                      f"images, seed {settings.seed}, shared by all cells and models; accuracies: exact "
                      "(Clopper and Pearson)"),
        ("Evaluated", f"{made.day} {made:%B %Y, %H:%M} UTC" if made else UNKNOWN),
        ("Warehouse", f"schema {info[0]}, failmodes {info[1]}"),
        ("Identities", f"dataset {shared['dataset_id']}, source {shared['source_id']}, subset {shared['subset_id']}"),
    ]  # fmt: skip


PROTOCOLS = {  # by the protocol of classes
    "all": "among all outputs of the model: one outside the dataset's classes is incorrect",
    "subset": "among the dataset's classes; other outputs are left out",
    None: "among the dataset's classes; there are no other outputs",
}


def model_provenance(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> NameValueRows:
    """Architecture, checkpoint, training, preprocessing, precision, attention and speed of one evaluation."""
    (facts,) = read_facts(con, [evaluation.evaluation_id])
    size = f" ({_text(facts['variant'], 'as published')}), {facts['parameter_count'] or 0:,} parameters"
    attention = _text(facts["attention_note"], facts["attention_method"])
    if facts["attention_layer"]:
        attention = f"{facts['attention_method']}, layer {facts['attention_layer']}"
    accuracy, speed, error = facts["stated_accuracy"], facts["images_per_s"], facts["identity_error"]
    devices, batches = (list(filter(None, facts[name] or [])) for name in ("devices", "batch_sizes"))
    sizes = f", batches of {join_names(map(str, batches))}" if batches else ""
    versions = [facts["library_versions"][0]] if facts["library_versions"] else []
    return [
        ("Architecture", f"{facts['architecture']}{size if facts['parameter_count'] else ', predictions only'}"),
        ("Checkpoint", _text(facts["checkpoint"])),
        ("Training recipe", _json_text(facts["training_recipe"])),
        ("Training data and seed", f"{_text(facts['training_data'])}; seed {_text(facts['training_seed'])}"),
        ("Stated clean accuracy", UNKNOWN if accuracy is None else format_percent(accuracy)),
        *((capitalize_first(topic), FACTS[topic].words(facts)) for topic in ("weights", *PREPROCESSING)),
        ("Protocol", protocol_words(facts)),
        ("Predictions", PROTOCOLS[facts["class_protocol"]]),
        ("Precision", facts["precision"]),
        ("Attention", attention),
        ("Device", f"{join_names(devices) if devices else UNKNOWN}{sizes}"),
        ("Speed", UNKNOWN if speed is None else f"{speed:,.0f} images per second (median of {facts['cell_count']:,} "
                                                "shards)"),
        ("Libraries", _json_text(*versions) if versions else UNKNOWN),
        *([] if error is None else [("Attention self-check",
                                     f"map sum + bias = logit within {error:.1e} of the logit scale")]),
        ("Identities", f"evaluation {evaluation.evaluation_id}, model {facts['model_id']}"),
    ]  # fmt: skip


def _text(value: Any, otherwise: str = UNKNOWN) -> str:
    return otherwise if value is None or value == "" else str(value)


def _json_text(text: str | None) -> str:
    """A training recipe or versions, stored as JSON, as names with values; other text unchanged."""
    try:
        content = json.loads(text or "{}")
    except (ValueError, RecursionError):
        content = text
    if not isinstance(content, dict):
        return text or UNKNOWN
    return ", ".join(f"{str(k).replace('_', ' ')} {v}" for k, v in content.items()) or UNKNOWN
