"""The command that compares two models."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.completion import complete_corruption, complete_model
from failmodes.warehouse.errors import printable
from failmodes.warehouse.limits import limit_command
from failmodes.warehouse.progress import stages_shown
from failmodes.warehouse.result_output import STDOUT, ForceOption, check_result
from failmodes.warehouse.terminal import named, say, stdout_console, suggest

USUAL_WIDTH = 80  # letters of a line where output goes to a file


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="What is compared with: a label, a label without its training seed (all its runs), an evaluation by "
            "its first letters, an architecture that it alone has; or FILE.duckdb, or FILE.duckdb::LABEL.",
            autocompletion=complete_model,
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(help="What is compared, named alike; differences are B minus A.", autocompletion=complete_model),
    ],
    where: Annotated[
        Path | None,
        typer.Argument(
            metavar="WAREHOUSE",
            help="A study file, an output folder or a .duckdb file; not where A and B name their files.",
        ),
    ] = None,
    format: Annotated[
        Literal["text", "json", "markdown"] | None,
        typer.Option(
            help="text by default, or what the file's name says; markdown is short enough for a pull request."
        ),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Difference of mean corrupted accuracy that would matter: 0.01 is a point.")
    ] = 0.01,
    level: Annotated[float, typer.Option(help="Level of intervals and decisions, 0.5 to 0.999.")] = 0.95,
    corruption: Annotated[
        list[str] | None,
        typer.Option(help="Only under this corruption; may be repeated.", autocompletion=complete_corruption),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="Compare this metric too, by name, or those of a Python file of your own; may be repeated."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=".txt, .json or .md file to write; without it, or with -, stdout."),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Compare two models, B with A: which is right more often, by how much, where; image by image if they can.

    Says whether B is shown to be worse by no more than the margin, and about how many images would decide it if not.
    """
    limit_command(timeout)
    from failmodes.analysis.judging.compare import compare_named
    from failmodes.analysis.judging.compare_formats import FORMATS, as_text, suffixes_of, write_comparison
    from failmodes.warehouse.metrics.custom import named_metrics

    check_result(output, suffixes_of(format), force=force)
    with stages_shown("compare"):
        metrics = named_metrics(metric or [], where)
        found = compare_named(a, b, where, margin=margin, level=level, corruptions=corruption or (), metrics=metrics)
    if output not in (None, STDOUT):
        say(printable(str(write_comparison(found, output, format, force=force))))
    elif format in (None, "text") and output is None:
        console = stdout_console()
        say(as_text(found, console.width if console.is_terminal else USUAL_WIDTH), end="")
        suggest("failmodes gate --help" if where is None else f"failmodes chart differences{named(where)}")
    else:
        say(FORMATS[format or "text"](found), end="")
