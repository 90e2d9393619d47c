"""A stranger's study file: whatever is in it, or it is, is told in one line, at once, and nothing is made of it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from fault_trials import attempt, listing, refused
from malformed_studies import GOOD, NO_FILE, NO_TOML, WRONG

import failmodes
from failmodes.warehouse.errors import FailmodesError, StudyError
from failmodes.warehouse.storage.locations import find_output, read_toml

QUICK = {"nested arrays", "a pipe", "/dev/zero", "a seed beyond 64 bits"}  # the others run in this process all the same


def cases(table: dict[str, tuple]) -> list[object]:
    marks = {name: () if name in QUICK else pytest.mark.slow for name in table}
    return [pytest.param(*case, id=name, marks=marks[name]) for name, case in table.items()]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


READERS = ("ingest", "status", "load", "run", "report")


@pytest.mark.parametrize(("content", "says"), cases(NO_TOML))
def test_what_is_no_toml_is_refused_by_whoever_reads_a_study(here: Path, content: str | bytes, says: str) -> None:
    (here / "study.toml").write_bytes(content if isinstance(content, bytes) else content.encode())
    command = READERS[sum(map(ord, says)) % len(READERS)]
    refused(command, "study.toml", folder=here, says=says, code=2)


@pytest.mark.parametrize(("make", "says"), cases(NO_FILE))
def test_what_is_no_file_is_refused_by_whoever_reads_a_study(here: Path, make: Callable, says: str) -> None:
    make(here / "study.toml")
    command = READERS[len(says) % len(READERS)]
    refused(command, "study.toml", folder=here, says=says, code=2)


@pytest.mark.parametrize(("text", "says"), cases(WRONG))
def test_what_is_no_study_is_refused_at_its_door(here: Path, text: str, says: str) -> None:
    (here / "study.toml").write_text(text, encoding="utf-8")
    refused("ingest", "study.toml", folder=here, says=says)


@pytest.mark.parametrize(("content", "says"), [pytest.param(*case, id=name) for name, case in NO_TOML.items()])
def test_one_reader_refuses_what_is_no_toml(tmp_path: Path, content: str | bytes, says: str) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    for reader in (read_toml, find_output, failmodes.run, failmodes.open):
        with pytest.raises(StudyError) as caught:
            reader(path)
        assert says in str(caught.value)


@pytest.mark.parametrize(("text", "says"), [pytest.param(*case, id=name) for name, case in WRONG.items()])
def test_every_door_refuses_what_is_no_study(tmp_path: Path, text: str, says: str, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = read_toml_text(text, tmp_path)
    if says.startswith(("a part of this path", "File name too long", "images are asked for")):
        pytest.skip("said when it is written or read")
    with pytest.raises(FailmodesError) as caught:
        failmodes.run(content)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 2100
    assert not listing(tmp_path)


def read_toml_text(text: str, folder: Path) -> dict:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    content = read_toml(path)
    path.unlink()
    return content


@pytest.mark.slow
@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace("\n", "\r\n").encode(),
        GOOD.replace("images = 20", "images = 2e1").encode(),
        GOOD.replace('name = "x"', 'name = "می‌شود 👩‍🔬"').encode(),
    ],
    ids=["byte order mark", "lines of Windows", "a whole number with an exponent", "joiners"],
)
def test_what_is_unusual_and_correct_is_taken(here: Path, content: bytes) -> None:
    (here / "study.toml").write_bytes(content)
    trial = attempt("ingest", "study.toml", folder=here)
    assert (trial.code, "20 images" in trial.stderr or "first 20" in trial.stderr) == (0, True), trial


OPTIONS: dict[str, tuple[list[str], str]] = {
    "a seed beyond 64 bits": (["digits", "--seed", str(2**63)], "--seed: input should be less than or equal to"),
    "10^12 images": (["digits", "--images", str(10**12)], "--images: input should be less than or equal to"),
    "a side of 100,000": (
        ["folder", "--path", ".", "--image-size", "100000"],
        "--image-size: input should be less than",
    ),
    "a long severity": (["digits", "--layout", "imagenet-c", "--severity", "9" * 5000], "severity 999"),
    "a severity with an exponent": (
        ["digits", "--layout", "imagenet-c", "--severity", "1e999999999"],
        "is out of range",
    ),
    "a corruption with an escape": (["digits", "--corruption", "\x1b[31mfog"], "unknown corruption '\\x1b[31mfog'"),
    "a link to itself": (["folder", "--path", "loop"], "loop does not exist"),
    "the home of nobody": (["folder", "--path", "~no-such-user/a"], "begins with the home folder of nobody"),
    "a blank path": (["folder", "--path", ""], "a path is blank"),
    "a blank folder": (["digits", "--to", ""], "a path is blank"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "says"), [pytest.param(*case, id=name) for name, case in OPTIONS.items()])
def test_options_have_the_bounds_of_a_study(here: Path, arguments: list[str], says: str) -> None:
    (here / "loop").symlink_to("loop")
    refused("corrupt", *arguments, *(() if "--to" in arguments else ("--to", "set")), folder=here, says=says)


HOME_STUDY = """
name = "x"
output = "~/out"
results = "~/results"
[dataset]
kind = "cifar10"
path = "~/images"
[corruptions]
names = ["fog"]
published = "~/set"
[[models]]
label = "A"
architecture = "resnet18"
checkpoint = "~/net.safetensors"
"""


def test_the_home_folder_is_meant_alike_by_every_path(tmp_path: Path, monkeypatch) -> None:
    from failmodes.evaluate.study.study_file import read_study
    from failmodes.warehouse.storage.locations import find_results, find_warehouse

    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "net.safetensors").touch()
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "study.toml"
    path.write_text(HOME_STUDY)
    study = read_study(path)
    assert (study.output, study.results_folder) == (tmp_path / "out", tmp_path / "results")
    assert (study.dataset.path, study.corruptions.published) == (tmp_path / "images", tmp_path / "set")
    assert study.models[0].checkpoint == tmp_path / "net.safetensors"
    assert find_warehouse(path) == tmp_path / "out" / "warehouse.duckdb"
    assert find_results(path) == tmp_path / "results"


@pytest.mark.slow
def test_no_command_makes_a_folder_called_by_a_tilde(here: Path) -> None:
    (here / "study.toml").write_text(GOOD.replace('"out"', '"~/out"'))
    home = {"HOME": str(here.parent / "home")}
    assert attempt("ingest", "study.toml", folder=here, environment=home).code == 0
    options = ("--images", "20", "--corruption", "contrast")
    assert attempt("corrupt", "digits", *options, "--to", "~/set", folder=here, environment=home).code == 0
    assert {path.name for path in (here.parent / "home").iterdir()} == {"out", "set"}
    assert [path.name for path in here.iterdir()] == ["study.toml"]


NOT_UTF8 = os.fsdecode(b"\xff\xfe")


@pytest.mark.slow
def test_names_that_are_not_utf8_are_taken_or_named(here: Path) -> None:
    (here / f"{NOT_UTF8}.toml").write_text(GOOD)
    assert attempt("ingest", f"{NOT_UTF8}.toml", folder=here).code == 0
    options = ("--images", "20", "--corruption", "contrast")
    assert attempt("corrupt", "digits", *options, "--to", NOT_UTF8, folder=here).code == 0
    (here / NOT_UTF8 / "study.toml").write_text(GOOD)
    for command in ("ingest", "run", "status"):
        refused(command, f"{NOT_UTF8}/study.toml", folder=here, says="is not valid UTF-8: rename its folders", code=2)


def test_arguments_of_the_api_have_the_bounds_of_a_study(tmp_path: Path) -> None:
    cyclic: dict[str, object] = {"a": 1}
    cyclic["b"] = cyclic
    model = {"label": "A", "architecture": "m:f"}
    base = {"name": "x", "output": str(tmp_path), "dataset": {"kind": "digits"}}
    for more, says in (
        ({"dataset": {"kind": "digits", "images": 10**5000}}, "a number of thousands of digits"),
        ({"corruptions": {"severities": [10**5000]}}, "severity of thousands of digits is out of range"),
        ({"models": [model | {"options": cyclic}]}, "options"),
        ({"models": [model | {"options": {"a": float("nan")}}]}, "nan is no finite number"),
        ({"name": "\udcff"}, "name: "),
        ({"output": "\udcff"}, "is not valid UTF-8"),
        ({7: 8}, "7"),
    ):
        with pytest.raises(StudyError) as caught:
            failmodes.run(base | more)
        assert says in str(caught.value)


def test_numbers_of_numpy_are_numbers(tmp_path: Path) -> None:
    import numpy as np

    from failmodes.ingest.specification import CorruptionSpec, DatasetSpec

    spec = CorruptionSpec(names=["fog"], seeds=list(np.arange(3)), severities=list(np.float32([1, 2.5])))
    assert (spec.seeds, [float(level) for level in spec.severities]) == ([0, 1, 2], [1.0, 2.5])
    assert DatasetSpec(kind="digits", images=np.int64(7)).images == 7
    images = np.zeros((1, 32, 32, 3), np.uint8)
    for wrong in ({"seed": 10**5000}, {"image_ids": np.array([2**63], np.uint64)}):
        with pytest.raises(FailmodesError):
            failmodes.corrupt(images, "contrast", 1, **wrong)
