"""Provenance: what is stored about data, models, run and settings, as names and values."""

import json
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection
from failmodes.analysis.render.formatting import format_number, format_percent, join_names
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.warehouse.database.connection import fetch_first

NameValueRows = list[tuple[str, str]]
UNKNOWN = "not stated"


def shared_provenance(con: duckdb.DuckDBPyConnection, selection: Selection) -> NameValueRows:
    """Dataset, subset, source and settings, shared by all evaluations of the selection."""
    shared, settings, made = selection.shared, stored_settings(con), selection.made_at
    data = _row(con, "datasets", "dataset_id", shared["dataset_id"])
    source = _row(con, "sources", "source_id", shared["source_id"])
    notes = con.execute(
        "select distinct note from evaluation_notes where evaluation_id = $1 and subject = 'images' order by note",
        [selection.evaluations[0].evaluation_id],
    ).fetchall()
    info = fetch_first(con, "select schema_version, failmodes_version from warehouse_info") or (UNKNOWN, UNKNOWN)
    return [
        ("Study", _text(shared["study"])),
        ("Dataset", f"{data['dataset_label']}, {data['split']} split: {data['image_count']:,} images of "
                     f"{data['height_px']} \u00d7 {data['width_px']} pixels, {data['class_count']} classes"),
        ("Note on the dataset", _text(data["note"], "none")),
        ("Images evaluated", f"{selection.image_count:,} ({shared['subset']})"),
        ("Corrupted pixels", f"{source['source_label']} ({source['source_kind']}; recipe {_text(source['recipe'])}; "
                             f"seed {_text(source['seed'])}; noise {_text(source['noise'])})"),
        ("Notes on the images", "; ".join(note for (note,) in notes) or "none"),
        ("Made with", _json_text(source["versions"])),
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
    facts = evaluation.facts
    model = _row(con, "models", "model_id", facts["model_id"])
    size = f" ({_text(model['variant'], 'as published')}), {model['parameter_count'] or 0:,} parameters"
    architecture = f"{model['architecture']}{size if model['parameter_count'] else ', predictions only'}"
    mean, deviation = (
        ", ".join(format_number(value, 4) for value in model[column] or []) for column in ("input_mean", "input_std")
    )
    normalization = f"mean ({mean}), standard deviation ({deviation})" if mean and deviation else UNKNOWN
    attention = _text(facts["attention_note"], facts["attention_method"])
    if facts["attention_layer"]:
        attention = f"{facts['attention_method']}, layer {facts['attention_layer']}"
    accuracy = model["stated_accuracy"]
    return [
        ("Architecture", architecture),
        ("Checkpoint", _text(model["checkpoint"])),
        ("Training recipe", _json_text(model["training_recipe"])),
        ("Training data and seed", f"{_text(model['training_data'])}; seed {_text(model['training_seed'])}"),
        ("Stated clean accuracy", UNKNOWN if accuracy is None else format_percent(accuracy)),
        ("Normalization", normalization),
        ("Predictions", PROTOCOLS[facts["class_protocol"]]),
        ("Precision", facts["precision"]),
        ("Attention", attention),
        *_run(con, evaluation),
        ("Identities", f"evaluation {evaluation.evaluation_id}, model {facts['model_id']}"),
    ]


def _run(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> NameValueRows:
    row = fetch_first(
        con,
        "select list(distinct device), median(images_per_s), list(distinct batch_size), max(identity_error), "
        "any_value(versions), count(*) from shards where evaluation_id = ? and table_name = 'prediction_facts'",
        [evaluation.evaluation_id],
    )
    assert row is not None, "an aggregate without groups has one row"
    devices, speed, batches, identity_error, versions, count = row
    where = join_names(sorted(filter(None, devices))) if devices else UNKNOWN
    sizes = sorted(filter(None, batches or []))
    found = [
        ("Device", f"{where}, batches of {join_names(map(str, sizes))}" if sizes else where),
        ("Speed", UNKNOWN if speed is None else f"{speed:,.0f} images per second (median of {count:,} shards)"),
        ("Libraries", _json_text(versions)),
    ]
    if identity_error is not None:
        check = f"map sum + bias = logit within {identity_error:.1e} of the logit scale"
        found.append(("Attention self-check", check))
    return found


def _row(con: duckdb.DuckDBPyConnection, name: str, key: str, value: str) -> dict[str, Any]:
    """One row of a dimension table; `name` and `key` are constants, never user input."""
    rows: pl.DataFrame = con.sql(f"from {name} where {key} = ?", params=[value]).pl()
    return rows.row(0, named=True)


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
