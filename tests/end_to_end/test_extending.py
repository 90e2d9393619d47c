"""docs/extending.md: every file of the page, put into a copy of the package, shows up where the page says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pytest

import failmodes

pytest.importorskip("torch")

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
FILE = re.compile(r"```(?:python\n#|sql\n--) (failmodes/\S+)\n(.*?)```", re.DOTALL)

HUBCONF = """
import torch
from torch import nn
def net(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))
    net[-1].weight.data *= 200
    return net
"""
MODEL = '\n[[models]]\nlabel = "Net {0}"\narchitecture = "hub:repository/net"\noptions = {{ seed = {0} }}\n'
STUDY = """
name = "added"
output = "out"
[dataset]
kind = "npz"
path = "images"
[corruptions]
names = ["posterize", "contrast"]
severities = [1, 2, 3, 4, 5]
[evaluation]
attention = "activation-mean"
"""


def added_files() -> dict[str, str]:
    """The files that the page shows, by their path."""
    return dict(FILE.findall(PAGE.read_text(encoding="utf-8")))


def extended_package(folder: Path) -> Path:
    """A copy of the package in `folder`, with all files that the page shows."""
    package = folder / "package"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(failmodes.__file__).parent, package / "failmodes", ignore=ignored)
    for path, source in added_files().items():
        assert not (package / path).exists(), path
        (package / path).write_text(source, encoding="utf-8")
    return package


def run_python(package: Path, *arguments: str, folder: Path) -> str:
    """What Python prints that imports failmodes from the folder `package`."""
    environment = {**os.environ, "PYTHONPATH": str(package), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> SimpleNamespace:
    """A warehouse that was made with every added file, and `run` for commands over it."""
    folder = tmp_path_factory.mktemp("extended")
    package = extended_package(folder)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (80, 16, 16, 3), dtype=np.uint8), rng.permutation(80) % 10
    (folder / "images").mkdir()
    np.savez(folder / "images" / "images.npz", images=images, labels=labels)
    (folder / "repository").mkdir()
    (folder / "repository" / "hubconf.py").write_text(HUBCONF)
    models = "".join(f'{MODEL.format(number)}normalization = "none"\n' for number in (0, 1))
    (folder / "study.toml").write_text(STUDY + models)

    def run(*arguments: str) -> str:
        return run_python(package, "-m", "failmodes", *arguments, folder=folder)

    run("evaluate", "study.toml")
    run("load")
    return SimpleNamespace(folder=folder, run=run, images=images, labels=labels, package=package)


def test_the_page_has_a_file_and_a_command_for_every_kind() -> None:
    page = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert len(headings) == len(FILE.findall(page)) == len(re.findall(r"^\| \[", page, re.MULTILINE)) == 12


@pytest.mark.nightly
def test_corruption_dataset_model_and_attention_method_make_rows(extended) -> None:
    with duckdb.connect(str(extended.folder / "out" / "warehouse.duckdb"), read_only=True) as con:
        cells = con.execute("select distinct corruption, severity::double from prediction_facts").fetchall()
        assert {severity for corruption, severity in cells if corruption == "posterize"} == {1, 2, 3, 4, 5}
        assert con.execute("select dataset_name, image_count from datasets").fetchall() == [("npz", 80)]
        rows = con.execute("select distinct architecture, attention_method from models, evaluations").fetchall()
        assert rows == [("hub:net", "activation-mean")]
        assert con.execute("select count(*) from attention where mass > 0").fetchone() == (2 * 2 * 11 * 80,)


@pytest.mark.nightly
def test_a_set_is_written_by_the_corruption_and_read_by_the_benchmark_layout(extended) -> None:
    folder = extended.folder
    extended.run("corrupt", "npz", "--path", "images", "--corruption", "posterize", "--to", "images-C")
    written = np.load(folder / "images-C" / "posterize.npy")
    steps = (8, 16, 32, 64, 128)
    expected = np.concatenate([extended.images // np.uint8(step) * np.uint8(step) for step in steps])
    assert np.array_equal(written, expected)
    (folder / "set").mkdir()
    parts = dict(zip("12345", np.split(written, 5), strict=True))
    np.savez(folder / "set" / "posterize.npz", **parts, labels=extended.labels)
    text = (folder / "study.toml").read_text().replace('"posterize", "contrast"', '"posterize"')
    text = text.replace("[evaluation]", 'published = "set"\n[evaluation]').replace('"out"', '"published"')
    (folder / "published.toml").write_text(text)
    extended.run("evaluate", "published.toml")
    extended.run("load", "published.toml")
    select = "select severity, image_id, predicted from predictions where corruption = 'posterize' and model_label "
    ids = []
    for output in ("out", "published"):
        with duckdb.connect(str(folder / output / "warehouse.duckdb"), read_only=True) as con:
            ids.append(con.execute(f"{select} = 'Net 0' order by all").fetchall())
    assert ids[0] == ids[1]


@pytest.mark.nightly
def test_metric_view_query_and_check_are_known(extended) -> None:
    with duckdb.connect(str(extended.folder / "out" / "warehouse.duckdb"), read_only=True) as con:
        stored = con.execute(
            "select corruption, severity, value from cell_metrics where metric = 'confident_errors' order by all"
        ).fetchall()
        assert (
            stored
            == con.execute(
                "select corruption, severity, avg((not correct and confidence >= .9)::int)::double from predictions "
                "group by evaluation_id, corruption, severity order by all"
            ).fetchall()
        )
    assert max(value for _, _, value in stored) > 0.2
    assert "confident errors" in extended.run("schema", "confident_errors")
    assert "Net 0" in extended.run("query", "select distinct model_label from confident_errors_by_severity")
    assert "posterize" in extended.run("query", "@confident_errors", "--param", "model=Net 1")
    assert "severities_have_clean_images" in extended.run("status", "--full", "--json")


@pytest.mark.nightly
def test_statement_chart_and_format_are_drawn(extended) -> None:
    text = extended.run("query", "select distinct kind from findings where kind = 'confident_errors'")
    assert "confident_errors" in text
    extended.run("chart", "confident-errors", "--output", "errors.svg")
    assert "confident errors" in (extended.folder / "errors.svg").read_text(encoding="utf-8").lower()
    assert extended.run("compare", "Net 0", "Net 1", "--format", "csv").count(",") > 4
    extended.run("report", "--output", "report.html")


REFERENCES = {
    "reference_metrics": ("metrics_page", "confident_errors"),
    "reference_charts": ("charts_page", "confident-errors"),
    "reference_findings": ("findings_page", "confident_errors"),
}


@pytest.mark.nightly
@pytest.mark.parametrize("module", REFERENCES)
def test_reference_pages_list_it(extended, module: str) -> None:
    function, name = REFERENCES[module]
    handbook = Path(__file__).parents[2] / ".handbook"
    script = f"import sys; sys.path.append({str(handbook)!r}); import {module}; print({module}.{function}())"
    assert name in run_python(extended.package, "-c", script, folder=extended.folder)
