"""The command slices: which images a model fails on, as conditions on what is known of them."""

from pathlib import Path
from typing import Annotated

import typer

from failmodes.analysis.render.documents import format_names
from failmodes.runtime.errors import printable
from failmodes.runtime.process import limit_command
from failmodes.runtime.progress import stages_shown
from failmodes.runtime.terminal import named, say, suggest
from failmodes.warehouse.cli import READING_S, CorruptionOption, FilterOption, TimeoutOption, WhereArgument
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result

CSV = "csv"
FORMATS = [CSV, *(name for name in format_names() if name != "junit")]


def slices(
    where: WhereArgument = None,
    corruption: CorruptionOption = None,
    severity: Annotated[
        list[float] | None, typer.Option(metavar="X", help="Only this severity. Repeatable. Default: all.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this model, by label. Repeatable.", autocompletion=complete_model),
    ] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Only this evaluation, by ID. Repeatable.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Attributes of images, such as camera,image_luminance,class_name. Default: all metadata, measured "
            "properties and the class.",
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(min=1, max=3, metavar="N", help="Most conditions of a slice. Default: 3, less with many."),
    ] = None,
    min_images: Annotated[int, typer.Option(min=1, metavar="N", help="Fewest distinct images of a slice.")] = 30,
    filter: FilterOption = "",
    clean_prediction: Annotated[
        str,
        typer.Option(
            metavar="correct|incorrect|CLASS",
            help="Only images whose clean image is predicted so.",
            show_default=False,
        ),
    ] = "",
    format: Annotated[
        str | None,
        typer.Option(
            help="Default: text, or the format of the file suffix.",
            metavar="|".join(FORMATS),
            autocompletion=lambda: FORMATS,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Output file: .txt, .csv, .json, .md or .html. Default: stdout (-)."
        ),
    ] = None,
    force: ForceOption = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Find slices of images that a model fails on: conjunctions of metadata, image properties and classes.

    A slice is supported if its accuracy is below that of all other images at an error rate of 5% over everything that
    was searched, corruptions and severities included. Each says whether it is worse on clean images too.
    """
    limit_command(timeout)
    from failmodes.analysis.judging.slices import warehouse_slices
    from failmodes.analysis.render.documents import print_document, suffixes_of, write
    from failmodes.analysis.results.slices import SlicesResult, slice_options
    from failmodes.runtime.storage.locations import find_warehouse

    is_csv = format == CSV or (format is None and output is not None and output.suffix.lower() == f".{CSV}")
    check_result(output, (f".{CSV}", "") if is_csv else suffixes_of(format), force=force)
    options = slice_options(
        corruption=corruption, severity=severity, by=by, depth=depth, min_images=min_images, filter=filter,
        clean_prediction=clean_prediction,
    )  # fmt: skip
    path = find_warehouse(where)
    with stages_shown("slices"):
        parts = warehouse_slices(path, options, models=model or (), evaluations=evaluation or ())
        result = SlicesResult(parts)
    if is_csv:
        from failmodes.analysis.commands.queries import give_batches

        give_batches([result.to_frame()], "csv", output, force=force)
    elif output not in (None, STDOUT):
        say(printable(str(write(result.document, output, format, force=force))))
    else:
        print_document(result.document, format or "text")
        if result and format in (None, "text") and output is None:
            suggest(f'failmodes images --filter "{result[0].condition}"{named(where)}')
