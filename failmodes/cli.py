"""The command line's root: the commands of the stages, and those that are made of several."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer.core import TyperCommand

from failmodes import __version__
from failmodes.analysis.cli import PairCommand, chart, gate, print_findings, report, shapes
from failmodes.analysis.compare_command import compare
from failmodes.analysis.export_command import export
from failmodes.analysis.publishing.command import publish
from failmodes.evaluate.cli import (
    DEFAULT_STUDY,
    JsonOption,
    StudyArgument,
    evaluate,
    evaluate_networks,
    import_,
    ingest,
    init,
    train,
)
from failmodes.evaluate.extras import require_torch
from failmodes.ingest.cli import corrupt, download
from failmodes.warehouse.cli import READING_S, SqlCommand, TimeoutOption, WhereArgument, load, print_status, query
from failmodes.warehouse.errors import IncompleteRunError, MissingExtraError, WarehouseError, printable
from failmodes.warehouse.limits import lift_limits, limit_command, query_memory
from failmodes.warehouse.terminal import remark

PICTURES_S = 600  # for a question that was typed in, and for 200 pictures of the slowest corruption
STUDY, STAGES, QUESTIONS, DECISIONS = "A whole study", "Its stages", "Questions to a warehouse", "Decisions"


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"failmodes {__version__}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options that stand before the command."""


def run(study_file: StudyArgument = DEFAULT_STUDY, as_json: JsonOption = False) -> None:
    """Do all that a study still needs: ingest, train, evaluate, load, analyse, report."""
    from failmodes.evaluate.study.reading import read_study

    lift_limits()  # it reads what it made itself
    names_networks = bool(read_study(study_file, require_models=False).models)  # else its predictions are imported
    if names_networks:
        require_torch("`failmodes run`")
    ingest(study_file)
    raised: IncompleteRunError | None = None
    if names_networks:
        train(study_file)
        try:
            evaluate_networks(study_file, as_json=as_json, describe_images=False)
        except IncompleteRunError as error:
            raised = error  # what the other networks gave is worth a report
    load(str(study_file))
    report(study_file)
    if not as_json:
        print_findings(study_file)
    if raised is not None:
        raise raised


def status(
    where: WhereArgument = None,
    full: Annotated[
        bool, typer.Option("--full", help="Check every row again, and compare stored measures with them.")
    ] = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Say how far a study is, what its warehouse holds, and whether every invariant of the data holds."""
    limit_command(timeout)
    from failmodes.warehouse.storage.locations import default_location, find_warehouse

    where, unfinished = where or default_location(), ""
    if where.suffix == ".toml":
        from failmodes.evaluate.cli import print_progress

        try:
            unfinished = print_progress(where)
        except MissingExtraError as error:
            remark(f"failmodes: {error}")  # what the warehouse holds is shown all the same
    warehouse = find_warehouse(where)
    if unfinished and not warehouse.exists():
        raise WarehouseError(f"no warehouse yet at {warehouse}: {unfinished}")
    if unfinished:
        print(unfinished)
    if not print_status(where, full=full):
        raise typer.Exit(1)


def images(
    where: WhereArgument = None,
    condition: Annotated[
        str | None,
        typer.Option(
            "--filter",
            help="A condition in SQL, with order and limit: \"corruption = 'fog' and severity = 3 and not correct "
            'order by confidence desc limit 24". With clean_correct: those that are right when clean.',
        ),
    ] = None,
    image: Annotated[
        list[int] | None, typer.Option(min=0, help="This image along a curve, a row a network; may be repeated.")
    ] = None,
    corruption: Annotated[
        list[str] | None, typer.Option(help="With --image: under this corruption; may be repeated.")
    ] = None,
    model: Annotated[list[str] | None, typer.Option(help="With --image: only this network, by its label.")] = None,
    evaluation: Annotated[
        list[str] | None, typer.Option(help="With --image: only this evaluation, by its identity.")
    ] = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="File to write: .png, .svg, .pdf, .html or .json.")
    ] = Path("images.png"),
    layout: Annotated[Literal["page", "paper"], typer.Option(help="180 mm wide, or a column of a paper.")] = "page",
    width: Annotated[str | None, typer.Option(help="Width on paper, such as 85mm, in place of the layout.")] = None,
    theme: Annotated[
        Literal["light", "dark"] | None, typer.Option(help="HTML follows the reader's system if not given.")
    ] = None,
    timeout: TimeoutOption = PICTURES_S,
) -> None:
    """Show any evaluated images, made again at their corruption and severity, with what each network said.

    Clean images come from the warehouse, else from the study file that is named, or lies beside the warehouse.
    """
    limit_command(timeout, query_memory(None))
    from failmodes.analysis.shown_images import ImageRequest, find_images
    from failmodes.evaluate.study_images import open_study_images
    from failmodes.warehouse.storage.locations import find_warehouse

    path = find_warehouse(where)
    request = ImageRequest(condition, image or (), corruption or (), model or (), evaluation or ())
    sheet = find_images(path, request, open_study=partial(open_study_images, where, path), timeout_s=timeout)
    written = sheet.save(output, layout=layout, width=width, theme=theme)
    for line in sheet.remarks:
        remark(line)
    typer.echo(printable(str(written)))


COMMANDS: dict[str, dict[str, Callable[..., None]]] = {  # by their part of the help
    STUDY: {"init": init, "run": run, "status": status},
    STAGES: {
        "download": download,
        "corrupt": corrupt,
        "ingest": ingest,
        "train": train,
        "evaluate": evaluate,
        "import": import_,
        "load": load,
    },
    QUESTIONS: {"query": query, "shapes": shapes, "chart": chart, "images": images, "report": report},
    DECISIONS: {"compare": compare, "gate": gate, "export": export, "publish": publish},
}
PARSERS: dict[str, type[TyperCommand]] = {"query": SqlCommand, "report": PairCommand}  # of those that need their own


def build_app(first_word: str | None = None) -> typer.Typer:
    """The command line; where its first word names a command, that one alone: typer reads the options of all it has."""
    only = first_word if any(first_word in commands for commands in COMMANDS.values()) else None
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        help="A warehouse of how vision models fail: every image's prediction, confidence and attention under graded "
        "corruption, in SQL.\n\nStart with `failmodes init digits`, then `failmodes run`.",
    )
    app.callback()(root)
    for part, commands in COMMANDS.items():
        for name, command in commands.items():
            if only in (None, name):
                app.command(name, cls=PARSERS.get(name, TyperCommand), rich_help_panel=part)(command)
    return app


app = build_app()
