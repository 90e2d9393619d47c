"""Model card snippet for the Hugging Face hub: metadata in YAML (`model-index`) and tables in Markdown."""

from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.evaluations.comparability import protocol_words
from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, averaged_severities, read_for_selection
from failmodes.analysis.publishing.written import Written
from failmodes.analysis.render.blocks import Table, TableCell
from failmodes.analysis.render.formats.json import as_json
from failmodes.analysis.render.formats.markdown import escape, table_lines
from failmodes.analysis.render.formatting import format_interval, format_number, format_severity, join_names
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import MeanAccuracy, run_accuracies
from failmodes.runtime.errors import printable
from failmodes.warehouse.evaluation_facts import stated
from failmodes.warehouse.output_files import write_output

DIGITS = 4  # of shares 0-1
TASK = {"type": "image-classification", "name": "Image classification"}


def write_model_card(
    con: duckdb.DuckDBPyConnection, _warehouse: Path, selection: Selection, path: Path, force: bool
) -> Written:
    """Write clean and corrupted accuracy of every model with intervals, images and data source.

    Raises:
        StorageError: the file cannot be written.
    """
    means = run_accuracies(con, selection)
    level = stored_settings(con).interval_level
    points = read_for_selection(con, "accuracy_by_severity", selection)
    labels = points.select("corruption", "corruption_label").unique().rows()
    names = {corruption: printable(label) for corruption, label in labels}
    severities = join_names(map(format_severity, averaged_severities(selection.severities)))
    index = [_index_entry(selection, e, accuracy, names, severities, level) for e, accuracy in means.items()]
    lines = ["---", "model-index:", indent(as_json(index, indent=2), "  "), "---", ""]  # JSON is YAML
    for evaluation, accuracy in means.items():
        lines += [*_table(selection, evaluation, accuracy, points, names, severities, level), ""]
    write_output(path, "\n".join(lines).encode(), (".md",), force=force)
    merge = "merge its metadata into the metadata of your card: a card has one block between --- lines"
    return Written((path,), (merge,))


def _index_entry(
    selection: Selection, evaluation: EvaluationInfo, accuracy: MeanAccuracy, names: dict[str, str], severities: str,
    level: float,
) -> dict[str, Any]:  # fmt: skip
    """One model of `model-index`: a result on clean and one on corrupted images."""
    facts = {name: printable(fact) if isinstance(fact, str) else fact for name, fact in evaluation.facts.items()}
    args: dict[str, Any] = {"images": facts["image_count"], "subset": facts["subset"]}
    if facts["protocol"]:
        args |= {"protocol": facts["protocol"], "deviations": list(map(printable, facts["deviations"] or []))}
    args |= {"note": facts["note"]} if facts["note"] else {}
    args |= {topic: printable(words) for topic, words in stated(facts).items()}
    clean = {"type": facts["dataset_name"], "name": f"{facts['dataset_label']}, clean", "args": args}
    corrupted = {
        "type": facts["dataset_name"],
        "name": f"{facts['dataset_label']}, corrupted",
        "args": args | {"corruptions": facts["source_label"], "severities": severities},
    }
    on_clean = [] if accuracy.clean is None else [_metric("accuracy", accuracy.clean, level)]
    metrics = []
    if accuracy.corrupted is not None:
        metrics.append(_metric(f"mean accuracy over {selection.averaged_phrase}", accuracy.corrupted, level))
    metrics += [
        _metric(f"accuracy, {names[corruption]}", value, level) for corruption, value in _ordered(accuracy, names)
    ]
    return {
        "name": printable(evaluation.label),
        "results": [
            {"task": TASK, "dataset": dataset, "metrics": measured}
            for dataset, measured in ((clean, on_clean), (corrupted, metrics))
            if measured
        ],
    }


def _metric(name: str, estimate: Estimate, level: float) -> dict[str, Any]:
    interval = {"interval_low": round(estimate.low, DIGITS), "interval_high": round(estimate.high, DIGITS)}
    args = interval | {"interval_level": level}
    return {"type": "accuracy", "name": name, "value": round(estimate.value, DIGITS), "args": args}


def _ordered(accuracy: MeanAccuracy, names: dict[str, str]) -> list[tuple[str, Estimate]]:
    """Corruptions by mean accuracy, lowest first."""
    return sorted(accuracy.by_corruption.items(), key=lambda item: (item[1].value, names[item[0]]))


def _table(
    selection: Selection, evaluation: EvaluationInfo, accuracy: MeanAccuracy, points: pl.DataFrame,
    names: dict[str, str], severities: str, level: float,
) -> Iterator[str]:  # fmt: skip
    """Heading, table, and the data behind it."""
    last = points.filter(evaluation_id=evaluation.evaluation_id).sort("severity")
    rows = [] if accuracy.clean is None else [("clean", _shown(accuracy.clean), "")]
    for corruption, value in _ordered(accuracy, names):
        row = last.filter(corruption=corruption).row(-1, named=True)
        at_last = _shown(Estimate(row["accuracy"], row["accuracy_low"], row["accuracy_high"]))
        rows.append((names[corruption], _shown(value), f"{at_last} at {format_severity(row['severity'])}"))
    if accuracy.corrupted is not None:
        rows.append((f"mean over {selection.averaged_phrase}", _shown(accuracy.corrupted), ""))
    columns = ("images", f"mean over severities {severities}, %", "at the last severity, %")
    yield f"### Accuracy of {escape(evaluation.label)} under corruption"
    yield ""
    yield from table_lines(Table("", "", columns, tuple(tuple(map(TableCell, row)) for row in rows)))
    yield ""
    source = escape(" ".join([selection.source_line.removeprefix("Data: "), *selection.uneven]).rstrip("."))
    yield (
        f"{100 * level:g}% intervals over {evaluation.facts['image_count']:,} images in brackets. Data: {source}. "
        f"Protocol: {escape(protocol_words(evaluation.facts))}. Not comparable with results of another protocol."
    )


def _shown(estimate: Estimate) -> str:
    return f"{format_number(100 * estimate.value)} {format_interval(estimate.low, estimate.high)}"
