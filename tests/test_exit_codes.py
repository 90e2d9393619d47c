"""Exit codes: 2 for what the user typed or wrote, 1 for data or a rule that fails; and `-` in place of a file."""

import subprocess
from pathlib import Path
from shutil import copy
from typing import NamedTuple

import duckdb
import pytest
from installed_script import SCRIPT, failmodes
from PIL import Image
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
CODE = """
import torch

class Three(torch.nn.Module):
    def __init__(self):
        super().__init__()

    def forward(self, images):
        return images.mean((2, 3))

class Raises(Three):
    def forward(self, images):
        raise KeyError("backbone")
"""
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
    "unknown-key.toml": {"top": "outptu = 1"},
    "claim.toml": {"top": 'claims = [{ metric = "accuracy", corruptions = ["fogg"], relation = "largest_drop" }]'},
    "no-folder.toml": {"dataset": 'kind = "folder"\npath = "gone"'},
    "damaged-image.toml": {"dataset": 'kind = "folder"\npath = "images"'},
    "fine.toml": {},
}
MODELS = {
    "architecture.toml": 'architecture = "resnet81"\nweights = "DEFAULT"',
    "gone.toml": 'architecture = "resnet18"\ncheckpoint = "gone.pt"',
    "damaged.toml": 'architecture = "resnet18"\ncheckpoint = "damaged.pt"',
    "three.toml": 'architecture = "nets:Three"',
    "raises.toml": 'architecture = "nets:Raises"',
    "import.toml": 'architecture = "nests:Three"',
    "class-names.toml": 'architecture = "nets:Three"\nclass_names = ["a", "b", "c"]',
}
GATES = {
    "metric.toml": {"metric": "acuracy"},
    "corruption.toml": {"corruption": "fogg"},
    "broken.toml": {"limit": 'relation = "at_least"\nlimit = 0.999'},
    "missing.toml": {"corruption": "snow"},
}


ENDLESS = "range(1000000000) as a, range(1000000000) as b"


class Case(NamedTuple):
    """A command, its exit code, and what it says."""

    arguments: tuple[str, ...]
    code: int
    says: str


def case(line: str, code: int, says: str, *more: str) -> Case:
    """A case of a command line without quotes, and the arguments that need them."""
    return Case((*line.split(), *more), code, says)


