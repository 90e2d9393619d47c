"""`failmodes status`: a study's progress, the warehouse contents and the result of all data checks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from failmodes.analysis.render.blocks import Sentence, Table, TableCell
from failmodes.analysis.render.formatting import join_names
from failmodes.runtime.errors import MissingExtraError, WarehouseError, counted
from failmodes.runtime.packages import require
from failmodes.runtime.process import limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import named, note, print_json, say, suggest
from failmodes.warehouse.cli import READING_S, TimeoutOption, WhereArgument
from failmodes.warehouse.output_files import line_width

if TYPE_CHECKING:
    from failmodes.analysis.render.blocks import Block
    from failmodes.warehouse.database.status import WarehouseStatus

# Keys of --json about a warehouse
KEYS = (
    "warehouse", "schema_version", "updated_at", "size_bytes", "row_counts", "evaluations", "shifts", "warnings",
    "checks", "out_of_date",
)  # fmt: skip
_COUNTED = {
    "prediction_facts": "predictions",
    "attention": "attention rows",
    "thumbnails": "stored clean images",
    "published_accuracy": "published accuracies",
    "stated_claims": "stated claims",
}
_TIME = "%Y-%m-%dT%H:%M:%SZ"


class EvaluationProgress(NamedTuple):
    """Progress of one evaluation: model, source of corruptions or shift, id, number of cells and missing cells."""

    model_label: str
    source_label: str
    evaluation_id: str
    cell_count: int
    missing_count: int


class StudyProgress(NamedTuple):
    """Progress of a study: its untrained models and those to download, or if there are none, its evaluations.

    Attributes:
        study_file: the file.
        name: of the study.
        untrained: labels.
        not_downloaded: the command that downloads each model that is not on this machine, by label.
        evaluations: empty if a model is untrained or not downloaded, without which its identity is unknown.
    """

    study_file: Path
    name: str
    untrained: list[str]
    not_downloaded: dict[str, str]
    evaluations: list[EvaluationProgress]

    @property
    def unfinished(self) -> str:
        """What is left to do before loading, and the command for it; empty if nothing."""
        resume = f"resume with `failmodes run {self.study_file}`"
        if count := len(self.untrained):
            return f"{counted(count, 'model')} not trained yet: {resume}"
        if count := len(self.not_downloaded):
            return f"{counted(count, 'model')} not downloaded yet: {resume}, which downloads them"
        missing = sum(evaluation.missing_count for evaluation in self.evaluations)
        return f"{counted(missing, 'shard')} not evaluated yet: {resume}" if missing else ""

    def as_json(self) -> dict[str, Any]:
        """The progress as --json prints it."""
        return {
            "name": self.name,
            "untrained": self.untrained,
            "not_downloaded": self.not_downloaded,
            "evaluations": [evaluation._asdict() for evaluation in self.evaluations],
            "unfinished": self.unfinished or None,
        }


def status(
    where: WhereArgument = None,
    full: Annotated[
        bool, typer.Option("--full", help="Run all data checks again instead of showing stored results.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the status to stdout as JSON; see the keys above.")
    ] = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Show a study's progress, the warehouse contents and the result of all data checks.

    Nothing is downloaded. The exit code is 1 if a check fails. Keys of --json: study (name, untrained, not_downloaded,
    evaluations, unfinished; null without models); and, null if there is no warehouse yet, warehouse, schema_version,
    updated_at, size_bytes, row_counts, evaluations, shifts, warnings (of their runs), checks (name, invariant, passed,
    breaking_rows) and out_of_date.
    """
    limit_command(timeout)
    from failmodes.analysis.judging.derivation import DERIVATION
    from failmodes.runtime.storage.locations import default_location, find_warehouse
    from failmodes.warehouse.database.status import warehouse_status

    where = where or default_location()
    study = _progress_or_note(where) if where.suffix == ".toml" else None
    unfinished = study.unfinished if study else ""
    progress = {"study": study.as_json() if study else None}
    path = find_warehouse(where)
    if study and not as_json:
        _print(progress_blocks(study))
    if unfinished and not path.exists():
        if as_json:
            print_json(progress | dict.fromkeys(KEYS))
        raise WarehouseError(f"no warehouse yet at {path}: {unfinished}")
    with stages_shown("status"):
        status = warehouse_status(path, full=full, derivation=DERIVATION)
    if as_json:
        print_json(progress | _as_json(path, status))
    else:
        _print([*([Sentence(unfinished)] if unfinished else []), *warehouse_blocks(path, status)])
    if not all(check.passed for check in status.checks):
        raise typer.Exit(1)
    if not as_json:
        suggest(f"failmodes {'run' if unfinished else 'report'}{named(where)}")


