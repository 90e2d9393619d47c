"""Commands of the analysis: shapes, chart, report."""

from pathlib import Path
from typing import Annotated

import typer

Where = Annotated[Path | None, typer.Argument(help="A study file, an output folder or a .duckdb file.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="Only this network, by its label; may be repeated.")]
Evaluations = Annotated[list[str] | None, typer.Option("--evaluation", help="Only this evaluation, by its identity.")]
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
    name: Annotated[str, typer.Argument(help="curves, drops, shapes, attention, exemplars, onset or calibration.")],
    where: Where = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: .svg, .png, .pdf, .html or .json.")
    ] = None,
    model: Models = None,
    evaluation: Evaluations = None,
    corruption: Corruptions = None,
    layout: Annotated[str, typer.Option(help="page (680 px) or paper (85 mm, one column).")] = "page",
    theme: Annotated[str, typer.Option(help="light or dark.")] = "light",
) -> None:
    """Draw one chart and save it in the format that its suffix names (default NAME.svg in the current folder)."""
    from analysis.charts import CHARTS, save_chart
    from analysis.degradation import ensure_shapes
    from analysis.selection import select_one
    from analysis.theme import LAYOUTS
    from warehouse.connect import open_warehouse
    from warehouse.errors import StudyError
    from warehouse.locate import find_warehouse

    if name not in CHARTS:
        raise StudyError(f"no chart {name!r}: choose among {', '.join(CHARTS)}")
    if layout not in LAYOUTS:
        raise StudyError(f"no layout {layout!r}: choose {' or '.join(LAYOUTS)}")
    path = find_warehouse(where)
    ensure_shapes(path)
    with open_warehouse(path) as con:
        selection = select_one(con, models=model or (), evaluations=evaluation or (), corruptions=corruption or ())
        drawn = CHARTS[name](con, selection, layout=LAYOUTS[layout])
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
