"""`failmodes status`: the progress of a study, the contents of its warehouse, and the result of all data checks."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from failmodes.analysis.render.blocks import Cell, Sentence, Table
from failmodes.warehouse.cli import READING_S, TimeoutOption, WhereArgument
from failmodes.warehouse.errors import MissingExtraError, WarehouseError
from failmodes.warehouse.output_files import line_width
from failmodes.warehouse.process import limit_command
from failmodes.warehouse.progress import stages_shown
from failmodes.warehouse.terminal import named, note, print_json, say, suggest

if TYPE_CHECKING:
    from failmodes.analysis.render.blocks import Block
    from failmodes.evaluate.study_progress import StudyProgress
    from failmodes.warehouse.database.status import WarehouseStatus

# Keys of --json of a warehouse
KEYS = (
    "warehouse", "schema_version", "updated_at", "size_bytes", "row_counts", "evaluations", "warnings", "checks",
    "out_of_date",
)  # fmt: skip
_COUNTED = {
    "prediction_facts": "predictions",
    "attention": "attention rows",
    "thumbnails": "stored clean images",
    "published_accuracy": "published accuracies",
    "stated_claims": "stated claims",
}
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def status(
    where: WhereArgument = None,
    full: Annotated[bool, typer.Option("--full", help="Check every row again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print it to stdout as JSON.")] = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Show a study's progress, the warehouse contents and the result of all data checks.

    The exit code is 1 where a check fails. Keys of --json: study (name, untrained, evaluations, unfinished; null
    without models); and, null where no warehouse is there yet, warehouse, schema_version, updated_at, size_bytes,
    row_counts, evaluations, warnings (of their runs), checks (name, invariant, passed, breaking_rows) and out_of_date.
    """
    limit_command(timeout)
    from failmodes.analysis.judging.stored import DERIVATION
    from failmodes.warehouse.database.status import warehouse_status
    from failmodes.warehouse.storage.locations import default_location, find_warehouse

    where = where or default_location()
    study = _study_progress(where) if where.suffix == ".toml" else None
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
        found = warehouse_status(path, full=full, derivation=DERIVATION)
    if as_json:
        print_json(progress | _as_json(path, found))
    else:
        _print([*([Sentence(unfinished)] if unfinished else []), *warehouse_blocks(path, found)])
    if not all(check.passed for check in found.checks):
        raise typer.Exit(1)
    if not as_json:
        suggest(f"failmodes {'run' if unfinished else 'report'}{named(where)}")


def _print(blocks: "Iterable[Block]") -> None:
    from failmodes.analysis.render.formats.text import render_blocks

    say(render_blocks(blocks, line_width()), end="")


def _study_progress(study_file: Path) -> "StudyProgress | None":
    """The progress of a study; None, with a note, where that takes packages that are not installed."""
    from failmodes.evaluate.study_progress import study_progress

    try:
        return study_progress(study_file)
    except MissingExtraError as error:
        note(f"failmodes: {error}")  # what the warehouse holds is shown all the same
        return None


def _as_json(path: Path, status: "WarehouseStatus") -> dict[str, Any]:
    """Contents and checks by the keys that the help names."""
    return {
        "warehouse": str(path),
        "schema_version": status.schema_version,
        "updated_at": status.updated_at.strftime(_TIME),
        "size_bytes": status.size_bytes,
        "row_counts": status.row_counts,
        "evaluations": [
            row | {"latest_at": row["latest_at"] and row["latest_at"].strftime(_TIME)}
            for row in status.evaluations.iter_rows(named=True)
        ],
        "warnings": status.warnings.to_dicts(),
        "checks": [
            {"name": one.name, "invariant": one.invariant, "passed": one.passed, "breaking_rows": one.row_count}
            for one in status.checks
        ],
        "out_of_date": status.stale_derived,
    }


def progress_blocks(study: "StudyProgress") -> Iterator["Block"]:
    """A row an evaluation; of models that are not trained yet only the names."""
    if study.untrained:
        yield Sentence(f"{study.name}: not trained yet: {', '.join(study.untrained)}", "lead")
        return
    missing = sum(one.missing_count for one in study.evaluations)
    cells = sum(one.cell_count for one in study.evaluations)
    yield Sentence(f"{study.name}: {cells - missing:,} of {cells:,} cells evaluated", "lead")
    rows = tuple(
        (Cell(one.model_label), Cell(one.source_label), Cell(one.evaluation_id), Cell(f"{one.cell_count:,}"),
         Cell(f"{one.missing_count:,}"))
        for one in study.evaluations
    )  # fmt: skip
    columns = ("model", "source", "evaluation", "cells", "missing")
    yield Table("Progress", "", columns, rows, texts=("source", "evaluation"))


def warehouse_blocks(path: Path, status: "WarehouseStatus") -> Iterator["Block"]:
    """Size, evaluations, checks that fail and tables that are out of date."""
    from failmodes.warehouse.metrics.duplicates import duplicates_note

    always = ("prediction_facts", "attention")
    facts = [f"{n:,} {what}" for name, what in _COUNTED.items() if (n := status.row_counts[name]) or name in always]
    yield Sentence(
        f"{path}: schema {status.schema_version}, {status.size_bytes / 1e6:,.1f} MB, {', '.join(facts)}, "
        f"last changed {status.updated_at:%Y-%m-%d %H:%M} UTC",
        "lead",
    )
    warnings = (
        f"warning: {row['model_label'] + ': ' if row['subject'] == 'model' else ''}{row['note']}"
        for row in status.warnings.iter_rows(named=True)
    )
    yield from map(Sentence, dict.fromkeys(warnings))
    evaluations = list(status.evaluations.iter_rows(named=True))
    names = ("evaluation_id", "model_label", "dataset_label", "subset", "source_label")
    rows = tuple(
        (*(Cell(str(row[name])) for name in names[:-1]),
         Cell(str(row["source_label"]), "" if row["paired"] else "(not paired with clean images)"),
         Cell(f"{row['cell_count']:,}"), Cell(f"{row['attention_cell_count']:,}"))
        for row in evaluations
    )  # fmt: skip
    texts = ("model", "dataset", "images", "source")
    yield Table("Evaluations", "", ("evaluation", *texts, "cells", "with attention"), rows, texts=texts)
    notes = [
        f"{row['dataset_label']}, {row['subset']}: {note}"
        for row in evaluations
        if (note := duplicates_note(row["image_count"], row["distinct_image_count"]))
    ]
    yield from map(Sentence, dict.fromkeys(notes))
    failed = [check for check in status.checks if not check.passed]
    for check in failed:
        yield Sentence(f"BROKEN {check.name}: {check.invariant} ({check.row_count:,} rows break it)")
    if status.stale_derived:
        yield Sentence(f"out of date: {', '.join(status.stale_derived)}: `failmodes load` recomputes them")
    yield Sentence(f"{len(status.checks) - len(failed)} of {len(status.checks)} checks pass")