def _print(blocks: "Iterable[Block]") -> None:
    from failmodes.analysis.render.formats.text import render_blocks

    say(render_blocks(blocks, line_width()), end="")


def _progress_or_note(study_file: Path) -> StudyProgress | None:
    """The progress of a study; None, with a note, if a package that it needs is not installed."""
    try:
        return study_progress(study_file)
    except MissingExtraError as error:
        note(f"failmodes: {error}")  # the warehouse contents are still shown
        return None


def _as_json(path: Path, status: "WarehouseStatus") -> dict[str, Any]:
    """Contents and checks as --json prints them."""
    return {
        "warehouse": str(path),
        "schema_version": status.schema_version,
        "updated_at": status.updated_at.strftime(_TIME),
        "size_bytes": status.size_bytes,
        "row_counts": status.row_counts,
        "evaluations": [
            row
            | {"latest_at": row["latest_at"] and row["latest_at"].strftime(_TIME)}
            | {"facts": status.facts[row["evaluation_id"]]}
            for row in status.evaluations.iter_rows(named=True)
        ],
        "shifts": status.shifts.to_dicts(),
        "warnings": status.warnings.to_dicts(),
        "checks": [
            {"name": check.name, "invariant": check.invariant, "passed": check.passed, "breaking_rows": check.row_count}
            for check in status.checks
        ],
        "out_of_date": status.stale_derived,
    }


def progress_blocks(study: StudyProgress) -> Iterator["Block"]:
    """One row per evaluation; only the names of models that are not trained or not downloaded yet, if there are any."""
    if study.untrained:
        yield Sentence(f"{study.name}: not trained yet: {', '.join(study.untrained)}", "lead")
    for label, command in study.not_downloaded.items():
        yield Sentence(f"{study.name}: {label} is not downloaded: `{command}`", "lead")
    if study.untrained or study.not_downloaded:
        return
    missing = sum(evaluation.missing_count for evaluation in study.evaluations)
    cells = sum(evaluation.cell_count for evaluation in study.evaluations)
    yield Sentence(f"{study.name}: {cells - missing:,} of {cells:,} cells evaluated", "lead")
    rows = tuple(
        (row.model_label, row.source_label, row.evaluation_id, f"{row.cell_count:,}", f"{row.missing_count:,}")
        for row in study.evaluations
    )
    columns = ("model", "source", "evaluation", "cells", "missing")
    cells_of_rows = tuple(tuple(map(TableCell, row)) for row in rows)
    yield Table("Progress", "", columns, cells_of_rows, texts=("source", "evaluation"))


