"""Exit codes: 2 for invalid input, 1 for data or a rule that fails; and `-` instead of a file."""

import subprocess
from pathlib import Path
from shutil import copy
from typing import NamedTuple

import duckdb
import pytest
from run_commands import SCRIPT, run, run_script
from synthetic_results import write_synthetic

STUDY = """
name = "s"
output = "out"
{top}
[dataset]
{dataset}
[corruptions]
names = ["{corruption}"]
severities = [1]
"""
DIGITS = 'kind = "digits"\nimages = 20'
MODEL = '[[models]]\nlabel = "A"\n{keys}\nnormalization = {{ mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }}\n'
GATE = """
[gate]
baseline = "Alpha"
candidate = "Beta"
[[gate.rules]]
metric = "{metric}"
corruptions = ["{corruption}"]
{limit}
"""
STUDIES = {
    "misspelt.toml": {"corruption": "fogg"},
    "no-folder.toml": {"dataset": 'kind = "folder"\npath = "gone"'},
    "fine.toml": {},
}
MODELS = {
    "architecture.toml": 'architecture = "resnet81"\nweights = "DEFAULT"',
    "damaged.toml": 'architecture = "resnet18"\ncheckpoint = "damaged.pt"',
}
GATES = {
    "metric.toml": {"metric": "acuracy"},
    "broken.toml": {"limit": 'relation = "at_least"\nlimit = 0.999'},
    "missing.toml": {"corruption": "snow"},
}


class Case(NamedTuple):
    """A command, its exit code, and what it says."""

    arguments: tuple[str, ...]
    code: int
    says: str


def case(line: str, code: int, says: str, *more: str) -> Case:
    """A case of a command line without quotes, and the arguments that need them."""
    return Case((*line.split(), *more), code, says)


