"""The identity of live code changes with everything that changes its result, and with nothing else."""

import copy
import functools
import importlib
import json
import os
import pickle
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from code_samples import CHANGES, HEAD, MODEL_CHANGES, SAME, STABLE, Change
from torch import nn

from failmodes.evaluate.models.code_identity import code_hash
from failmodes.runtime.errors import ModelError


def identity(thing: object) -> str:
    return code_hash(thing, subject="model 'A'")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Imports a user's module afresh, its helpers beside it, and gives what it calls `thing`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write_and_import(text: str, helpers: str = "") -> object:
        for name, content in (("mine", HEAD + text), ("helpers", helpers)):
            sys.modules.pop(name, None)
            (tmp_path / f"{name}.py").write_text(content)
            for cached in (tmp_path / "__pycache__").glob(f"{name}.*"):
                cached.unlink()  # of the same second and size
        importlib.invalidate_caches()
        return importlib.import_module("mine").thing

    yield write_and_import
    for name in ("mine", "helpers"):
        sys.modules.pop(name, None)


def both(make, change: Change, identify=identity) -> list[str]:
    """Identities before and after a change."""
    values = change.before, change.after
    return [identify(make(*(part.replace("§", v) for part in (change.text, change.helpers)))) for v in values]


def model_identity(model: nn.Module) -> str:
    """Without the tensors that a model's identity holds anyway."""
    return code_hash(model, subject="model 'A'", named_tensors=model.state_dict(keep_vars=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_a_function_or_object_changes_its_identity(make, change: Change) -> None:
    before, after = both(make, change)
    assert before != after


@pytest.mark.parametrize("change", MODEL_CHANGES.values(), ids=MODEL_CHANGES)
def test_what_changes_a_model_beside_its_tensors_changes_its_identity_and_a_copy_keeps_it(make, change: Change) -> None:
    before, after = both(make, change, lambda model: model_identity(copy.deepcopy(model)))
    assert before != after
    if "symbolic_trace" not in change.text:
        assert model_identity(make(change.text.replace("§", change.after))) == after


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_changes_no_row_changes_no_identity(make, change: Change) -> None:
    before, after = both(make, change)
    assert before == after


def test_an_object_that_was_pickled_has_its_identity() -> None:
    things = [{"a": (1, 2), "b": [3.0, None, "x" * 100]}, nn.LSTM(2, 3), np.random.default_rng(0), {("a", 1), ("b", 2)}]
    assert [identity(pickle.loads(pickle.dumps(thing))) for thing in things] == [identity(thing) for thing in things]


@pytest.mark.parametrize(
    ("thing", "path"),
    [
        (types.SimpleNamespace(session=[threading.Lock()]), r"\['session'\]\[0\]: a lock"),
        ((number for number in (1, 2)), "a generator"),
        (np.frompyfunc(lambda x: x, 1, 1), "a ufunc"),
        (torch.ones(2, device="meta"), "a Tensor"),
        (functools.reduce(lambda inner, _: [inner], range(5000), []), "nested too deeply"),
    ],
    ids=["lock", "generator", "ufunc", "meta", "deep"],
)
def test_what_cannot_be_read_asks_for_a_version(thing, path: str) -> None:
    with pytest.raises(ModelError, match=rf"^model 'A' cannot be identified: .*{path}.*version=\"1\""):
        identity(thing)


@pytest.mark.slow
def test_identities_are_the_same_in_every_process(tmp_path: Path) -> None:
    """Whatever the addresses, the order of sets, and the folder of the file."""
    found = []
    for folder, seed in (("here", "0"), ("there", "1")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "script.py").write_text(STABLE)
        command = [sys.executable, "-W", "ignore", tmp_path / folder / "script.py"]
        run = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONHASHSEED": seed})
        found.append(run)
    here, there = (json.loads(run.communicate()[0]) for run in found)
    assert here == there
    assert len(set(here.values())) == len(here) > 35


def test_what_holds_itself_ends(make) -> None:
    thing = make("def a(x): return b(x)\ndef b(x): return a(x)\nthing = [a]\nthing.append(thing)")
    other = make("def a(x): return b(x)\ndef b(x): return -a(x)\nthing = [a]\nthing.append(thing)")
    assert identity(other) != identity(thing)


def test_what_runs_counts_not_text_that_was_edited_after_its_import(make, tmp_path: Path) -> None:
    before = make("def thing(x): return x * 2")
    identity_before = identity(before)
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("x * 2", "x * 3"))
    os.utime(tmp_path / "mine.py", (1, 1))
    assert identity(before) == identity_before
    assert identity(make("def thing(x): return x * 3")) != identity_before
