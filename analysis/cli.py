"""Commands of the analysis: shapes, chart, report."""

from pathlib import Path
from typing import Annotated

import typer

LOOKS, ROWS, IMAGES = "The picture", "From a warehouse", "From images, without a warehouse"  # panels of the help
Where = Annotated[Path | None, typer.Argument(help="A study file, an output folder or a .duckdb file.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="Only this network, by its label; may be repeated.", rich_help_panel=ROWS),
]
Evaluations = Annotated[
    list[str] | None,
    typer.Option("--evaluation", help="Only this evaluation, by its identity.", rich_help_panel=ROWS),
]
Corruptions = Annotated[list[str] | None, typer.Option("--corruption", help="Only this corruption; may be repeated.")]


def shapes(
    where: Where = None,
    flat_below: Annotated[float | None, typer.Option(min=0, max=1, help="A total drop below this is flat.")] = None,
    bow_threshold: Annotated[float | None, typer.Option(min=0, help="Bow that counts as late or early.")] = None,
    resamples: Annotated[int | None, typer.Option(min=10, help="Bootstrap resamples of the images.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the resampling.")] = None,
    level: Annotated[float | None, typer.Option(min=0.5, max=0.999, help="Level of the intervals.")] = None,
) -> None:
    """Describe how accuracy falls: shape, stability, total drop, bow and largest step of every curve.

    Options left out keep the settings of the stored shapes.
    """
    from analysis.degradation import chosen_settings, ensure_shapes
    from analysis.shape_listing import print_shapes
    from warehouse.connect import open_warehouse
    from warehouse.locate import find_warehouse

    path = find_warehouse(where)
    given = {"flat_below": flat_below, "bow_threshold": bow_threshold, "resamples": resamples, "seed": seed,
             "interval_level": level}  # fmt: skip
    ensure_shapes(path, chosen_settings(path, {name: value for name, value in given.items() if value is not None}))
    with open_warehouse(path) as con:
        print_shapes(con)


def chart(
    name: Annotated[
        str,
        typer.Argument(
            help="From a warehouse: curves, drops, shapes, attention, exemplars, onset, calibration, distortion. "
            "From images alone: contact-sheet, and distortion too where an option says what to corrupt."
        ),
    ],
    where: Where = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write: .svg, .png, .pdf, .html or .json.", rich_help_panel=LOOKS),
    ] = None,
    layout: Annotated[
        str, typer.Option(help="page (680 px) or paper (85 mm, one column).", rich_help_panel=LOOKS)
    ] = "page",
    theme: Annotated[str, typer.Option(help="light or dark.", rich_help_panel=LOOKS)] = "light",
    corruption: Corruptions = None,
    model: Models = None,
    evaluation: Evaluations = None,
    recipe: Annotated[
        str | None, typer.Option(help="cifar-c (the default) or imagenet-c.", rich_help_panel=IMAGES)
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(
            help="An image file; for distortion a folder of them too, and repeatable. Default: scikit-learn's "
            "photographs.",
            rich_help_panel=IMAGES,
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of the draws.", rich_help_panel=IMAGES)] = None,
    severity: Annotated[
        list[float] | None,
        typer.Option(min=0, max=5, help="Only this severity beside clean; may be repeated.", rich_help_panel=IMAGES),
    ] = None,
) -> None:
    """Draw one chart and save it in the format that its suffix names (default NAME.svg in the current folder)."""
    from analysis.charts import save_chart
    from analysis.charts.drawing import FromImages, FromWarehouse, draw

    drawn = draw(
        name,
        FromWarehouse(where, model, evaluation),
        FromImages(image, recipe, seed, severity),
        corruptions=corruption or (),
        layout=layout,
    )
    typer.echo(save_chart(drawn, output or Path(f"{name}.svg"), theme=theme))


def report(
    where: Where = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="HTML file; default report.html beside the warehouse.")
    ] = None,
) -> None:
    """Write the report: findings in sentences, charts, tables and how it was made, in one offline HTML file."""
    from analysis.report import write_report
    from warehouse.locate import find_warehouse

    typer.echo(write_report(find_warehouse(where), output))


def print_findings(where: Path) -> None:
    """Print the headlines of the report, finding by finding."""
    from rich.console import Console

    from analysis.findings import findings
    from analysis.selection import select
    from warehouse.connect import open_warehouse
    from warehouse.locate import find_warehouse

    console = Console(highlight=False, markup=False, soft_wrap=True)
    with open_warehouse(find_warehouse(where)) as con:
        found = [finding for selection in select(con) for finding in findings(con, selection)]
    for finding in found:
        if finding.verdict != "limit":
            undecided = " (undecided)" if finding.verdict == "undecided" else ""
            console.print(f"- {finding.headline}{undecided}")
    limits = sum(finding.verdict == "limit" for finding in found)
    console.print(f"The report has the figures behind each, and {limits} limits of what these data can say.")
