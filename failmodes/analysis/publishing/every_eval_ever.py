"""Results as Every Eval Ever stores them (schema 0.3.0): one JSON for each model, a row for each metric and cell.

Its datastore files records as data/COLLECTION/DEVELOPER/MODEL/UUID.json; the UUID here follows from the results, so
that publishing them again writes the same file.
"""

from collections.abc import Iterator
from datetime import UTC
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import polars as pl

from failmodes import __version__
from failmodes.analysis.evaluations.comparability import protocol_lines, protocol_words
from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, read_metrics
from failmodes.analysis.publishing import METRICS_OF_CELLS
from failmodes.analysis.publishing.written import Written, slug, write_files
from failmodes.analysis.render.formats.json import as_json
from failmodes.runtime.errors import printable
from failmodes.warehouse.metrics.metric import Metric, known_metrics
from failmodes.warehouse.schema import CLEAN

SCHEMA = "0.3.0"
COLLECTION, UNSTATED = "failmodes", "unstated"
RANGES = {"share": (0.0, 1.0), "nats": (0.0, "Infinity")}  # by unit


def write_every_eval_ever(
    con: duckdb.DuckDBPyConnection, _warehouse: Path, selection: Selection, path: Path, force: bool,
    *, organization: str = UNSTATED,
) -> Written:  # fmt: skip
    """Write a JSON for every model below `data` in the folder `path`.

    Raises:
        StudyError, StorageError: a file cannot be written.
    """
    rows = read_metrics(con, selection.ids, METRICS_OF_CELLS)
    developer = slug(organization) or UNSTATED
    texts = {}
    for evaluation in selection.evaluations:
        record = _record(evaluation, selection, rows.filter(evaluation_id=evaluation.evaluation_id), developer)
        record["source_metadata"]["source_organization_name"] = printable(organization)
        model = record["model_info"]["id"].partition("/")[2]
        text = f"{as_json(record, indent=2)}\n"
        folder = path / "data" / COLLECTION / developer / model
        texts[folder / f"{_uuid(record)}.json"] = text
    notes = [] if organization != UNSTATED else ["name who evaluated: --organization"]
    return Written(write_files(texts, force=force), (*notes, *protocol_lines(selection)))


def _uuid(record: dict[str, Any]) -> UUID:
    """A UUID of version 4 in form, from the content."""
    return UUID(bytes=sha256(as_json(record).encode()).digest()[:16], version=4)


def _record(evaluation: EvaluationInfo, selection: Selection, rows: pl.DataFrame, developer: str) -> dict[str, Any]:
    facts = {name: printable(fact) if isinstance(fact, str) else fact for name, fact in evaluation.facts.items()}
    evaluated = evaluation.facts["evaluated_at"]
    moment = str(int(evaluated.replace(tzinfo=UTC).timestamp())) if evaluated else "0"
    model = slug(evaluation.label, evaluation.evaluation_id[:8])
    metrics = known_metrics()
    cells = rows.sort("corruption", "severity", "metric").rows(named=True)
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{slug(facts['dataset_name'])}/{developer}_{model}/{moment}",
        "evaluation_timestamp": moment,
        "retrieved_timestamp": moment,
        "source_metadata": {
            "source_name": "failmodes",
            "source_type": "evaluation_run",
            "source_organization_name": UNSTATED,
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "failmodes", "version": __version__},
        "model_info": {
            "name": printable(evaluation.label),
            "id": f"{developer}/{model}",
            "additional_details": {
                "deployment_type": "self_deployed",
                "model_availability": "unknown",
                "architecture": str(facts["architecture"]),
                "model_id": str(facts["model_id"]),
            },
        },
        "evaluation_results": list(_results(cells, metrics, facts, selection)),
    }


def _results(
    cells: list[dict[str, Any]], metrics: dict[str, Metric], facts: dict[str, Any], selection: Selection
) -> Iterator[dict[str, Any]]:
    details = {
        "subset": str(facts["subset"]),
        "protocol": protocol_words(facts),
        "dataset_id": str(facts["dataset_id"]),
        "note": str(facts["note"] or ""),
    }
    for row in cells:
        if row["value"] is None or row["corruption"] not in (CLEAN, *selection.corruptions):
            continue
        metric = metrics[row["metric"]]
        low, high = RANGES.get(metric.unit, ("-Infinity", "Infinity"))
        where = "clean" if row["corruption"] == CLEAN else f"{row['corruption']}, severity {row['severity']:g}"
        uncertainty: dict[str, Any] = {"num_samples": int(facts["image_count"])}
        if row["low"] is not None:
            uncertainty["confidence_interval"] = {"lower": row["low"], "upper": row["high"], "confidence_level": 0.95}
        pixels = {} if row["corruption"] == CLEAN else {"corrupted_pixels": str(facts["source_label"])}
        yield {
            "evaluation_result_id": f"{row['corruption']}/{row['severity']:g}/{row['metric']}",
            "evaluation_name": f"{facts['dataset_label']}, {where}",
            "source_data": {
                "dataset_name": facts["dataset_label"],
                "source_type": "other",
                "additional_details": details | pixels,
            },
            "metric_config": {
                "metric_id": row["metric"],
                "metric_name": metric.title,
                "metric_unit": {"share": "proportion"}.get(metric.unit, metric.unit),
                "lower_is_better": metric.better == "lower",
                "score_type": "continuous",
                "min_score": low,
                "max_score": high,
            },
            "score_details": {"score": row["value"], "uncertainty": uncertainty},
        }
