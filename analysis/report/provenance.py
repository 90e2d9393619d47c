"""How it was made: everything on record about data, networks, run and settings, as names and values."""

import json
from typing import Any

import duckdb

from failmodes.analysis.formatting import format_number, format_percent, join_names
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.shape_tables import shape_settings
from failmodes.warehouse.database.connection import fetch_first

NameValueRows = list[tuple[str, str]]

UNKNOWN = "not on record"


def shared_provenance(con: duckdb.DuckDBPyConnection, selection: Selection) -> NameValueRows:
    """Data set, subset, source and settings, which all evaluations of the selection share."""
    shared, settings = selection.shared, shape_settings(con)
    data = _row(con, "datasets", "dataset_id", shared["dataset_id"])
    source = _row(con, "sources", "source_id", shared["source_id"])
    info = fetch_first(con, "select schema_version, failmodes_version from warehouse_info") or (UNKNOWN, UNKNOWN)
    return [
        ("Study", _text(shared["study"])),
        ("Data set", f"{data['dataset_label']}, {data['split']} split: {data['image_count']:,} images of "
                     f"{data['height_px']} \u00d7 {data['width_px']} pixels, {data['class_count']} classes"),
        ("Remark on the data", _text(data["note"], "none")),
        ("Images evaluated", f"{selection.image_count:,} ({shared['subset']})"),
        ("Corrupted pixels", f"{source['source_label']} ({source['source_kind']}; recipe {_text(source['recipe'])}; "
                             f"seed {_text(source['seed'])}; draws {_text(source['draws'])})"),
        ("Made with", _versions(source["versions"])),
        ("Pairing", "each corrupted image with its clean twin" if shared["paired"] else _text(shared["pairing_note"])),
        ("Shape thresholds", f"flat below a drop of {format_percent(settings.flat_below, 0)}; late or early from a bow of "
                             f"\u00b1{settings.bow_threshold:g}"),
        ("Intervals", f"{format_percent(settings.interval_level, 0)}; {settings.resamples:,} bootstrap resamples of images, "
                      f"seed {settings.seed}: one draw for all cells and networks; accuracies: Wilson"),
        ("Evaluated", _date(selection)),
        ("Warehouse", f"schema {info[0]}, failmodes {info[1]}"),
        ("Identities", f"data set {shared['dataset_id']}, source {shared['source_id']}, subset {shared['subset_id']}"),
    ]  # fmt: skip


def network_provenance(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> NameValueRows:
    """Architecture, checkpoint, training, preprocessing, precision, attention and speed of one evaluation."""
    facts = evaluation.facts
    model = _row(con, "models", "model_id", facts["model_id"])
    return [
        ("Architecture", _architecture(model)),
        ("Checkpoint", _text(model["checkpoint"])),
        ("Training recipe", _recipe(model["training_recipe"])),
        ("Training data and seed", f"{_text(model['training_data'])}; seed {_text(model['training_seed'])}"),
        ("Stated clean accuracy", UNKNOWN if model["stated_accuracy"] is None else format_percent(model["stated_accuracy"])),
        ("Normalisation", _normalisation(model)),
        ("Precision", facts["precision"]),
        ("Attention", f"{facts['attention_method']}, layer {_text(facts['attention_layer'])}"
         if facts["attention_layer"] else _text(facts["attention_note"], facts["attention_method"])),
        *_run(con, evaluation),
        ("Identities", f"evaluation {evaluation.evaluation_id}, model {facts['model_id']}"),
    ]  # fmt: skip


def _run(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> NameValueRows:
    row = fetch_first(
        con,
        "select list(distinct device), median(images_per_s), list(distinct batch_size), max(identity_error), "
        "any_value(versions), count(*) from shards where evaluation_id = ? and table_name = 'predictions'",
        [evaluation.evaluation_id],
    )
    assert row is not None, "an aggregate without groups has one row"
    devices, speed, batches, identity_error, versions, count = row
    where = join_names(sorted(filter(None, devices or []))) if devices else UNKNOWN
    rate = UNKNOWN if speed is None else f"{speed:,.0f} images a second (median of {count:,} shards)"
    sizes = sorted(filter(None, batches or []))
    found = [
        ("Device", f"{where}, batches of {join_names(map(str, sizes))}" if sizes else where),
        ("Speed", rate),
        ("Libraries", _versions(versions)),
    ]
    if identity_error is not None:
        found.append(
            ("Self-check of attention", f"map sum + bias = logit to {identity_error:.1e} of the logits' scale")
        )
    return found


def _row(con: duckdb.DuckDBPyConnection, name: str, key: str, value: str) -> dict[str, Any]:
    """One row of a dimension; `name` and `key` are our own words."""
    rows = con.sql(f"from {name} where {key} = ?", params=[value]).pl().rows(named=True)
    return rows[0]


def _text(value: Any, otherwise: str = UNKNOWN) -> str:
    return otherwise if value is None or value == "" else str(value)


def _date(selection: Selection) -> str:
    made = selection.made_at
    return f"{made.day} {made:%B %Y, %H:%M} UTC" if made else UNKNOWN


def _architecture(model: dict[str, Any]) -> str:
    if model["parameter_count"] is None:  # predictions made elsewhere
        return f"{model['architecture']}, known by its predictions only"
    variant = _text(model["variant"], "as published")
    return f"{model['architecture']} ({variant}), {model['parameter_count']:,} parameters"


def _normalisation(model: dict[str, Any]) -> str:
    if model["input_mean"] is None or model["input_std"] is None:
        return UNKNOWN
    return f"mean {_channels(model['input_mean'])}, standard deviation {_channels(model['input_std'])}"


def _channels(values: list[float]) -> str:
    return f"({', '.join(format_number(v, 4) for v in values)})"


def _versions(text: str | None) -> str:
    return _recipe(text)


def _recipe(text: str | None) -> str:
    """A recipe or versions, kept as JSON, in words; other text as it is."""
    if not text:
        return UNKNOWN
    try:
        content = json.loads(text)
    except ValueError:
        return text
    if not isinstance(content, dict):
        return text
    return ", ".join(f"{str(k).replace('_', ' ')} {v}" for k, v in content.items()) or UNKNOWN