TYPED = {
    "unknown command": case("qurey", 2, "No such command 'qurey'"),
    "unknown option": case("status --ful", 2, "No such option"),
    "missing argument": case("compare Alpha", 2, "Missing argument"),
    "missing option": case("export new.duckdb w.duckdb", 2, "name the model"),
    "value out of range": case("shapes w.duckdb --level 7", 2, "Invalid value"),
    "limit that is none": case("status w.duckdb --timeout inf", 2, "expected a finite number of seconds"),
    "corruption": case("corrupt digits --to set --corruption fogg", 2, "did you mean 'fog'"),
    "corruption of a warehouse": case("chart curves w.duckdb --corruption fogg", 2, "fogg"),
    "corruption of a saved query": case("query @worst_cells w.duckdb --corruption fogg", 2, "did you mean 'fog'"),
    "model of a comparison": case("compare Alfa Beta w.duckdb", 2, "did you mean 'Alpha'"),
    "models listed": case("compare Zzz Beta w.duckdb", 2, "it holds 'Alpha', 'Beta'"),
    "model of a chart": case("chart curves w.duckdb --model Alfa", 2, "Alfa"),
    "model of a saved query": case("query @worst_cells w.duckdb --model Alfa", 2, "did you mean 'Alpha'"),
    "model of an export": case("export new.duckdb w.duckdb --evaluation Alfa", 2, "did you mean 'Alpha'"),
    "model of a report": case("report w.duckdb --pair Alfa Beta", 2, "did you mean 'Alpha'"),
    "chart": case("chart curvs w.duckdb", 2, "no chart 'curvs'"),
    "public data set": case("download cifar11", 2, "did you mean 'cifar1"),
    "saved query": case("query @worst w.duckdb", 2, "did you mean 'worst_cells'"),
    "parameter of a saved query": case("query @worst_cells w.duckdb --param rws=3", 2, "did you mean 'rows'"),
    "table to explain": case("schema modles", 2, "did you mean 'models'"),
    "SQL that is none": case("query", 2, "syntax error", "selec 1", "w.duckdb"),
    "SQL of an unknown table": case("query", 2, "modles", "from modles", "w.duckdb"),
    "SQL of an unknown column": case("query", 2, "labl", "select labl from models", "w.duckdb"),
    "SQL that fails": case("query", 2, "Conversion Error", "select 'x'::integer", "w.duckdb"),
    "SQL that writes": case("query", 2, "is refused", "drop table models", "w.duckdb"),
    "SQL without its value": case("query", 2, "no value for $floor", "select $floor", "w.duckdb"),
    "filter of images": case("images w.duckdb --filter", 2, "corruptoin", "corruptoin = 'fog'"),
    "claim": case("claims w.duckdb --claims fine.toml", 2, "has no claims"),
    "claim of a study": case("load claim.toml", 2, "did you mean 'fog'"),
    "study with another corruption": case("ingest misspelt.toml", 2, "did you mean 'fog'"),
    "study with another key": case("status unknown-key.toml", 2, "did you mean 'output'"),
    "metric of a rule": case("gate metric.toml w.duckdb", 2, "did you mean 'accuracy'"),
    "corruption of a rule": case("gate corruption.toml w.duckdb", 2, "did you mean 'fog'"),
    "missing study": case("ingest nothing.toml", 2, "no study file at nothing.toml"),
    "missing folder": case("report nothing", 2, "nothing does not exist"),
    "missing warehouse": case("query @worst_cells nothing.duckdb", 2, "there is no warehouse nothing.duckdb"),
    "missing warehouse of a model": case("compare nothing.duckdb::A Beta w.duckdb", 2, "there is no warehouse nothing"),
    "missing data set": case("ingest no-folder.toml", 2, "gone does not exist"),
    "missing table of published models": case("load fine.toml --published nothing.csv", 2, "no file at nothing.csv"),
    "missing picture": case("chart contact-sheet --image nothing.png", 2, "no image at nothing.png"),
    "missing URL scheme": case("load nonsense://bucket/x --into w.duckdb", 2, "cannot reach nonsense://bucket/x"),
    "study that is there": case("init --output fine.toml", 2, "fine.toml is there already"),
    "suffix of a chart": case(
        "chart curves w.duckdb --output x.doc", 2, "ends in .doc, expected a file name that ends in .svg"
    ),
    "suffix of rows": case("query @worst_cells w.duckdb --output x.doc", 2, "expected a file name that ends in .csv"),
    "suffix and format": case(
        "query @worst_cells w.duckdb --output x.csv --format json",
        2,
        "ends in .csv, expected a file name that ends in .json",
    ),
}
DATA = {
    "damaged warehouse": case("status damaged.duckdb", 1, "cannot be opened as a DuckDB database"),
    "another database": case("status other.duckdb", 1, "no warehouse of failmodes"),
    "folder without results": case("load images --into new.duckdb", 1, "holds no record"),
    "damaged shard": case("load results --into new.duckdb", 1, "damaged file(s), so nothing was loaded"),
    "damaged image": case("ingest damaged-image.toml", 1, "cannot be decoded"),
    "damaged table of published models": case("load fine.toml --published damaged.csv", 1, "damaged.csv"),
    "check that fails": case("status unsound.duckdb --full", 1, "BROKEN"),
    "chart of what the data lack": case("chart curves w.duckdb --published", 1, "no published models"),
    "output that is a folder": case("query @worst_cells w.duckdb --output folder.csv", 2, "it is a folder"),
    "time": case("query --timeout 0.5", 1, "stopped after 0.5 s", f"select count(*) from {ENDLESS}", "w.duckdb"),
    "rule that is broken": case("gate broken.toml w.duckdb", 1, "(exit code 1)"),
    "rule without its cell": case("gate missing.toml w.duckdb", 3, "(exit code 3)"),
}
OF_MODELS = {
    "architecture": case("evaluate architecture.toml", 2, "unknown architecture 'resnet81': did you mean"),
    "module of an architecture": case("evaluate import.toml", 2, "cannot be imported"),
    "class count": case("evaluate three.toml", 2, "3 outputs, but the data set has 10 classes"),
    "class names": case("evaluate class-names.toml", 2, "has no output for 'zero'"),
    "missing checkpoint": case("evaluate gone.toml", 2, "gone.pt"),
    "missing predictions": case("import nothing.csv fine.toml --label A", 2, "nothing.csv does not exist"),
    "damaged checkpoint": case("evaluate damaged.toml", 1, "damaged.pt is not a readable checkpoint"),
    "model that raises": case("evaluate raises.toml", 1, "raised KeyError at its first images"),
    "damaged predictions": case(
        "import damaged.csv fine.toml --label A", 1, "damaged.csv cannot be read as predictions"
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, handed: Path) -> Path:
    """A folder with a sound warehouse, w.duckdb, and with what the cases name."""
    here = tmp_path_factory.mktemp("mistakes")
    copy(handed / "warehouse.duckdb", here / "w.duckdb")
    copy(handed / "warehouse.duckdb", here / "unsound.duckdb")
    with duckdb.connect(here / "unsound.duckdb") as con:
        con.execute("delete from prediction_facts where image_id = 1 and corruption = 'fog'")
    with duckdb.connect(here / "other.duckdb") as con:
        con.execute("create table t as select 1 as x")
    results = write_synthetic(here / "results", images=20, models=("A",), corruptions=("fog",)).output
    shard = next((results / "results" / "prediction_facts").rglob("*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-100])
    for name in ("a", "b"):
        (here / "images" / name).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(here / "images" / name / "1.png")
    (here / "images" / "a" / "2.png").write_bytes(b"no image")
    (here / "folder.csv").mkdir()
    for name in ("damaged.duckdb", "damaged.pt", "damaged.csv"):
        (here / name).write_text("x" * 5000)
    (here / "nets.py").write_text(CODE)
    plain = {"top": "", "dataset": DIGITS, "corruption": "fog"}
    for name, changes in STUDIES.items():
        (here / name).write_text(STUDY.format(**plain | changes))
    (here / "flat.toml").write_text('[[claims]]\nshape = "flat"\ncorruptions = ["fog"]\n')
    for name, keys in MODELS.items():
        (here / name).write_text(STUDY.format(**plain) + MODEL.format(keys=keys))
    rule = {"metric": "accuracy", "corruption": "fog", "limit": 'relation = "worse_by_at_most"\nlimit = 0.9'}
    for name, changes in GATES.items():
        (here / name).write_text(GATE.format(**rule | changes))
    return here


@pytest.mark.parametrize("name", TYPED)
def test_what_the_user_typed_or_wrote_ends_with_2(folder: Path, name: str) -> None:
    check(TYPED[name], folder)


@pytest.mark.parametrize("name", DATA)
def test_data_that_fail_end_with_1(folder: Path, name: str) -> None:
    check(DATA[name], folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_MODELS)
def test_models_are_the_users_words_or_data(folder: Path, name: str) -> None:
    pytest.importorskip("torch")
    check(OF_MODELS[name], folder)


def check(one: Case, folder: Path) -> None:
    done = failmodes(*one.arguments, folder=folder, expect=one.code)
    assert one.says in " ".join((done.stdout + done.stderr).split())


PRINTED = {
    "study": (["init", "-o", "-"], "# Failmodes study"),
    "rows": (["query", "select 1 as x", "w.duckdb", "-o", "-"], "x\n1\n"),
    "rows as JSON": (["query", "select 1 as x", "w.duckdb", "-o", "-", "--format", "json"], '[{"x": 1}]\n'),
    "saved queries": (["query", "--list", "-o", "-"], "query,question,options\n"),
    "tables": (["schema", "-o", "-", "--format", "markdown"], "| name "),
    "chart": (["chart", "curves", "w.duckdb", "-o", "-"], "<svg "),
    "report": (["report", "w.duckdb", "-o", "-"], "<!doctype html>"),
    "comparison": (["compare", "Alpha", "Beta", "w.duckdb", "-o", "-"], "Whether Beta or Alpha is more accurate"),
    "comparison as JSON": (["compare", "Alpha", "Beta", "w.duckdb", "-o", "-", "--format", "json"], "{\n"),
    "description": (["publish", "w.duckdb", "--format", "croissant", "-o", "-"], "{\n"),
    "model card": (["publish", "w.duckdb", "--format", "model-card", "-o", "-"], "---\nmodel-index:"),
    "claims": (["claims", "w.duckdb", "--claims", "flat.toml", "--markdown", "-"], "**1 claim"),
    "images of a study": (["ingest", "fine.toml", "--images", "-"], '"image_id","label","class_name","file"\n'),
}
REFUSED = {
    "DuckDB file": (["export", "-", "w.duckdb", "--evaluation", "Alpha"], "'-' means stdout"),
    "corrupted set": (["corrupt", "digits", "--to", "-"], "'-' means stdout"),
    "data set": (["download", "cifar10", "--to", "-"], "'-' means stdout"),
    "warehouse": (["load", "results", "--into", "-"], "- does not exist"),
    "two files": (["publish", "w.duckdb", "-o", "-"], "robustbench writes two files"),
}


@pytest.mark.parametrize("name", PRINTED)
def test_a_dash_is_stdout(folder: Path, name: str) -> None:
    arguments, beginning = PRINTED[name]
    done = failmodes(*arguments, folder=folder)
    assert done.stdout.startswith(beginning)
    assert "next:" not in done.stderr
    assert not (folder / "-").exists()


def test_parquet_may_go_to_a_pipe(folder: Path) -> None:
    sql = "select 1 as x"
    failmodes("query", sql, "w.duckdb", "--output", "x.parquet", folder=folder)
    shell = f"{SCRIPT} query '{sql}' w.duckdb --format parquet -o - > piped.parquet"
    subprocess.run(shell, shell=True, cwd=folder, check=True)
    assert (folder / "piped.parquet").read_bytes() == (folder / "x.parquet").read_bytes()


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_go_to_stdout_is_one_line_and_writes_nothing(folder: Path, name: str) -> None:
    arguments, message = REFUSED[name]
    done = failmodes(*arguments, folder=folder, expect=2)
    assert message in done.stderr
    assert (len(done.stderr.splitlines()), done.stdout) == (1, "")
    assert not (folder / "-").exists()
