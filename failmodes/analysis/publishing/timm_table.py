"""Results in the CSV layout of timm: one file for clean images, others for corrupted ones and for each natural shift.

As `results/` of huggingface/pytorch-image-models has them: percent, models from the most accurate on; beside other
images than the clean ones the differences from these, in points and in places.
"""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from failmodes.analysis.evaluations.comparability import protocol_lines
from failmodes.analysis.evaluations.selection import Selection, read_metrics
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.publishing.written import Written, slug, write_files
from failmodes.analysis.statistics.difference import Measured, ModelMetrics
from failmodes.analysis.statistics.model_accuracy import mean_corrupted, rows_of, run_accuracies
from failmodes.analysis.statistics.shifts import shift_rows
from failmodes.runtime.errors import WarehouseError, printable
from failmodes.warehouse.published_layout import MAX_LETTERS, spreadsheet_text
from failmodes.warehouse.schema import CLEAN

TOP5 = "top5_accuracy"  # the metric
OF_MODELS = ("param_count", "img_size", "crop_pct", "interpolation")
COLUMNS = ("model", "top1", "top1_err", "top5", "top5_err", *OF_MODELS)
DIFFERENCES = ("top1_diff", "top5_diff", "rank_diff")


class _Scores(NamedTuple):
    """Top-1 and top-5 accuracy, 0-1; the latter None where it is not known."""

    top1: float
    top5: float | None


def write_timm(
    con: duckdb.DuckDBPyConnection, _warehouse: Path, selection: Selection, path: Path, force: bool
) -> Written:
    """Write the tables: `path` for clean images, `…-corrupted.csv` and `…-SHIFT.csv` beside it.

    Raises:
        WarehouseError: no model has clean images.
        StorageError: a file cannot be written.
    """
    clean = _of_clean(con, selection)
    if not clean:
        raise WarehouseError("these models have no clean images, which timm's tables are of")
    facts = _facts(con, selection)
    labels = {key: printable(label, MAX_LETTERS - 1).strip() for key, label in selection.labels.items()}
    texts = {path: _table(clean, facts, labels)}
    others = {"corrupted": _of_corrupted(con, selection)} | _of_shifts(con, selection)
    for name, scores in others.items():
        if scores:
            texts[path.with_name(f"{path.stem}-{slug(name)}{path.suffix}")] = _table(scores, facts, labels, clean)
    return Written(write_files(texts, force=force), tuple(protocol_lines(selection)))


def _of_clean(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, _Scores]:
    top5 = _clean_top5(con, selection.ids)
    accuracies = run_accuracies(con, selection).items()
    return {e.evaluation_id: _Scores(a.clean.value, top5.get(e.evaluation_id)) for e, a in accuracies if a.clean}


def _clean_top5(con: duckdb.DuckDBPyConnection, ids: Sequence[str]) -> dict[str, float]:
    rows = read_metrics(con, ids, [TOP5]).filter(corruption=CLEAN)
    return {key: value for key, value in rows.select("evaluation_id", "value").rows() if value is not None}


def _of_corrupted(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, _Scores]:
    """The means over corruptions and their whole severities."""
    found = {}
    for evaluation, accuracy in run_accuracies(con, selection).items():
        if accuracy.corrupted is not None:
            metrics = ModelMetrics(rows_of(con, TrainedModel(evaluation.label, (evaluation,))))
            terms = mean_corrupted(selection.averaged_cells(metrics.cells), selection.averaged)
            top5 = metrics.measure(TOP5, terms)
            found[evaluation.evaluation_id] = _Scores(
                accuracy.corrupted.value, top5.value if isinstance(top5, Measured) else None
            )
    return found


def _of_shifts(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, dict[str, _Scores]]:
    rows = shift_rows(con, selection).rows(named=True)
    top5 = _clean_top5(con, [row["evaluation_id"] for row in rows])
    found: dict[str, dict[str, _Scores]] = {}
    for row in rows:
        scores = _Scores(row["accuracy"], top5.get(row["evaluation_id"]))
        found.setdefault(row["shift"], {})[row["own_evaluation_id"]] = scores
    return found


def _facts(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, dict[str, Any]]:
    """Size and preprocessing of each model, by evaluation: millions of parameters, pixels, crop over resize."""
    rows = con.execute(
        "select evaluation_id, round(parameter_count / 1e6, 2), input_side_px, round(crop_px / resize_px, 3), "
        "interpolation from evaluations inner join models using (model_id) where evaluation_id = any(?)",
        [selection.ids],
    ).fetchall()
    return {key: dict(zip(OF_MODELS, values, strict=True)) for key, *values in rows}


def _table(
    scores: Mapping[str, _Scores], facts: Mapping[str, dict[str, Any]], labels: Mapping[str, str],
    clean: Mapping[str, _Scores] | None = None,
) -> str:  # fmt: skip
    """The CSV of some scores, from the most accurate model on; with differences from those of clean images."""
    clean = clean and {key: clean[key] for key in clean if key in scores}  # places are among the same models
    file = io.StringIO()
    columns: list[str] = [*COLUMNS, *(DIFFERENCES if clean else ())]
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    for rank, key in enumerate(_ranked(scores)):
        row = {"model": spreadsheet_text(labels[key])} | dict(_percent(scores[key])) | facts[key]
        writer.writerow(row | (_difference(scores[key], rank, clean, key) if clean else {}))
    return file.getvalue()


def _ranked(scores: Mapping[str, _Scores]) -> list[str]:
    return sorted(scores, key=lambda key: (-scores[key].top1, key))


def _percent(scores: _Scores) -> Iterator[tuple[str, str]]:
    for name, value in scores._asdict().items():
        if value is not None:
            yield from ((name, f"{100 * value:.3f}"), (f"{name}_err", f"{100 * (1 - value):.3f}"))


def _difference(scores: _Scores, rank: int, clean: Mapping[str, _Scores], key: str) -> dict[str, str]:
    if key not in clean:
        return {}
    before = clean[key].top5
    top5 = None if scores.top5 is None or before is None else scores.top5 - before
    places = _ranked(clean).index(key) - rank
    return {
        "top1_diff": _points(scores.top1 - clean[key].top1),
        "top5_diff": "" if top5 is None else _points(top5),
        "rank_diff": f"{places:+d}" if places else "0",
    }


def _points(difference: float) -> str:
    return f"{round(100 * difference, 3) + 0.0:+.3f}"  # +0.000, not -0.000
