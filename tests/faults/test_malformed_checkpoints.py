"""Checkpoints that anyone may have made: `evaluate` refuses each in one line, and neither runs nor unpacks it."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from fault_trials import WITH_TORCH_S, attempt, refused
from malformed_checkpoints import ACCEPTED, NEUTRAL, REFUSED, SUFFIX, State, stating
from model_specs import dataset_of

from failmodes.evaluate.models.checkpoints import read_checkpoint
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import FailmodesError, ModelError, StorageError, StudyError

DIGITS = dataset_of(32, tuple("0123456789"))
STUDY = """
name = "malicious"
output = "out"
[dataset]
kind = "digits"
images = 20
[corruptions]
names = ["contrast"]
severities = [1]
[[models]]
label = "A"
architecture = "resnet18"
width = 8
checkpoint = "{file}"
"""
NORMALIZATION = "normalization = { mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }\n"


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return ARCHITECTURES["resnet18"](10, 8).state_dict()


OTHER_CLASSES = ("half a letter as name.safetensors",)  # which the study can state instead
QUICK = ("whole numbers.pt",)  # loading PyTorch takes most of the time


def spec_of(path: Path) -> ModelSpec:
    normalization = NEUTRAL if path.suffix == ".pt" else None
    return ModelSpec(label="A", architecture="resnet18", width=8, checkpoint=path, normalization=normalization)


@pytest.mark.parametrize("name", REFUSED)
def test_a_checkpoint_is_refused_soon_and_by_name(name: str, state: State, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{Path(name).suffix}"
    make, says = REFUSED[name]
    make(path, state)
    started = time.monotonic()
    with pytest.raises(StudyError if name in OTHER_CLASSES else ModelError) as caught:
        load_model(spec_of(path), DIGITS, path)
    assert says in str(caught.value)
    assert "weights" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 3
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_ones_that_do_no_harm_are_read(name: str, state: State, tmp_path: Path) -> None:
    path = tmp_path / f"weights{SUFFIX[name]}"
    ACCEPTED[name](path, state)
    model = load_model(spec_of(path), DIGITS, path)
    row = model.row()
    assert row["training_seed"] is None
    assert len(row["training_recipe"] or "") < 10_100


@pytest.mark.parametrize(
    ("make", "is_a"),
    [(os.mkfifo, "named pipe"), (Path.mkdir, "folder"), (lambda path: path.symlink_to("/dev/zero"), "device")],
    ids=["pipe", "folder", "device"],
)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], object], is_a: str, suffix: str, tmp_path) -> None:
    path = tmp_path / f"weights{suffix}"
    make(path)
    with pytest.raises(StorageError, match=f"it is a {is_a}"):
        read_checkpoint(path)


def study_with(path: Path) -> Path:
    """A folder with a study of that checkpoint, made beside it."""
    text = STUDY.format(file=path.name)
    (path.parent / "study.toml").write_text(text + (NORMALIZATION if path.suffix == ".pt" else ""))
    return path.parent


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in REFUSED])
def test_evaluate_refuses_a_checkpoint_in_one_line(name: str, state: State, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = folder / f"weights{Path(name).suffix}"
    make, says = REFUSED[name]
    make(path, state)
    code = 2 if name in OTHER_CLASSES else 1
    refused("evaluate", folder=study_with(path), says=says, code=code, most_s=WITH_TORCH_S)
    assert not (folder / "ran").exists()
    assert not list(folder.rglob("results/prediction_facts/**/*.parquet"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ACCEPTED)
def test_evaluate_takes_odd_ones_that_do_no_harm(name: str, state: State, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    path = folder / f"weights{SUFFIX[name]}"
    ACCEPTED[name](path, state)
    for command in ("evaluate", "load"):
        trial = attempt(command, folder=study_with(path))
        assert "Traceback" not in trial.stderr, trial
        if name == "no numbers":  # TODO: say
            break
        assert trial.code == 0, trial


@pytest.mark.slow
@pytest.mark.parametrize("target", ["pipe", "folder", "/dev/zero", "/dev/full", "nothing"])
def test_evaluate_does_not_wait_for_what_is_no_file(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    path = folder / "weights.pt"
    os.mkfifo(path) if target == "pipe" else path.mkdir() if target == "folder" else path.symlink_to(target)
    refused("evaluate", folder=study_with(path), most_s=WITH_TORCH_S)


@pytest.mark.slow
def test_turned_bits_are_reported_or_give_a_model(state: State, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for suffix, write in (
        (".pt", lambda path: torch.save(state, path)),
        (".safetensors", lambda p: stating()(p, state)),
    ):
        path = tmp_path / f"a{suffix}"
        write(path)
        intact = path.read_bytes()
        edges = [*range(0, 2000, 7), *range(len(intact) - 20_000, len(intact), 41)]
        for position in [*edges, *rng.integers(0, len(intact), 200).tolist()]:
            changed = bytearray(intact)
            changed[position % len(intact)] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            with suppress(FailmodesError):  # any other error fails
                load_model(spec_of(path), DIGITS, path)
