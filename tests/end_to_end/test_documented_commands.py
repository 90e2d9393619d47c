"""What README and handbook tell to type: every command is one, and those that ask a warehouse answer."""

import contextlib
import re
import shlex
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import typer
from PIL import Image
from run_commands import run
from worked_example import NAMED, ROOT

import failmodes
from failmodes.cli import app

pytestmark = pytest.mark.test_all
README = ROOT / "README.md"
RUN_ELSEWHERE = (
    "api-models.md",
    "decisions.md",
    "importing.md",
    "people.md",
    "slices.md",
    "soundness.md",
)  # or no commands in them
PAGES = [README, *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.name not in RUN_ELSEWHERE)]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
SHELL = ("", "bash", "console", "yaml")
STARTS = re.compile(r"^(?:\$ |- run: )?(failmodes .*)$")
# They need a warehouse and nothing else; the others are run where their page or their own tests say
ASKING = ("chart", "compare", "export", "gate", "images", "publish", "query", "report", "schema", "shapes", "status")
MODELS = ("ResNet-18", "DenseNet-121", "Net A", "Net B")
STUDY = 'name = "Mine"\noutput = "runs/mine"\nmetrics = ["metrics.py"]\n[dataset]\nkind = "digits"\n'
RULES = (
    '[gate]\nbaseline = "Net A"\ncandidate = "Net B"\n'
    '[[gate.rules]]\nmetric = "accuracy"\nrelation = "worse_by_at_most"\nlimit = 1\n'
)
NOTHING_TO_SHOW = {  # of models that predict the same everywhere
    "images": ("no evaluated image matches the filter",),
    "chart": ("no curve", " to show: "),
}
PYTHON = ("asking.md", "metrics.md", "corruptions.md", "concepts/findings.md", "comparing.md", "image-grids.md")
WITH_SQL = ("asking.md", "metrics.md")
WITH_FILES = "metrics.md"  # whose blocks that begin with `# NAME` are files


class Command(NamedTuple):
    """A line that somebody may type, and where it stands."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.line, comments=True)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def documented() -> Iterator[Command]:
    for page in PAGES:
        for kind, content in blocks(page):
            for line in content.splitlines() if kind in SHELL else ():
                if found := STARTS.match(line.strip()):
                    yield Command(page.relative_to(ROOT).as_posix(), found[1])


COMMANDS = list(documented())
ASKED = {" ".join(each.words): each for each in COMMANDS if each.words[1] in ASKING}.values()


def name_of(command: Command) -> str:
    return f"{command.page}: {command.line[:60]}"


def test_they_are_found() -> None:
    assert len(COMMANDS) > 50


@cache
def known_commands() -> Any:
    return typer.main.get_command(app).commands


@pytest.mark.parametrize("command", COMMANDS, ids=name_of)
def test_it_is_a_command_with_such_options(command: Command) -> None:
    _, name, *arguments = command.words
    with contextlib.suppress(SystemExit):
        assert known_commands()[name].make_context(name, arguments)


def untrained_model() -> Any:
    from torch import nn

    return nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 10))


@cache
def digits() -> tuple[Any, Any]:
    """Sixty images (60, 32, 32, 3) uint8 and their labels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images[:60, :, :, None] * 15).astype("uint8").repeat(4, 1).repeat(4, 2).repeat(3, 3)
    return images, found.target[:60]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where every file is that the commands name, of models that know nothing, on 60 digits."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("typed")
    images, labels = digits()
    models = {label: untrained_model() for label in MODELS}
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    failmodes.benchmark(
        models, images, labels, to=folder / "runs/mine", class_names=names, progress=False,
        corruptions=["fog", "contrast", "snow"], severities=[1, 3, 5],
        options=failmodes.Options(dataset_label="CIFAR-10"), metadata={"camera": ["A", "B"] * (len(images) // 2)},
    )  # fmt: skip
    for kind, content in blocks(ROOT / "docs" / WITH_FILES):
        if named := NAMED.match(content) if kind in ("python", "toml") else None:
            (folder / named[1]).write_text(content)
    (folder / "study.toml").write_text(STUDY)
    failmodes.run(folder / "study.toml", progress=False)  # which computes its metrics
    (folder / "gate.toml").write_text(RULES)
    Image.fromarray(np.kron(images[0], np.ones((7, 7, 1), np.uint8))).save(folder / "mine.jpg")
    shutil.copy(folder / "runs/mine/warehouse.duckdb", folder / "warehouse.duckdb")
    shutil.copytree(folder / "runs/mine", folder / "digits")
    return folder


@pytest.fixture(scope="module")
def exported(folder: Path) -> Path:
    """The baseline that commands name, beside the files of two models alone."""
    warehouse = failmodes.open(folder / "warehouse.duckdb")
    for label, file in (("Net A", "old.duckdb"), ("Net B", "new.duckdb"), ("Net A", "baseline.duckdb")):
        warehouse.export(folder / file, evaluation=label)
    return folder / "baseline.duckdb"


@pytest.mark.nightly
@pytest.mark.parametrize("command", ASKED, ids=name_of)
def test_it_runs(command: Command, folder: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: what starts Python a hundred times takes minutes."""
    _, name, *_ = words = command.words
    if name == "export":
        exported.unlink()  # it takes the place of none
    if "--to" in words:
        tracker = words[words.index("--to") + 1]
        pytest.importorskip({"tensorboard": "tensorboardX"}.get(tracker, tracker))
        monkeypatch.setenv("WANDB_MODE", "offline")
    done = run(*words[1:], folder=folder, expect=None)
    said = done.stdout + done.stderr
    assert done.returncode == 0 or any(text in said for text in NOTHING_TO_SHOW.get(name, ())), said


@pytest.mark.nightly
@pytest.mark.parametrize(
    "sql",
    [content for page in WITH_SQL for kind, content in blocks(ROOT / "docs" / page) if kind == "sql"],
    ids=lambda sql: sql[:60],
)
def test_sql_has_rows(sql: str, folder: Path) -> None:
    rows = failmodes.open(folder / "runs/mine").sql(sql)
    assert rows.height > 0 or "having count(*) = 2" in sql, "these models make no such prediction"


@pytest.mark.nightly
@pytest.mark.parametrize("page", PYTHON)
def test_python_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same folder, with the names that a reader has."""
    monkeypatch.chdir(folder)
    images, labels = digits()
    known = {"failmodes": failmodes, "w": failmodes.open("runs/mine"), "images": images, "labels": labels}
    known |= {"model": untrained_model()}
    written = [content for kind, content in blocks(ROOT / "docs" / page) if kind == "python"]
    assert written
    for content in written:
        exec(compile(content, page, "exec"), known)
