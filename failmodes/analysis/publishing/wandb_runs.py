"""Results as runs of Weights & Biases; offline with WANDB_MODE=offline, for `wandb sync`."""

from pathlib import Path

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.publishing.tracked_runs import Files, TrackedRun, files_of_runs, sent_lines, tracked_runs
from failmodes.analysis.publishing.written import Written
from failmodes.runtime.errors import StorageError, first_line
from failmodes.runtime.packages import require

SENT = "failmodes.sent"  # marks a complete run in its folder


def write_wandb(
    con: duckdb.DuckDBPyConnection, warehouse: Path, selection: Selection, path: Path, _force: bool,
    *, project: str = "",
) -> Written:  # fmt: skip
    """Add a run for each evaluation to `project`, unless `path` has one of the same results from an earlier call.

    Raises:
        MissingExtraError: wandb is not installed.
        StorageError: wandb refuses, or cannot be reached.
    """
    require("wandb", "`failmodes publish --to wandb`")
    from wandb.errors import Error  # pyright: ignore[reportMissingImports]

    path.mkdir(parents=True, exist_ok=True)
    sent: list[TrackedRun] = []
    known: list[TrackedRun] = []
    name = project or "failmodes"
    try:
        with files_of_runs(warehouse) as files:
            for run in tracked_runs(con, selection):
                is_known = any(path.glob(f"wandb/*run-*-{run.identity}/{SENT}"))
                (known if is_known else sent).append(run)
                if not is_known:
                    _send(run, files, path, name)
    except Error as error:
        raise StorageError(f"wandb: {first_line(error)}: log in, or set WANDB_MODE=offline") from error
    return Written((), sent_lines(sent, known, f"project {name} of wandb"))


def _send(run: TrackedRun, files: Files, path: Path, project: str) -> None:
    import wandb  # pyright: ignore[reportMissingImports]

    settings = wandb.Settings(silent=True, console="off", disable_git=True, save_code=False)
    with wandb.init(
        project=project, id=run.identity, name=run.label, dir=path, config=run.parameters, resume="allow",
        settings=settings,
    ) as made:  # fmt: skip
        made.log({"cells": wandb.Table(columns=run.table.columns, data=[list(row) for row in run.table.rows()])})
        made.summary.update(run.metrics)
        artifact = wandb.Artifact(f"report-{run.identity}", type="report")
        for name, file in files(run).items():
            artifact.add_file(str(file), name=name)
        made.log_artifact(artifact)
        folder = Path(made.dir).parent
    (folder / SENT).touch()
