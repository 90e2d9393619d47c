"""Failmodes: a warehouse of how vision models fail. This is the command line's root.

It composes the stages' commands, and turns whatever ends one early into one line on stderr.
"""

import os
import sys
from typing import Annotated

import typer

from failmodes import __version__
from failmodes.analysis.cli import chart, print_findings, report, shapes
from failmodes.evaluate.cli import DEFAULT_STUDY, StudyArgument, evaluate, import_, ingest, init, train
from failmodes.evaluate.extras import require_torch
from failmodes.ingest.cli import corrupt, download
from failmodes.warehouse.cli import READING_S, SqlCommand, TimeoutOption, WhereArgument, load, print_status, query
from failmodes.warehouse.diagnosis import explain, wants_traceback
from failmodes.warehouse.errors import IncompleteRunError, MissingExtraError, StorageError
from failmodes.warehouse.limits import lift_limits, limit_command
from failmodes.warehouse.terminal import finish_answer, prepare_streams, raise_on_termination, remark
from failmodes.warehouse.watched_process import end_command, ignore_stops, watch_command

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="A warehouse of how vision models fail: every image's prediction, confidence and attention under graded "
    "corruption, in SQL.\n\nStart with `failmodes init digits`, then `failmodes run`.",
)

STUDY, STAGES, QUESTIONS = "A whole study", "Its stages", "Questions to a warehouse"


def show_version(wanted: bool) -> None:
    """Print the version and leave."""
    if wanted:
        print(f"failmodes {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Options that stand before the command."""


def run(study_file: StudyArgument = DEFAULT_STUDY) -> None:
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
            evaluate(study_file)
        except IncompleteRunError as error:
            raised = error  # what the other networks gave is worth a report
    load(str(study_file))
    report(study_file)
    print_findings(study_file)
    if raised is not None:
        raise raised


def status(where: WhereArgument = None, timeout: TimeoutOption = READING_S) -> None:
    """Say how far a study is, what its warehouse holds, and whether every invariant of the data holds."""
    limit_command(timeout)
    from failmodes.warehouse.storage.locations import default_location

    where = where or default_location()
    if where.suffix == ".toml":
        from failmodes.evaluate.cli import print_progress

        try:
            print_progress(where)
        except MissingExtraError as error:
            remark(f"failmodes: {error}")  # what the warehouse holds is shown all the same
    if not print_status(where):
        raise typer.Exit(1)


app.command(rich_help_panel=STUDY)(init)


app.command(rich_help_panel=STUDY)(run)


app.command(rich_help_panel=STUDY)(status)


for stage in (download, corrupt, ingest, train, evaluate):
    app.command(rich_help_panel=STAGES)(stage)


app.command("import", rich_help_panel=STAGES)(import_)


app.command(rich_help_panel=STAGES)(load)


app.command(cls=SqlCommand, rich_help_panel=QUESTIONS)(query)


for question in (shapes, chart, report):
    app.command(rich_help_panel=QUESTIONS)(question)


def main() -> None:
    """Run a command; whatever ends it early is one line and an exit code, never a traceback."""
    prepare_streams()
    raise_on_termination()
    try:
        watch_command()
        code = _run_command()
    except SystemExit:  # in the process that watches
        raise
    except BaseException as error:
        if wants_traceback():
            sys.excepthook(type(error), error, error.__traceback__)
        code = _tell(error)
    end_command(code)


def _tell(error: BaseException) -> int:
    """Say in one line what ended the command; its exit code."""
    ignore_stops()
    try:
        told = explain(error)
        try:
            finish_answer()
        except StorageError as unwritten:  # else the interpreter would fail at it once more, in its own words
            told = unwritten if isinstance(error, OSError) else told
        remark(f"failmodes: {told}")
        return told.exit_code
    except Exception:  # what says it needs memory and files too
        os.write(2, b"failmodes: out of memory, or of open files\n")
        return 1


def _run_command() -> int:
    """Run it, and bring its answer out; its exit code."""
    try:
        app()
    except SystemExit as end:  # typer ends every command with it, one that was stopped too
        cause = end.__context__.__cause__ if end.__context__ else None
        if isinstance(cause, KeyboardInterrupt):
            raise cause from None
        finish_answer()
        return end.code if isinstance(end.code, int) else 0
    return 0


if __name__ == "__main__":
    main()
