"""Results as event files of TensorBoard: a folder for each evaluation, with scalars, texts and the report."""

import shutil
from pathlib import Path

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.publishing.tracked_runs import Files, TrackedRun, files_of_runs, sent_lines, tracked_runs
from failmodes.analysis.publishing.written import Written
from failmodes.analysis.render.formats.markdown import escape, table_head, table_row
from failmodes.analysis.render.row_formats import cell_text
from failmodes.runtime.packages import require
from failmodes.runtime.storage.files import TEMPORARY_PREFIX


def write_tensorboard(
    con: duckdb.DuckDBPyConnection, warehouse: Path, selection: Selection, path: Path, _force: bool
) -> Written:
    """Write a folder of events for each evaluation into `path`, unless it has one of the same results.

    Raises:
        MissingExtraError: tensorboardX is not installed.
        StorageError: a file cannot be written.
    """
    require("tensorboard", "`failmodes publish --to tensorboard`")
    sent: list[TrackedRun] = []
    known: list[TrackedRun] = []
    for run in tracked_runs(con, selection):
        (known if (path / run.name).is_dir() else sent).append(run)
    with files_of_runs(warehouse) as files:
        for run in sent:
            _send(run, files, path)
    return Written(tuple(path / run.name for run in sent), sent_lines(sent, known, str(path)))


def _send(run: TrackedRun, files: Files, path: Path) -> None:
    from tensorboardX import SummaryWriter  # pyright: ignore[reportMissingImports]

    folder = path / f"{TEMPORARY_PREFIX}{run.name}"  # becomes the run in one step
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for name, value in run.metrics.items():
            writer.add_scalar(name, value, 0)
        writer.add_text("parameters", _markdown(("parameter", "value"), list(run.parameters.items())), 0)
        cells = [tuple(map(cell_text, row)) for row in run.table.rows()]
        writer.add_text("cells", _markdown(tuple(run.table.columns), cells), 0)
    for name, file in files(run).items():
        shutil.copy(file, folder / name)
    folder.rename(path / run.name)


def _markdown(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return "\n".join([*table_head(columns, [True] * len(columns)), *(table_row(map(escape, row)) for row in rows)])
