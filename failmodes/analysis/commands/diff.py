"""`failmodes diff`: why two numbers differ."""

from pathlib import Path
from typing import Annotated

import typer

from failmodes.analysis.render.documents import format_names, print_document, suffixes_of, write
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.process import errors_exit_with, limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import finish_output, say
from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result

EXIT_CODES = {"equal": 0, "differs": 1, "not comparable": 3}


def diff(
    a: Annotated[
        str,
        typer.Argument(
            help="First number: a label or the start of an evaluation ID; FILE.duckdb or FILE.duckdb::LABEL; or a "
            "published row: robustbench:NAME, timm:NAME, FILE.csv::NAME.",
            autocompletion=complete_model,
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            help="Second number (same naming rules). Differences are second − first.", autocompletion=complete_model
        ),
    ],
    where: Annotated[
        Path | None,
        typer.Argument(help="Study file, output folder or .duckdb file; not needed if the names have files."),
    ] = None,
    extras: Annotated[
        bool, typer.Option("--extras", help="Average corruptions outside the 15 headline ones too, where evaluated.")
    ] = False,
    format: Annotated[
        str | None,
        typer.Option(
            help="Default: text, or the format of the file suffix.",
            metavar="|".join(format_names()),
            autocompletion=format_names,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Output file: .txt, .json, .md, .html or .xml. Default: stdout (-)."
        ),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Explain why two numbers differ: images, cells, average, labels, classes, or predictions, and what changed these.

    \b
    Exit codes:
      0  the numbers, and all predictions on the same images, are equal
      1  they differ
      3  they cannot be compared: no image, or no corruption and severity, is in both
      2  invalid arguments or files

    The parts add up to the difference. A fact that was not recorded is unknown, and is never named as a cause.
    """  # noqa: D301  # a literal \b tells Click to keep line breaks
    with errors_exit_with(StudyError.exit_code):  # exit code 1 means only that the numbers differ
        limit_command(timeout)
        from failmodes.analysis.judging.diff import diff_named
        from failmodes.analysis.results.diff import DiffResult

        check_result(output, suffixes_of(format), force=force)
        with stages_shown("diff"):
            result = diff_named(a, b, where, extras=extras)
            document = DiffResult(result).document
        if output is not None and output != STDOUT:
            say(printable(str(write(document, output, format, force=force))))
        else:
            print_document(document, format or "text")
        finish_output()
    raise typer.Exit(EXIT_CODES[result.outcome])
