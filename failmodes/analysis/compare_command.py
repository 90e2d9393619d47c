"""The command that compares two models."""

from pathlib import Path
from typing import Annotated

import typer

from failmodes.analysis.render.documents import format_names
from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.completion import complete_corruption, complete_model
from failmodes.warehouse.errors import printable
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result
from failmodes.warehouse.process import limit_command
from failmodes.warehouse.progress import stages_shown
from failmodes.warehouse.terminal import named, say, suggest


def compare(
    a: Annotated[
        str,
        typer.Argument(
            help="Baseline model: a label, a label without its training seed (all its runs), the first letters of an "
            "evaluation ID, an architecture that only it has; or FILE.duckdb, or FILE.duckdb::LABEL.",
            autocompletion=complete_model,
        ),
    ],
    b: Annotated[
        str,
        typer.Argument(
            help="Candidate model (same naming rules). Differences are candidate − baseline.",
            autocompletion=complete_model,
        ),
    ],
    where: Annotated[
        Path | None,
        typer.Argument(
            metavar="WAREHOUSE",
            help="A study file, an output folder or a .duckdb file; not where A and B name their files.",
        ),
    ] = None,
    format: Annotated[
        str | None,
        typer.Option(
            help="text by default, or by the suffix of the file; markdown is for pull requests.",
            metavar="|".join(format_names()),
            autocompletion=format_names,
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
        typer.Option(
            "--output", "-o", help="File to write, .txt, .json, .md, .html or .xml; stdout by default or with -."
        ),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Compare a candidate model B with a baseline A: which is more accurate, by how much, and where.

    Tests whether B is at most the margin worse, and estimates how many images would decide it if that is inconclusive.
    Models evaluated on the same images are compared image by image.
    """
    limit_command(timeout)
    from failmodes.analysis.comparison_result import ComparisonResult
    from failmodes.analysis.judging.compare import compare_named
    from failmodes.analysis.render.documents import print_document, suffixes_of, write
    from failmodes.warehouse.metrics.custom import named_metrics

    check_result(output, suffixes_of(format), force=force)
    with stages_shown("compare"):
        metrics = named_metrics(metric or [], where)
        found = compare_named(a, b, where, margin=margin, level=level, corruptions=corruption or (), metrics=metrics)
        document = ComparisonResult(found).document
    if output not in (None, STDOUT):
        say(printable(str(write(document, output, format, force=force))))
        return
    print_document(document, format or "text")
    if format in (None, "text") and output is None:
        suggest("failmodes gate --help" if where is None else f"failmodes chart differences{named(where)}")