def warehouse_blocks(path: Path, status: "WarehouseStatus") -> Iterator["Block"]:
    """Size, evaluations, failed checks and tables that are out of date."""
    from failmodes.warehouse.metrics.duplicates import duplicates_note

    always = ("prediction_facts", "attention")
    facts = [f"{n:,} {what}" for name, what in _COUNTED.items() if (n := status.row_counts[name]) or name in always]
    yield Sentence(
        f"{path}: schema {status.schema_version}, {status.size_bytes / 1e6:,.1f} MB, {', '.join(facts)}, "
        f"last changed {status.updated_at:%Y-%m-%d %H:%M} UTC",
        "lead",
    )
    warnings = (
        f"{row['level']}: {row['model_label'] + ': ' if row['subject'] == 'model' else ''}{row['note']}"
        for row in status.warnings.iter_rows(named=True)
    )
    yield from map(Sentence, dict.fromkeys(warnings))
    evaluations = list(status.evaluations.iter_rows(named=True))
    names = ("evaluation_id", "model_label", "dataset_label", "subset", "source_label")
    rows = tuple(
        (*(TableCell(str(row[name])) for name in names[:-1]),
         TableCell(str(row["source_label"]), "" if row["paired"] else "(not paired with clean images)"),
         TableCell(f"{row['cell_count']:,}"), TableCell(f"{row['attention_cell_count']:,}"))
        for row in evaluations
    )  # fmt: skip
    texts = ("model", "dataset", "images", "source")
    yield Table("Evaluations", "", ("evaluation", *texts, "cells", "with attention"), rows, texts=texts)
    if status.shifts.height:
        shifts = tuple(
            (TableCell(row["shift"]), TableCell(row["model_label"]), TableCell(f"{row['image_count']:,}"),
             TableCell(f"{row['class_count']:,} of {row['clean_class_count']:,}"),
             TableCell("these classes" if row["restricted"] else "all classes"))
            for row in status.shifts.iter_rows(named=True)
        )  # fmt: skip
        columns = ("shift", "model", "images", "classes", "predictions among")
        yield Table("Natural shifts", "", columns, shifts, texts=("model", "predictions among"))
    yield from _protocols(status)
    notes = [
        f"{row['dataset_label']}, {row['subset']}: {note}"
        for row in evaluations
        if (note := duplicates_note(row["image_count"], row["distinct_image_count"]))
    ]
    yield from map(Sentence, dict.fromkeys(notes))
    failed = [check for check in status.checks if not check.passed]
    for check in failed:
        yield Sentence(f"FAILED {check.name}: {check.invariant} (violated by {counted(check.row_count, 'row')})")
    if status.stale_derived:
        yield Sentence(f"out of date: {', '.join(status.stale_derived)}: `failmodes load` recomputes them")
    yield Sentence(f"{len(status.checks) - len(failed)} of {len(status.checks)} checks pass")


def _protocols(status: "WarehouseStatus") -> Iterator["Block"]:
    """The protocol of each evaluation, or the nearest with each deviation: one line for the models that share it."""
    from failmodes.analysis.evaluations.comparability import protocol_words

    models: dict[str, list[str]] = {}
    for row in (*status.evaluations.iter_rows(named=True), *status.shifts.iter_rows(named=True)):
        images = row.get("shift") or row["dataset_label"]
        models.setdefault(f"{images}: {protocol_words(row)}", []).append(row["model_label"])
    for said, labels in models.items():
        is_for_all = set(labels) == {*status.evaluations["model_label"]}
        yield Sentence(f"protocol of {'' if is_for_all else f'{join_names(dict.fromkeys(labels))} on '}{said}")


def study_progress(study_file: Path) -> StudyProgress | None:
    """The progress of a study; None if its predictions are imported, so that only the warehouse shows them.

    Raises:
        MissingExtraError: the study has models, and PyTorch or another package that they need is not installed.
        StudyError: the file is not a valid study.
    """
    from failmodes.evaluate.study.study_file import read_study

    study = read_study(study_file, require_models=False)
    if not study.models:
        return None
    require("evaluate", "the progress of a study's models")
    from failmodes.evaluate.devices import choose_device
    from failmodes.evaluate.engine.plan import missing_cells, plan_evaluations
    from failmodes.evaluate.study_models import study_models
    from failmodes.ingest.datasets.layout import open_dataset

    dataset = open_dataset(study.dataset, study.cache)
    models = list(study_models(study, dataset))
    untrained = [model.label for model in models if not model.is_ready]
    not_downloaded = {model.label: command for model in models if (command := model.to_download)}
    if untrained or not_downloaded:
        return StudyProgress(study_file, study.name, untrained, not_downloaded, [])
    planned = plan_evaluations(study, dataset, choose_device(study.evaluation.device))
    evaluations = [
        EvaluationProgress(
            evaluation.model.label,
            evaluation.data.title,
            evaluation.evaluation_id,
            len(evaluation.data.cells(study)),
            len(missing_cells(study, evaluation)),
        )
        for group in planned
        for evaluation in group
    ]
    return StudyProgress(study_file, study.name, [], {}, evaluations)
