"""Runs of experiment trackers, read by the trackers: every cell once, and a second call adds nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from published_results import CORRUPTIONS, MODELS
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import select_one
from failmodes.analysis.publishing.formats import publish_results
from failmodes.analysis.publishing.tracked_runs import tracked_runs
from failmodes.runtime.errors import MissingExtraError, StudyError
from failmodes.warehouse.database.connection import open_warehouse


@pytest.fixture
def warehouse(published: Synthetic) -> Path:
    return published.output / "warehouse.duckdb"


def expected(published: Synthetic) -> dict[str, dict[str, float]]:
    """Accuracies by label and metric."""
    return {
        label: {"clean/accuracy": published.correct[label, "fog"][0].mean()}
        | {f"{c}/{s}/accuracy": published.correct[label, c][s].mean() for c in CORRUPTIONS for s in range(1, 6)}
        for label in MODELS
    }


@pytest.mark.test_all
def test_a_run_has_the_metrics_of_each_cell(published: Synthetic, warehouse: Path) -> None:
    with open_warehouse(warehouse) as con:
        runs = tracked_runs(con, select_one(con))
        assert [run.identity for run in runs] == [run.identity for run in tracked_runs(con, select_one(con))]
    for run in runs:
        of_cells = {name: value for name, value in run.metrics.items() if name.endswith("/accuracy")}
        mean = of_cells.pop("mean/accuracy")
        assert of_cells == pytest.approx(expected(published)[run.label])
        assert mean == pytest.approx((sum(of_cells.values()) - of_cells["clean/accuracy"]) / 10)
        assert run.parameters["image_count"] == "200"


@pytest.mark.test_all
def test_mlflow_has_every_run_once(published: Synthetic, warehouse: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    for _ in range(2):
        publish_results(warehouse, "mlflow", tmp_path / "m", project="It's mine")
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'm' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("It's mine")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == set(MODELS)
    for label, metrics in expected(published).items():
        assert {name: runs[label].data.metrics[name] for name in metrics} == pytest.approx(metrics)
        assert runs[label].data.params["architecture"] == "resnet18"
        assert {file.path for file in client.list_artifacts(runs[label].info.run_id)} == {"report.html", "cells.csv"}


@pytest.mark.test_all
def test_tensorboard_reads_every_run_once(published: Synthetic, warehouse: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    first = publish_results(warehouse, "tensorboard", tmp_path / "t").paths
    assert not publish_results(warehouse, "tensorboard", tmp_path / "t").paths
    assert {*first} == {*(tmp_path / "t").iterdir()}
    for path in first:
        events = reader.EventAccumulator(str(path)).Reload()
        names = events.Tags()["scalars"]
        found = {name: events.Scalars(name)[0].value for name in names if name.endswith("/accuracy")}
        assert any(
            all(abs(found[name] - value) < 1e-6 for name, value in metrics.items())
            for metrics in expected(published).values()
        )
        assert len(events.Tags()["tensors"]) == 2
        assert (path / "report.html").stat().st_size > 100_000


@pytest.mark.test_all
def test_wandb_writes_every_run_once_offline(warehouse: Path, tmp_path: Path) -> None:
    pytest.importorskip("wandb")
    command = [sys.executable, "-m", "failmodes", "publish", str(warehouse), "--to", "wandb", "-o", str(tmp_path)]
    for _ in range(2):
        done = subprocess.run(
            command, env={**os.environ, "WANDB_MODE": "offline"}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    folders = sorted((tmp_path / "wandb").glob("offline-run-*"))
    assert len(folders) == len(MODELS)
    assert all(list(folder.glob("*.wandb")) for folder in folders)
    assert all(list(folder.rglob("cells*.table.json")) for folder in folders)


@pytest.mark.test_all
@pytest.mark.parametrize("name", ["mlflow", "wandb", "tensorboard"])
def test_a_missing_tracker_is_one_line(
    warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("failmodes.runtime.packages.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=rf"failmodes\[{name}\]"):
        publish_results(warehouse, name, tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.test_all
def test_a_file_is_no_folder_to_fill(warehouse: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for name in ("tensorboard", "every-eval-ever"):
        with pytest.raises(StudyError, match="is a file: .* fills a folder"):
            publish_results(warehouse, name, tmp_path / "file")
