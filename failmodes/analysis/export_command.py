"""The command that exports a model: a baseline that travels."""

from typing import Annotated

import typer

from failmodes.warehouse.cli import READING_S, TimeoutOption, WhereArgument
from failmodes.warehouse.completion import complete_model
from failmodes.warehouse.errors import StudyError, printable
from failmodes.warehouse.process import interruptible, limit_command
from failmodes.warehouse.progress import stages_shown
from failmodes.warehouse.terminal import say, suggest


def export(
    target: Annotated[str, typer.Argument(metavar="FILE", help="The file to write, such as baseline.duckdb.")],
    where: WhereArgument = None,
    evaluation: Annotated[
        str,
        typer.Option(
            help="The model: its label, its label without a training seed (then all its runs), an evaluation's "
            "identity or first letters, or an architecture that it alone has. Needed.",
            autocompletion=complete_model,
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a .duckdb file that is there.")] = False,
    timeout: TimeoutOption = READING_S,
) -> None:
    """Write one model's predictions to a small file: a baseline to commit or upload, for `compare` and `gate`.

    It is a warehouse like any other, without pictures, names of image files, attention and logits.
    """
    if not evaluation:
        raise StudyError('export: name the model, as in `failmodes export --evaluation "Net A" baseline.duckdb`')
    limit_command(timeout)
    from failmodes.analysis.model_export import export_model
    from failmodes.warehouse.storage.locations import find_warehouse

    with stages_shown("export"), interruptible(f"{target} was not written"):
        done = export_model(find_warehouse(where), evaluation, target, force=force)
    runs = f", {done.run_count} training runs" if done.run_count > 1 else ""
    report = done.report
    say(
        printable(
            f"{target}: {done.label}{runs}, {report.row_count:,} predictions in {report.cell_count} cells, "
            f'{report.size_bytes / 1e6:,.1f} MB; in the rules of a gate: baseline = "{target}"'
        )
    )
    suggest("failmodes gate --help")
