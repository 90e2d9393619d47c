"""The command that writes results as others read them."""

from typing import Annotated, Literal

import typer

from failmodes.analysis.warehouse_options import named
from failmodes.warehouse.cli import READING_S, TimeoutOption, WhereArgument
from failmodes.warehouse.errors import printable
from failmodes.warehouse.limits import limit_command
from failmodes.warehouse.stages import stages_shown
from failmodes.warehouse.terminal import remark, suggest


def publish(
    where: WhereArgument = None,
    output_format: Annotated[
        Literal["robustbench", "croissant", "model-card"],
        typer.Option(
            "--format",
            help="robustbench: a CSV of accuracies by corruption and severity, clean ones beside it; croissant: a "
            "description (JSON-LD) of warehouse and record; model-card: metadata and tables for Hugging Face.",
        ),
    ] = "robustbench",
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="File to write; by default one beside the warehouse."),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this network, by its label; may be repeated.")
    ] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option("--evaluation", help="Only this evaluation, by its identity.")
    ] = None,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Write your results as others read them: RobustBench's table, a Croissant description, a model card's snippet."""
    limit_command(timeout)
    from failmodes.analysis.publishing.formats import publish_results
    from failmodes.warehouse.storage.locations import find_warehouse

    with stages_shown("publish"):
        written = publish_results(
            find_warehouse(where), output_format, output, models=model or (), evaluations=evaluation or ()
        )
    for line in written.remarks:
        remark(line)
    for path in written.paths:
        typer.echo(printable(str(path)))
    suggest(f"failmodes report{named(where)}")