CASES = {
    "unknown command": case("qurey", 2, "No such command 'qurey'"),
    "unknown option": case("status --ful", 2, "No such option"),
    "value out of range": case("shapes w.duckdb --level 7", 2, "Invalid value"),
    "corruption": case("corrupt digits --to set --corruption fogg", 2, "did you mean 'fog'"),
    "model of a comparison": case("compare Alfa Beta w.duckdb", 2, "did you mean 'Alpha'"),
    "model in another case": case("chart curves w.duckdb --model ALPHA", 2, "did you mean 'Alpha'"),
    "metric of the schema": case("schema auorc w.duckdb", 2, "'auroc'"),
    "column of a chart": case("chart curves w.duckdb --by corruptoin", 2, "did you mean 'corruption'"),
    "no images": case("images w.duckdb --attention", 2, "--filter"),
    "images twice": case("images w.duckdb --filter true --image 1 --corruption fog", 2, "--image"),
    "image without corruption": case("images w.duckdb --image 1", 2, "--corruption"),
    "saved query": case("query @worst w.duckdb", 2, "did you mean 'worst_cells'"),
    "SQL that is none": case("query", 2, "syntax error", "selec 1", "w.duckdb"),
    "SQL that writes": case("query", 2, "is refused", "drop table models", "w.duckdb"),
    "filter of images": case("images w.duckdb --filter", 2, "corruptoin", "corruptoin = 'fog'"),
    "study with another corruption": case("ingest misspelt.toml", 2, "did you mean 'fog'"),
    "rules that are not TOML": case("gate cut.toml w.duckdb", 2, "gate file cut.toml"),
    "metric of a rule": case("gate metric.toml w.duckdb", 2, "did you mean 'accuracy'"),
    "missing study": case("ingest nothing.toml", 2, "study file nothing.toml does not exist"),
    "missing warehouse": case("query @worst_cells nothing.duckdb", 2, "warehouse nothing.duckdb does not exist"),
    "missing data set": case("ingest no-folder.toml", 2, "gone does not exist"),
    "missing URL scheme": case("load nonsense://bucket/x --into w.duckdb", 2, "cannot reach nonsense://bucket/x"),
    "study that is there": case("init --output fine.toml", 2, "fine.toml already exists"),
    "suffix and format": case(
        "query @worst_cells w.duckdb --output x.csv --format json",
        2,
        "ends in .csv, expected a file name that ends in .json",
    ),
    "damaged warehouse": case("status damaged.duckdb", 1, "cannot be opened as a DuckDB database"),
    "folder without results": case("load images --into new.duckdb", 1, "holds no results"),
    "damaged shard": case("load results --into new.duckdb", 1, "damaged file(s), so nothing was loaded"),
    "check that fails": case("status unsound.duckdb --full", 1, "FAILED"),
    "output that is a folder": case("query @worst_cells w.duckdb --output folder.csv", 2, "it is a folder"),
    "rule that is broken": case("gate broken.toml w.duckdb", 1, "(exit code 1)"),
    "rule without its cell": case("gate missing.toml w.duckdb", 3, "(exit code 3)"),
    "architecture": case("evaluate architecture.toml", 2, "did you mean 'resnet18'"),
    "damaged checkpoint": case("evaluate damaged.toml", 1, "damaged.pt is not a readable checkpoint"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sound_warehouse: Path) -> Path:
    """A folder with a sound warehouse, w.duckdb, and with what the cases name."""
    here = tmp_path_factory.mktemp("mistakes")
    copy(sound_warehouse, here / "w.duckdb")
    copy(sound_warehouse, here / "unsound.duckdb")
    with duckdb.connect(here / "unsound.duckdb") as con:
        con.execute("delete from prediction_facts where image_id = 1 and corruption = 'fog'")
    results = write_synthetic(here / "results", images=20, models=("A",), corruptions=("fog",)).output
    shard = next((results / "results" / "prediction_facts").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    for name in ("images", "folder.csv"):
        (here / name).mkdir()
    for name in ("damaged.duckdb", "damaged.pt"):
        (here / name).write_text("x" * 5000)
    plain = {"top": "", "dataset": DIGITS, "corruption": "fog"}
    for name, changes in STUDIES.items():
        (here / name).write_text(STUDY.format(**plain | changes))
    for name, keys in MODELS.items():
        (here / name).write_text(STUDY.format(**plain) + MODEL.format(keys=keys))
    rule = {"metric": "accuracy", "corruption": "fog", "limit": 'relation = "worse_by_at_most"\nlimit = 0.9'}
    (here / "cut.toml").write_text("[gate")
    for name, changes in GATES.items():
        (here / name).write_text(GATE.format(**rule | changes))
    return here


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_or_failure_ends_with_its_code(folder: Path, name: str) -> None:
    one = CASES[name]
    if one.arguments[0] == "evaluate":
        pytest.importorskip("torch")
    done = run(*one.arguments, folder=folder, expect=one.code)
    assert one.says in " ".join((done.stdout + done.stderr).split())


def test_a_limit_of_time_ends_with_1(folder: Path) -> None:
    endless = "select count(*) from range(1000000000) as a, range(1000000000) as b"
    done = run_script("query", endless, "w.duckdb", "--timeout", "0.5", folder=folder, expect=1)
    assert "stopped after 0.5 s" in done.stderr


PRINTED = {
    "study": (["init", "-o", "-"], "# Failmodes study"),
    "rows": (["query", "select 1 as x", "w.duckdb", "-o", "-"], "x\n1\n"),
    "chart": (["chart", "curves", "w.duckdb", "-o", "-"], "<svg "),
    "report": (["report", "w.duckdb", "-o", "-"], "<!doctype html>"),
    "comparison": (["compare", "Alpha", "Beta", "w.duckdb", "-o", "-"], "Whether Beta or Alpha"),
    "description": (["publish", "w.duckdb", "--format", "croissant", "-o", "-"], "{\n"),
}
REFUSED = {
    "DuckDB file": (["export", "-", "w.duckdb", "--evaluation", "Alpha"], "'-' means stdout"),
    "warehouse": (["load", "results", "--into", "-"], "- does not exist"),
}


@pytest.mark.test_all
@pytest.mark.parametrize("name", PRINTED)
def test_a_dash_is_stdout(folder: Path, name: str) -> None:
    arguments, beginning = PRINTED[name]
    done = run(*arguments, folder=folder)
    assert done.stdout.startswith(beginning)
    assert "next:" not in done.stderr
    assert not (folder / "-").exists()


@pytest.mark.test_all
def test_parquet_may_go_to_a_pipe(folder: Path) -> None:
    sql = "select 1 as x"
    run("query", sql, "w.duckdb", "--output", "x.parquet", folder=folder)
    shell = f"{SCRIPT} query '{sql}' w.duckdb --format parquet -o - > piped.parquet"
    subprocess.run(shell, shell=True, cwd=folder, check=True)
    assert (folder / "piped.parquet").read_bytes() == (folder / "x.parquet").read_bytes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_to_stdout_is_one_line_and_writes_nothing(folder: Path, name: str) -> None:
    arguments, message = REFUSED[name]
    done = run(*arguments, folder=folder, expect=2)
    assert message in done.stderr
    assert (len(done.stderr.splitlines()), done.stdout) == (1, "")
    assert not (folder / "-").exists()
