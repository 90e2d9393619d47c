"""A user's first run lacks the normalization: it is corrected, the old run is removed, and no report shows a trace."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from installed_script import failmodes, failmodes_in_terminal

import failmodes as package
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


def benchmark(folder: Path, seed: int = 0, **options) -> package.Warehouse:
    dataset = open_digits("test")
    images = np.asarray(dataset.images[:30]), dataset.labels[:30]
    settings = {"label": "ResNet", "corruptions": ["fog"], "severities": [1, 5], "progress": False} | options
    return package.benchmark(Net(seed), *images, to=folder, **settings)


def evaluations(folder: Path) -> dict[str, str]:
    """Whether each evaluation of the warehouse is normalized, and its identity."""
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as con:
        rows = con.execute("select input_mean[1] > 0, evaluation_id from evaluation_labels").fetchall()
    return {CORRECTED if is_normalized else MISTAKE: key for is_normalized, key in rows}


def words(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.split())


@pytest.mark.slow
def test_a_mistake_is_corrected_and_leaves_no_trace(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    benchmark(folder)
    benchmark(folder, normalization=HALF)
    ids = evaluations(folder)
    assert ids.keys() == {MISTAKE, CORRECTED}

    failmodes("report", folder, folder=tmp_path)
    page = (folder / "report.html").read_text()
    assert page.index(CORRECTED) < page.index(MISTAKE)
    failmodes("chart", "curves", folder, "--output", "both.svg", folder=tmp_path)
    failmodes("chart", "curves", folder, "--model", CORRECTED, "--output", "one.svg", folder=tmp_path)
    assert MISTAKE in failmodes("compare", MISTAKE, CORRECTED, folder, folder=tmp_path).stdout
    ambiguous = failmodes("compare", "ResNet", CORRECTED, folder, folder=tmp_path, expect=2).stderr
    assert ambiguous.index(CORRECTED) < ambiguous.index(MISTAKE)

    refused = failmodes("remove", MISTAKE, folder, folder=tmp_path, expect=2)
    assert "--yes" in refused.stderr
    assert MISTAKE in words(refused.stdout)
    assert f"Kept: {CORRECTED}" in words(refused.stdout)
    assert evaluations(folder) == ids

    failmodes("remove", MISTAKE, folder, "--yes", folder=tmp_path)
    assert evaluations(folder) == {CORRECTED: ids[CORRECTED]}
    failmodes("load", folder, folder=tmp_path)
    failmodes("load", folder, "--rebuild", folder=tmp_path)
    assert evaluations(folder) == {CORRECTED: ids[CORRECTED]}
    failmodes("report", folder, folder=tmp_path)
    page = (folder / "report.html").read_text()
    assert "ResNet" in page
    assert not [trace for trace in (ids[MISTAKE], "no normalization", CORRECTED, MISTAKE) if trace in page]
    done = json.loads(failmodes("status", folder, "--json", folder=tmp_path).stdout)
    assert all(check["passed"] for check in done["checks"])


@pytest.mark.slow
def test_a_benchmark_replaces_the_former_evaluation_of_its_label(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Others stay: another label, and another subset of the images."""
    benchmark(tmp_path)
    benchmark(tmp_path, label="Other", seed=1)
    benchmark(tmp_path, image_count=20)
    w = benchmark(tmp_path, normalization=HALF, replace=True, progress=True)
    assert "replaced the former evaluation, which differs in normalization (mean 0.5 / none)" in capfd.readouterr().err
    kept = w.sql("select model_label, image_count, input_mean[1] > 0 as normalized from evaluation_labels order by all")
    assert kept.rows() == [("Other", 30, False), ("ResNet", 20, False), ("ResNet", 30, True)]
    again = benchmark(tmp_path, normalization=HALF, replace=True)
    assert again.table("evaluations").height == 3


@pytest.mark.slow
def test_nothing_is_replaced_by_an_evaluation_that_fails(tmp_path: Path) -> None:
    class Failing(Net):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            if len(images) == 30:  # not in its trial
                raise RuntimeError("no")
            return super().forward(images)

    benchmark(tmp_path)
    dataset = open_digits("test")
    with pytest.raises(package.IncompleteRunError):
        package.benchmark(
            Failing(), np.asarray(dataset.images[:30]), dataset.labels[:30], to=tmp_path, label="ResNet",
            corruptions=["fog"], severities=[1, 5], options=package.Options(batch_size=30),
            progress=False, replace=True,
        )  # fmt: skip
    whole = "select count(*) from shards where table_name = 'prediction_facts' group by evaluation_id"
    assert 3 in package.open(tmp_path).sql(whole).to_series().to_list()


@pytest.mark.slow
def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    benchmark(tmp_path)
    (key,) = evaluations(tmp_path).values()
    shown = failmodes_in_terminal("remove", "ResNet", tmp_path, folder=tmp_path, answer="n\n")
    assert "nothing was removed" in words(shown)
    assert list(evaluations(tmp_path).values()) == [key]
    shown = failmodes_in_terminal("remove", key[:6], tmp_path, folder=tmp_path, answer="y\n")
    assert "removed 1 evaluation" in words(shown)
    assert evaluations(tmp_path) == {}
