"""The command that writes results as others read them."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from failmodes.warehouse.cli import READING_S, TimeoutOption, WhereArgument
from failmodes.warehouse.errors import StudyError, printable
from failmodes.warehouse.output_files import STDOUT, ForceOption, result_file
from failmodes.warehouse.process import limit_command
from failmodes.warehouse.progress import stages_shown
from failmodes.warehouse.terminal import named, note, say, suggest


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
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="File to write; by default one beside the warehouse; - prints croissant or model-card to stdout.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option("--model", help="Only this model, by its label; may be repeated.")
    ] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option("--evaluation", help="Only this evaluation, by its identity.")
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Write your results as others read them: RobustBench's table, a Croissant description, a model card's snippet."""
    limit_command(timeout)
    from failmodes.analysis.publishing.formats import FORMATS, publish_results
    from failmodes.warehouse.storage.locations import find_warehouse

    is_printed = output == str(STDOUT)
    if is_printed and output_format == "robustbench":
        raise StudyError(
            "--output -: robustbench writes two files, which stdout cannot take: name the first, such as results.csv"
        )
    warehouse = find_warehouse(where)
    with stages_shown("publish"), result_file(Path(output or ""), FORMATS[output_format].file_name) as file:
        target = file if is_printed else output
        written = publish_results(
            warehouse, output_format, target, models=model or (), evaluations=evaluation or (), force=force
        )
    for line in written.notes:
        note(line)
    if not is_printed:
        for path in written.paths:
            say(printable(str(path)))
        suggest(f"failmodes report{named(where)}")
