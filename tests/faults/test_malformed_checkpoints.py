"""Checkpoints that anyone may have made: `evaluate` refuses each in one line, and neither runs nor unpacks it."""

import copy
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import numpy as np
import torch
from fault_trials import WITH_TORCH_S, refused
from marked_cases import quick
from model_specs import dataset_of

from failmodes.evaluate.models.checkpoints import read_checkpoint, save_checkpoint
from failmodes.evaluate.models.load import load_model
from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.runtime.errors import FailmodesError, ModelError, StorageError

DIGITS = dataset_of(32, tuple("0123456789"))
NEUTRAL = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}
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

State = dict[str, Any]
Maker = Callable[[Path, State], object]  # writes a checkpoint, given the tensors of a sound one


def saved(change: Callable[[State], Any]) -> Maker:
    return lambda path, state: torch.save(change(dict(state)), path)


def first(change: Callable[[Any], Any]) -> Maker:
    return saved(lambda state: state | {"conv1.weight": change(state["conv1.weight"])})


def written(content: bytes) -> Maker:
    return lambda path, _state: path.write_bytes(content)


def half(path: Path, state: State) -> None:
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def compressed(path: Path, state: State) -> None:
    torch.save(state, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED, compresslevel=1) as made:
        made.writestr("archive/data/1000", bytes(100_000_000))


def overlapping(path: Path, state: State) -> None:
    """An archive whose directory names the same bytes a hundred times."""
    torch.save(state, path)
    with zipfile.ZipFile(path, "a") as made:
        largest = max(made.infolist(), key=lambda entry: entry.file_size)
        for number in range(100):
            entry = copy.copy(largest)
            entry.filename = f"archive/data/{1000 + number}"
            made.filelist.append(entry)
        made._didModify = True


def looped(_: State) -> Any:
    inside: dict[str, Any] = {}
    inside["state_dict"] = inside
    return inside


