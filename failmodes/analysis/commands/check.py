"""`failmodes check`: whether models reproduce their published rows, and under which protocol."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from failmodes.analysis.render.blocks import Block, Document, Section, Sentence, Table, TableCell
from failmodes.analysis.render.documents import format_names, print_document, suffixes_of, write
from failmodes.analysis.render.formatting import format_count, format_interval
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.process import errors_exit_with, limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.storage.locations import find_warehouse
from failmodes.runtime.terminal import finish_output, say
from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result

if TYPE_CHECKING:
    from failmodes.analysis.judging.published_check import CheckedNumber, PublishedCheck

NOT_REPRODUCED, NOT_COMPARABLE = 1, 3  # exit codes
VERBS = {
    "reproduced": "reproduces",
    "not reproduced": "does not reproduce",
    "not comparable": "cannot be compared with",
}
COLUMNS = ("number", "measured, %", "published, %", "within the interval")


def check(
    where: Annotated[
        Path | None,
        typer.Argument(help="Study file, output folder or .duckdb file. Default: study.toml or warehouse.duckdb here."),
    ] = None,
    published: Annotated[
        list[str] | None,
        typer.Option(
            "--published",
            metavar="FILE",
            help="Published accuracies: RobustBench's CSV or JSON, timm's results-*.csv, or robustbench or timm, which "
            "are downloaded. Repeatable.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this model, by label. Repeatable.", autocompletion=complete_model),
    ] = None,
    row: Annotated[str | None, typer.Option(metavar="NAME", help="Published row. Default: that of the model.")] = None,
    format: Annotated[
        str | None,
        typer.Option(help="Default: text, or the format of the file suffix.", metavar="|".join(format_names())),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Output file: .txt, .json, .md or .html. Default: stdout."),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Check whether models reproduce their published rows, cell by cell, and under which protocol.

    \b
    Exit codes:
      0  every number is within its interval
      1  a number is not
      3  the protocols differ: nothing is shown either way
      2  invalid arguments or files

    A row belongs to the model with its name as label, architecture or checkpoint.
    """  # noqa: D301  # a literal \b tells Click to keep line breaks
    with errors_exit_with(StudyError.exit_code):  # exit code 1 means only that a number is not reproduced
        limit_command(timeout)
        from failmodes.analysis.judging.published_check import check_published

        if not published:
            raise StudyError("check: expected --published with a file of published accuracies, robustbench or timm")
        check_result(output, suffixes_of(format), force=force)
        warehouse = find_warehouse(where)
        with stages_shown("check"):
            files = [file for name in published for file in published_files(name, warehouse.parent)]
            checks = check_published(warehouse, files, models=model or (), row=row)
            document = check_document(checks)
        if output is not None and output != STDOUT:
            say(printable(str(write(document, output, format, force=force))))
        else:
            print_document(document, format or "text")
        finish_output()
    outcomes = {checked.outcome for checked in checks}
    raise typer.Exit(
        NOT_REPRODUCED if "not reproduced" in outcomes else NOT_COMPARABLE if "not comparable" in outcomes else 0
    )


def published_files(name: str, folder: Path) -> list[Path]:
    """The files of published accuracies of a name; those of robustbench and timm are downloaded into a folder.

    Raises:
        DownloadError: they cannot be downloaded; the message says where they are published.
    """
    from failmodes.ingest.downloads import PUBLISHED_ACCURACIES, download_dataset

    if name not in PUBLISHED_ACCURACIES:
        return [Path(name)]
    return sorted(file for file in download_dataset(name, folder / "published").iterdir() if file.suffix == ".csv")


def check_document(checks: "Sequence[PublishedCheck]") -> Document:
    """The checks for all output formats."""
    blocks = [block for checked in checks for block in _blocks(checked)]
    return Document("Published rows", tuple(blocks), {"checks": [_data(checked) for checked in checks]})


def _blocks(checked: "PublishedCheck") -> Iterator[Block]:
    cells = [number for number in checked.numbers if number.cell is not None]
    averages = [number for number in checked.numbers if number.cell is None]
    within = sum(number.is_reproduced for number in cells)
    counted = f": {within:,} of {format_count(len(cells), 'cell')} within their intervals" if cells else ""
    label = checked.evaluation.label
    yield Sentence(f"{label} {VERBS[checked.outcome]} {checked.row} ({checked.published_set}){counted}.", "lead")
    yield Sentence(f"Protocol of {label}: {checked.protocol}.", "item")
    if checked.differences is None:
        yield Sentence(f"No registered protocol is called {checked.published_set}: its own is unknown.", "item")
    elif checked.differences:
        yield Sentence(f"It differs from the protocol of the row in {'; '.join(checked.differences)}.", "item")
    if checked.omitted:
        cells_text = format_count(len(checked.omitted), "published cell")
        yield Sentence(f"Not evaluated, and in no average: {cells_text}.", "item")
    if averages:
        yield Table("Averages", "95% intervals over images.", COLUMNS, tuple(map(_line, averages)))
    note = "95% intervals that hold for all cells together."
    if cells:
        yield Section("Cells", (Table("Cells", note, COLUMNS, tuple(map(_line, cells))),), is_folded=True)


def _line(number: "CheckedNumber") -> tuple[TableCell, ...]:
    measured = number.measured
    return (
        TableCell(number.name),
        TableCell(f"{100 * measured.value:.2f}", format_interval(measured.low, measured.high)),
        TableCell(f"{100 * number.published:.2f}"),
        TableCell("yes" if number.is_reproduced else "no"),
    )


def _data(checked: "PublishedCheck") -> dict[str, Any]:
    return {
        "model": checked.evaluation.label,
        "evaluation_id": checked.evaluation.evaluation_id,
        "published_set": checked.published_set,
        "row": checked.row,
        "outcome": checked.outcome,
        "protocol": checked.evaluation.facts["protocol"],
        "deviations": checked.evaluation.facts["deviations"],
        "differences": None if checked.differences is None else list(checked.differences),
        "omitted_cells": [{"corruption": corruption, "severity": level} for corruption, level in checked.omitted],
        "numbers": [
            {
                "name": number.name,
                "corruption": number.cell and number.cell[0],
                "severity": number.cell and number.cell[1],
                "measured": number.measured.value,
                "low": number.measured.low,
                "high": number.measured.high,
                "published": number.published,
                "is_reproduced": number.is_reproduced,
            }
            for number in checked.numbers
        ],
    }
