"""Results as runs of MLflow, in the store of MLFLOW_TRACKING_URI, else in a SQLite file in a folder."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.publishing.tracked_runs import Files, TrackedRun, files_of_runs, sent_lines, tracked_runs
from failmodes.analysis.publishing.written import Written
from failmodes.runtime.errors import StorageError, first_line
from failmodes.runtime.packages import require

if TYPE_CHECKING:
    from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]

URI = "MLFLOW_TRACKING_URI"
IDENTITY = "failmodes.identity"  # a tag, set when a run is complete
MOST_METRICS = 1000  # of one request


def write_mlflow(
    con: duckdb.DuckDBPyConnection, warehouse: Path, selection: Selection, path: Path, _force: bool,
    *, project: str = "",
) -> Written:  # fmt: skip
    """Add a run for each evaluation to the experiment `project`, unless a complete one has the same results.

    Raises:
        MissingExtraError: MLflow is not installed.
        StorageError: the store refuses, or cannot be reached.
    """
    require("mlflow", "`failmodes publish --to mlflow`")
    from mlflow import MlflowClient  # pyright: ignore[reportMissingImports]
    from mlflow.exceptions import MlflowException  # pyright: ignore[reportMissingImports]

    uri = os.environ.get(URI) or f"sqlite:///{path.absolute() / 'mlflow.db'}"
    store = URI if os.environ.get(URI) else str(path)  # a URI may hold a password
    artifacts = None if os.environ.get(URI) else (path.absolute() / "artifacts").as_uri()
    if artifacts:
        path.mkdir(parents=True, exist_ok=True)
    name = project or str(selection.shared["study"] or "failmodes")
    sent: list[TrackedRun] = []
    known: list[TrackedRun] = []
    try:
        client = MlflowClient(tracking_uri=uri)
        found = client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else client.create_experiment(name, artifacts)
        with files_of_runs(warehouse) as files:
            for run in tracked_runs(con, selection):
                condition = f"tags.`{IDENTITY}` = '{run.identity}'"
                is_known = bool(client.search_runs([experiment], condition, max_results=1))
                (known if is_known else sent).append(run)
                if not is_known:
                    _send(client, experiment, run, files)
    except MlflowException as error:
        raise StorageError(f"MLflow at {store}: {first_line(error)}") from error
    return Written((), sent_lines(sent, known, f"experiment {name} of MLflow at {store}"))


def _send(client: "MlflowClient", experiment: str, run: TrackedRun, files: Files) -> None:
    from mlflow.entities import Metric, Param  # pyright: ignore[reportMissingImports]

    now = int(time.time() * 1000)
    made = client.create_run(experiment, run_name=run.label).info.run_id
    client.log_batch(made, params=[Param(name, value) for name, value in run.parameters.items()])
    metrics = [Metric(name, value, now, 0) for name, value in run.metrics.items()]
    for start in range(0, len(metrics), MOST_METRICS):
        client.log_batch(made, metrics=metrics[start : start + MOST_METRICS])
    for file in files(run).values():
        client.log_artifact(made, str(file))
    client.set_tag(made, IDENTITY, run.identity)
    client.set_terminated(made)