class _Code:
    def __reduce__(self) -> Any:
        return open, ("ran", "w")


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> Maker:
    """A safetensors file with this header, which may say another length of itself."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return written(struct.pack("<Q", len(text) if length is None else length) + text + data)


def entry(shape: list[int], offsets: list[int]) -> dict[str, Any]:
    return {"dtype": "F32", "shape": shape, "data_offsets": offsets}


def stating(**metadata: str) -> Maker:
    """A sound checkpoint that states odd things of itself."""

    def make(path: Path, state: State) -> None:
        module = ARCHITECTURES["resnet18"](10, 8)
        module.load_state_dict(state)
        save_checkpoint(path, module, {"normalization": json.dumps(NEUTRAL)} | metadata)

    return make


UNREADABLE = "is not a readable checkpoint"
MORE = "contains more than tensors, which could run code when loaded"
UNFIT = "does not match resnet18"
REFUSED: dict[str, tuple[Maker, str]] = {
    "empty.pt": (written(b""), UNREADABLE),
    "a text.pt": (written(b"hello\n" * 100), UNREADABLE),
    "half.pt": (half, UNREADABLE),
    "code in an archive.pt": (saved(lambda _: {"a": _Code()}), MORE),
    "code in a pickle.pt": (written(pickle.dumps({"a": _Code()})), MORE),
    "a bomb of 100 MB.pt": (compressed, "compressed archive"),
    "a bomb among many.pt": (overlapping, "a compressed archive"),
    "a head of 10^9 outputs.pt": (saved(lambda s: s | {"fc.weight": torch.zeros(1, 64).expand(10**9, 64)}), UNFIT),
    "a container in itself.pt": (saved(looped), "is not a state_dict"),
    "whole numbers.pt": (first(lambda tensor: tensor.int()), "conv1.weight has dtype int32 instead of float32"),
    "a sparse tensor.pt": (first(lambda tensor: tensor.to_sparse()), "conv1.weight is sparse"),
    "another shape.pt": (first(lambda tensor: tensor[:4]), "conv1.weight is (4, 3, 3, 3) instead of (8, 3, 3, 3)"),
    "a name of a million parts.pt": (
        saved(lambda state: {"module." * 1_000_000 + name: tensor for name, tensor in list(state.items())[:3]}), UNFIT,
    ),
    "controls in a name.pt": (saved(lambda state: state | {"\x1b]0;x\x07\nfc": torch.zeros(1)}), "tensor \\x1b]0;"),
    "a program.pt": (
        lambda path, _: torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), str(path)), "TorchScript program",
    ),
    "empty.safetensors": (written(b""), UNREADABLE),
    "a header of 2^63 bytes.safetensors": (safetensors({}, length=1 << 63), UNREADABLE),
    "deep JSON.safetensors": (safetensors(b"[" * 1_000_000), UNREADABLE),
    "beyond the file.safetensors": (safetensors({"a": entry([1 << 40], [0, 1 << 42])}), UNREADABLE),
    "data that overlap.safetensors": (safetensors(dict.fromkeys("ab", entry([1], [0, 4])), bytes(4)), UNREADABLE),
    "a normalization in words.safetensors": (stating(normalization="bright"), "states an invalid normalization"),
    "a side beyond all.safetensors": (stating(input_side_px="1000000000"), "states an invalid input_side_px"),
    "a long architecture.safetensors": (stating(architecture="x" * 100_000), "is a xxx"),
}  # fmt: skip
ACCEPTED: dict[str, Maker] = {
    "halves.pt": saved(lambda state: {name: tensor.half() for name, tensor in state.items()}),
    "of before torch 1.6.pt": lambda path, state: torch.save(state, path, _use_new_zipfile_serialization=False),
    "a seed of 5,000 digits.safetensors": stating(seed="9" * 5000),
    "a recipe of a megabyte.safetensors": stating(recipe="x" * 1_000_000),
    "controls.safetensors": stating(dataset="\x1b]0;x\x07\n", recipe="\x00"),
}
QUICKLY = (
    "half.pt", "code in an archive.pt", "a bomb among many.pt", "a container in itself.pt", "whole numbers.pt",
    "controls in a name.pt", "deep JSON.safetensors", "beyond the file.safetensors",
    "a normalization in words.safetensors",
)  # fmt: skip


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(0)
    return ARCHITECTURES["resnet18"](10, 8).state_dict()


def spec_of(path: Path) -> ModelSpec:
    normalization = NEUTRAL if path.suffix == ".pt" else None
    return ModelSpec(label="A", architecture="resnet18", width=8, checkpoint=path, normalization=normalization)


@quick("name", REFUSED, *QUICKLY)
def test_a_checkpoint_is_refused_soon_and_by_name(name: str, state: State, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"weights{Path(name).suffix}"
    make, says = REFUSED[name]
    make(path, state)
    started = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load_model(spec_of(path), DIGITS, path)
    assert says in str(caught.value)
    assert "weights" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - started < 3
    assert not (tmp_path / "ran").exists()


@quick("name", ACCEPTED, "halves.pt")
def test_odd_ones_that_do_no_harm_are_read(name: str, state: State, tmp_path: Path) -> None:
    path = tmp_path / f"weights{Path(name).suffix}"
    ACCEPTED[name](path, state)
    row = load_model(spec_of(path), DIGITS, path).row()
    assert row["training_seed"] is None
    assert len(row["training_recipe"] or "") < 10_100


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_no_file_is_not_waited_for(suffix: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / f"weights{suffix}")
    with pytest.raises(StorageError, match="it is a named pipe"):
        read_checkpoint(tmp_path / f"weights{suffix}")


@pytest.mark.test_all
@pytest.mark.parametrize("name", ["code in an archive.pt", "beyond the file.safetensors"])
def test_evaluate_refuses_a_checkpoint_in_one_line(name: str, state: State, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    folder.mkdir()
    path = folder / f"weights{Path(name).suffix}"
    make, says = REFUSED[name]
    make(path, state)
    (folder / "study.toml").write_text(STUDY.format(file=path.name) + (NORMALIZATION if path.suffix == ".pt" else ""))
    refused("evaluate", folder=folder, says=says, code=1, most_s=WITH_TORCH_S)
    assert not (folder / "ran").exists()
    assert not list(folder.rglob("results/prediction_facts/**/*.parquet"))


SAVED = {".pt": saved(lambda state: state), ".safetensors": stating()}


@pytest.mark.test_all
@quick("suffix", SAVED, ".pt", others="nightly")
def test_turned_bits_are_reported_or_give_a_model(state: State, tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / f"a{suffix}"
    SAVED[suffix](path, state)
    intact = path.read_bytes()
    for position in [*range(0, 2000, 41), *range(len(intact) - 20_000, len(intact), 401)]:
        changed = bytearray(intact)
        changed[position % len(intact)] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        with suppress(FailmodesError):  # any other error fails
            load_model(spec_of(path), DIGITS, path)
