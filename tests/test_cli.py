"""Every command through its installed script, in a directory of its own: what it prints, and how it fails."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from failmodes.warehouse.database.load import load
from tests.synthetic_record import write_synthetic
from tests.tiny_study import write_tiny_study

SCRIPT = Path(sys.executable).parent / "failmodes"

COMMANDS = (
    "init", "run", "status", "download", "corrupt", "ingest", "train", "evaluate", "load", "query", "shapes", "chart",
    "report",
)  # fmt: skip


def failmodes(*arguments: str | Path, folder: Path, expect: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def handed(tmp_path_factory) -> Path:
    """A folder with nothing but a warehouse, as an analyst is handed it."""
    made = write_synthetic(tmp_path_factory.mktemp("record"), images=80)
    folder = tmp_path_factory.mktemp("analyst")
    load([made.output], folder / "warehouse.duckdb")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_a_command_does(tmp_path, command: str) -> None:
    assert "Usage: failmodes " + command in failmodes(command, "--help", folder=tmp_path).stdout


def test_help_and_questions_load_no_network_library(handed) -> None:
    code = (
        "import sys, failmodes.cli\n"
        "sys.argv = ['failmodes', 'query', 'select count(*) from predictions']\n"
        "try: failmodes.cli.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'pytorch_grad_cam', 'sklearn', 'altair', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], cwd=handed, check=True, capture_output=True)


def test_the_script_runs_where_another_package_is_called_evaluate(tmp_path) -> None:
    (tmp_path / "evaluate.py").write_text("raise RuntimeError('the wrong one')")
    assert failmodes("--version", folder=tmp_path).stdout.startswith("failmodes 0.")


ERRORS = {
    "no study": (["run"], 2, "no study file at study.toml: write one with `failmodes init`"),
    "no warehouse": (["query", "select 1"], 2, "name a study file, an output folder or a .duckdb"),
    "missing warehouse": (["report", "gone.duckdb"], 1, "gone.duckdb"),
    "unknown data set": (["download", "cifar11"], 2, "cifar10"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_are_one_line_with_a_mend(tmp_path, name: str) -> None:
    arguments, code, message = ERRORS[name]
    done = failmodes(*arguments, folder=tmp_path, expect=code)
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("failmodes: ")
    assert message in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_init_writes_a_study_once(tmp_path) -> None:
    failmodes("init", "digits", folder=tmp_path)
    before = (tmp_path / "study.toml").read_text()
    assert "[dataset]" in before
    assert "is there already" in failmodes("init", "cifar10", folder=tmp_path, expect=2).stderr
    assert (tmp_path / "study.toml").read_text() == before


def test_an_analyst_asks_in_sql(handed) -> None:
    done = failmodes("query", "select count(*) as n from predictions", "--format", "csv", folder=handed)
    assert done.stdout.split() == ["n", str(2 * 26 * 80)]
    refused = failmodes("query", "copy predictions to 'stolen.parquet'", folder=handed, expect=1)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (handed / "stolen.parquet").exists()


def test_an_analyst_draws_and_reports(handed, tmp_path) -> None:
    failmodes("chart", "curves", handed / "warehouse.duckdb", "--output", "curves.svg", folder=tmp_path)
    assert (tmp_path / "curves.svg").read_text().startswith("<svg")
    wrong = failmodes("chart", "curve", handed / "warehouse.duckdb", folder=tmp_path, expect=2)
    assert "curves" in wrong.stderr
    assert "14 of 14 checks hold" in failmodes("status", folder=handed).stdout


@pytest.mark.slow
def test_one_command_takes_a_study_from_nothing_to_a_report_and_again_does_nothing(tmp_path) -> None:
    write_tiny_study(tmp_path)
    done = failmodes("run", folder=tmp_path)
    assert "report.html" in done.stdout
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Handwritten digits" in page
    again = failmodes("run", folder=tmp_path)
    assert "0 shards made, 5 were there" in again.stderr
    assert "nothing to train" in again.stderr
    assert "checks hold" in failmodes("status", folder=tmp_path).stdout
    rows = failmodes("query", "@worst_cells", "--format", "json", folder=tmp_path).stdout
    assert json.loads(rows)
    damaged = next((tmp_path / "out" / "record" / "predictions").rglob("*.parquet"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 3] ^= 0xFF
    damaged.write_bytes(bytes(content))
    refused = failmodes("load", "--rebuild", folder=tmp_path, expect=1)
    assert str(damaged.relative_to(tmp_path)) in refused.stderr
    assert "--redo-damaged" in refused.stderr
    assert "made again" in failmodes("evaluate", "--redo-damaged", folder=tmp_path).stderr
    failmodes("load", "--rebuild", folder=tmp_path)


def test_what_is_said_of_photographs_stands_in_brackets(tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (50 + number, 40), (90, 20 * number, 0)).save(
                tmp_path / f"photographs/{name}/{number}.png"
            )
    failmodes("init", "folder", folder=tmp_path)
    study = tmp_path / "study.toml"
    (tmp_path / "my-classifier.safetensors").touch()
    study.write_text(study.read_text().replace("image_size = 32", "image_size = 32\nresize = 36"))
    said = failmodes("ingest", folder=tmp_path).stderr
    assert "[shorter side resized to 36" in said  # no markup of rich's, which would swallow it
