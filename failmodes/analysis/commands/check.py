"""`failmodes check`: whether models reproduce their published rows, and under which protocol."""

from pathlib import Path
from typing import Annotated

import typer

from failmodes.analysis.render.documents import format_names, print_document, suffixes_of, write
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.process import errors_exit_with, limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.storage.locations import find_warehouse
from failmodes.runtime.terminal import finish_output, say
from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result

NOT_REPRODUCED, NOT_COMPARABLE = 1, 3  # exit codes


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
        from failmodes.analysis.judging.published_check import check_published, published_files
        from failmodes.analysis.results.published_checks import PublishedChecks

        if not published:
            raise StudyError("check: expected --published with a file of published accuracies, robustbench or timm")
        check_result(output, suffixes_of(format), force=force)
        warehouse = find_warehouse(where)
        with stages_shown("check"):
            files = [file for name in published for file in published_files(name, warehouse.parent)]
            checks = PublishedChecks(check_published(warehouse, files, models=model or (), row=row))
            document = checks.document
        if output is not None and output != STDOUT:
            say(printable(str(write(document, output, format, force=force))))
        else:
            print_document(document, format or "text")
        finish_output()
    outcomes = {checked.outcome for checked in checks}
    raise typer.Exit(
        NOT_REPRODUCED if "not reproduced" in outcomes else NOT_COMPARABLE if "not comparable" in outcomes else 0
    )
