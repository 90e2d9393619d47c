"""Results in RobustBench's layouts: CSV with clean accuracies in a second file, and JSON for each model beside it."""

from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl

from failmodes.analysis.evaluations.comparability import protocol_lines
from failmodes.analysis.evaluations.selection import Selection, read_for_selection
from failmodes.analysis.publishing.written import Written, slug, write_files
from failmodes.analysis.render.formats.json import as_json
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.analysis.statistics.model_accuracy import normalized_errors, run_accuracies
from failmodes.ingest.corruptions.catalog import CORRUPTIONS, SEVERITIES
from failmodes.runtime.errors import WarehouseError, printable
from failmodes.warehouse.output_files import check_output
from failmodes.warehouse.published_layout import (
    CLEAN_CELL,
    KNOWN_FILES,
    MAX_LETTERS,
    PublishedModel,
    clean_file_of,
    write_published,
)

_HEADLINE = tuple(known.name for known in CORRUPTIONS.values() if known.headline)


def write_robustbench(
    con: duckdb.DuckDBPyConnection, _warehouse: Path, selection: Selection, path: Path, force: bool
) -> Written:
    """Write the accuracy of every model at every whole severity, at full precision; and its JSON, as far as defined.

    Raises:
        WarehouseError: there is no whole severity, or a model has no clean accuracy.
        StorageError: a file cannot be written.
    """
    points = read_for_selection(con, "accuracy_by_severity", selection).filter(pl.col("severity") > 0)
    whole = points.filter(pl.col("severity") % 1 == 0)
    if whole.is_empty():
        raise WarehouseError("these models have no whole severity, which RobustBench's layout needs")
    if whole["clean_accuracy"].null_count():
        raise WarehouseError("these models have no reference level: RobustBench's layout needs clean accuracies")
    shared = whole.group_by("corruption", "severity").agg(pl.len()).filter(pl.col("len") == len(selection.ids))
    if shared.is_empty():
        raise WarehouseError("these models share no cell, as one table of RobustBench needs: publish one (--model)")
    cell_count = whole.select("corruption", "severity").unique().height
    whole = whole.join(shared, on=["corruption", "severity"], how="semi", maintain_order="left")
    models = [
        _model(evaluation.label, evaluation.facts["architecture"], whole.filter(evaluation_id=evaluation.evaluation_id))
        for evaluation in selection.evaluations
    ]
    notes = list(protocol_lines(selection))
    if others := cell_count - shared.height:
        notes.append(f"not included, since not all models have them: {format_count(others, 'cell')}")
    if left_out := points.filter(pl.col("severity") % 1 != 0).select("corruption", "severity").unique().height:
        corruptions = join_names(points.filter(pl.col("severity") % 1 != 0)["corruption"].unique().sort())
        counted = format_count(left_out, "cell")
        notes.append(f"not included, since the layout has whole severities only: {counted} of {corruptions}")
    texts, why = _model_info(con, selection, path)
    for file in texts:
        check_output(file, (".json",), force=force)
    write_published(path, models, force=force)
    paths = (path, clean_file_of(path), *write_files(texts, force=force))
    return Written(paths, (*notes, why))


def _model_info(con: duckdb.DuckDBPyConnection, selection: Selection, path: Path) -> tuple[dict[Path, str], str]:
    """The JSON of each model, as `model_info/` of RobustBench has it, by path; and what it lacks."""
    dataset = selection.shared["dataset_name"]
    cells = {(name, float(severity)) for name in _HEADLINE for severity in SEVERITIES}
    if dataset not in KNOWN_FILES or not cells <= set(selection.shared_cells):
        sets = join_names(KNOWN_FILES.values())
        return {}, f"no JSON of RobustBench, which is of {sets} under all {len(_HEADLINE)} corruptions and severities"
    errors = normalized_errors(con, selection)
    texts = {}
    for evaluation, accuracy in run_accuracies(con, selection).items():
        assert accuracy.clean is not None, "checked above"
        assert accuracy.corrupted is not None, "all cells are shared"
        mce = errors.get(evaluation.evaluation_id, (None, ""))[0]
        content = {
            "link": None, "name": _one_line(evaluation.label), "authors": None, "additional_data": None,
            "number_forward_passes": 1, "dataset": dataset, "venue": None,
            "architecture": _one_line(evaluation.facts["architecture"]), "eps": None,
            "clean_acc": f"{100 * accuracy.clean.value:.2f}", "reported": None,
            "corruptions_acc": f"{100 * accuracy.corrupted.value:.2f}",
            **({} if mce is None else {"corruptions_mce": f"{100 * mce:.2f}"}),
        }  # fmt: skip
        name = slug(evaluation.label, evaluation.evaluation_id[:8])
        texts[path.with_name(f"{path.stem}-{name}.json")] = f"{as_json(content, indent=2)}\n"
    return texts, "fill in link, authors, venue and additional_data of the JSON"


def _model(label: str, architecture: str, points: pl.DataFrame) -> PublishedModel:
    ordered = points.sort("corruption_order", "corruption", "severity")
    cells = ordered.select("corruption", "severity", "accuracy").rows()
    accuracies = {CLEAN_CELL: float(ordered["clean_accuracy"][0])}
    accuracies |= {(corruption, Decimal(int(severity))): float(value) for corruption, severity, value in cells}
    return PublishedModel(_one_line(label), accuracies, _one_line(architecture))


def _one_line(text: str) -> str:
    """A text on one line, within the limit of the layout."""
    return printable(text, MAX_LETTERS - 1).strip()
