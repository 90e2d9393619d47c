"""A user's first run lacks the normalization: it is corrected, the old run is removed, and no report shows a trace."""

from pathlib import Path

import numpy as np
import pytest
from warehouse_files import stored_rows

pytest.importorskip("torch")

import torch
from run_commands import run, run_in_terminal

import failmodes
from failmodes.ingest.datasets.layouts.digits import open_digits

HALF = ([0.5] * 3, [0.25] * 3)
MISTAKE, CORRECTED = "ResNet (no normalization)", "ResNet (normalized)"


class Net(torch.nn.Module):
    """A small model with a pooled linear head."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.features = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, stride=4, padding=1), torch.nn.ReLU())
        self.head = torch.nn.Linear(8, 10)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(images).mean((2, 3)))


def benchmark(folder: Path, model: Net | None = None, **options) -> failmodes.Warehouse:
    dataset = open_digits("test")
    images = np.asarray(dataset.images[:30]), dataset.labels[:30]
    settings = {"label": "ResNet", "corruptions": ["fog"], "severities": [1, 5], "progress": False} | options
    return failmodes.benchmark(model or Net(), *images, to=folder, **settings)


def evaluations(folder: Path) -> dict[str, str]:
    """Whether each evaluation of the warehouse is normalized, and its identity."""
    rows = stored_rows(folder / "warehouse.duckdb", "select input_mean[1] > 0, evaluation_id from evaluation_labels")
    return {CORRECTED if is_normalized else MISTAKE: key for is_normalized, key in rows}


@pytest.mark.test_all
def test_a_mistake_is_corrected_and_leaves_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    benchmark(folder)
    benchmark(folder, normalization=HALF)
    ids = evaluations(folder)
    assert ids.keys() == {MISTAKE, CORRECTED}
    assert "--yes" in run("remove", MISTAKE, folder, folder=tmp_path, expect=2).stderr
    assert "nothing was removed" in run_in_terminal("remove", MISTAKE, folder, folder=tmp_path, answer="n\n")
    assert evaluations(folder) == ids

    run("remove", MISTAKE, folder, "--yes", folder=tmp_path)
    assert evaluations(folder) == {CORRECTED: ids[CORRECTED]}
    run("load", folder, "--rebuild", folder=tmp_path)
    assert evaluations(folder) == {CORRECTED: ids[CORRECTED]}
    run("report", folder, folder=tmp_path)
    page = (folder / "report.html").read_text()
    assert not [trace for trace in (ids[MISTAKE], "no normalization", CORRECTED, MISTAKE) if trace in page]


@pytest.mark.test_all
def test_a_benchmark_replaces_the_former_evaluation_of_its_label(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Others stay: another label, and another subset of the images."""
    benchmark(tmp_path)
    benchmark(tmp_path, Net(1), label="Other")
    benchmark(tmp_path, image_count=20)
    w = benchmark(tmp_path, normalization=HALF, replace=True, progress=True)
    assert "replaced the earlier evaluation, which differs in normalization (mean 0.5 / none)" in capfd.readouterr().err
    kept = w.sql("select model_label, image_count, input_mean[1] > 0 as normalized from evaluation_labels order by all")
    assert kept.rows() == [("Other", 30, False), ("ResNet", 20, False), ("ResNet", 30, True)]


@pytest.mark.test_all
def test_nothing_is_replaced_by_an_evaluation_that_fails(tmp_path: Path) -> None:
    class Failing(Net):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) == 30:  # not in its trial
                raise RuntimeError("no")
            return super().forward(images)

    benchmark(tmp_path)
    with pytest.raises(failmodes.IncompleteRunError):
        benchmark(tmp_path, Failing(), options=failmodes.Options(batch_size=30), replace=True)
    whole = "select count(*) from shards where table_name = 'prediction_facts' group by evaluation_id"
    assert 3 in failmodes.open(tmp_path).sql(whole).to_series().to_list()
