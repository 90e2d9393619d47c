"""The identity of live code: all that changes what it computes changes it, and nothing else does."""

import contextlib
import copy
import importlib
import json
import linecache
import os
import pickle
import runpy
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
from torchvision.models import ResNet, resnet18

from failmodes.evaluate.models.code_identity import code_hash
from failmodes.warehouse.errors import ModelError


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
    return code_hash(model, subject="model 'A'", apart=model.state_dict(keep_vars=True))


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_a_function_or_object_changes_its_identity(make, change: Change) -> None:
    before, after = both(make, change)
    assert before != after


@pytest.mark.parametrize("change", MODEL_CHANGES.values(), ids=MODEL_CHANGES)
def test_what_changes_a_model_beside_its_tensors_changes_its_identity(make, change: Change) -> None:
    before, after = both(make, change, model_identity)
    assert before != after


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
def test_what_changes_no_row_changes_no_identity(make, change: Change) -> None:
    before, after = both(make, change)
    assert before == after


def test_tensors_that_are_identified_apart_count_by_name_alone(make) -> None:
    models = [make("thing = Net(§)".replace("§", seed)) for seed in "01"]
    assert identity(models[0]) != identity(models[1])
    assert model_identity(models[0]) == model_identity(models[1])


@pytest.mark.parametrize(
    "change", [c for c in MODEL_CHANGES.values() if "symbolic_trace" not in c.text],
    ids=[name for name, c in MODEL_CHANGES.items() if "symbolic_trace" not in c.text],
)  # fmt: skip
def test_a_copy_of_a_model_has_its_identity(make, change: Change) -> None:
    model = make(change.text.replace("§", change.before))
    assert model_identity(copy.deepcopy(model)) == model_identity(model)


def test_an_object_that_was_pickled_has_its_identity() -> None:
    things = [{"a": (1, 2), "b": [3.0, None, "x" * 100]}, nn.LSTM(2, 3), np.random.default_rng(0), {("a", 1), ("b", 2)}]
    assert [identity(pickle.loads(pickle.dumps(thing))) for thing in things] == [identity(thing) for thing in things]


@pytest.mark.slow
def test_identities_are_the_same_in_every_process(tmp_path: Path, capsys) -> None:
    """Whatever the addresses, the order of sets, and the folder of the file."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "script.py").write_text(STABLE)
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    command = [sys.executable, "-W", "ignore", tmp_path / "there" / "script.py"]
    there = subprocess.run(command, capture_output=True, check=True, env=environment).stdout
    runpy.run_path(str(tmp_path / "here" / "script.py"), run_name="__main__")
    here = capsys.readouterr().out
    assert json.loads(here) == json.loads(there)
    assert len(set(json.loads(here).values())) == len(json.loads(here)) > 35


@pytest.mark.parametrize(
    ("thing", "path"),
    [
        ([threading.Lock()], r"list\[0\]: a lock has no state"),
        ((number for number in (1, 2)), "<genexpr>: a generator"),
        (types.SimpleNamespace(session=threading.Lock()), r"SimpleNamespace.*\['session'\]: a lock"),
        (np.frompyfunc(lambda x: x, 1, 1), "a ufunc"),
        (torch.ones(2, device="meta"), "a Tensor has no state"),
        (torch.eye(2).to_sparse(), "a Tensor has no state"),
    ],
    ids=["lock", "generator", "attribute", "ufunc", "meta", "sparse"],
)
def test_what_cannot_be_read_asks_for_a_version(thing, path: str) -> None:
    with pytest.raises(ModelError, match=rf"^model 'A' cannot be identified: .*{path}.*version=\"1\""):
        identity(thing)


class Either(nn.Module):
    """Traced, its code says which it is; nothing else of it does."""

    def __init__(self, is_tanh: bool) -> None:
        super().__init__()
        self.is_tanh = is_tanh

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.tanh() if self.is_tanh else x.relu()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_torchscript_program_is_what_it_computes_whatever_was_compiled_before() -> None:
    """The names of its classes differ between the two times that each is traced."""

    def programs() -> list[str]:
        torch.manual_seed(0)
        head, other = nn.Linear(2, 2), nn.Linear(2, 2)
        modules = [
            nn.Sequential(Either(True), Either(False), head), nn.Sequential(Either(False), Either(True), head),
            nn.Sequential(Either(True), Either(False), other), nn.Sequential(Either(True), nn.Dropout(), head).eval(),
        ]  # fmt: skip
        traced = [torch.jit.trace(module, torch.ones(1, 2)) for module in modules]
        scripted = [torch.jit.script(nn.Sequential(nn.Dropout(p), head)) for p in (0.1, 0.2)]
        frozen = [torch.jit.freeze(torch.jit.script(nn.Sequential(layer).eval())) for layer in (head, other)]
        return [identity(program) for program in (*traced, *scripted, *frozen)]

    first = programs()
    assert programs() == first
    assert len(set(first)) == len(first)


def test_an_open_file_and_parts_without_end_ask_for_a_version(tmp_path: Path) -> None:
    deep: list = []
    for _ in range(5000):
        deep = [deep]
    with (tmp_path / "a").open("w") as file:
        for thing, reason in ((file, "TextIOWrapper has no state"), (deep, "nested too deeply")):
            with pytest.raises(ModelError, match=reason):
                identity(thing)


def test_what_holds_itself_ends(make) -> None:
    thing = make("def a(x): return b(x)\ndef b(x): return a(x)\nthing = [a]\nthing.append(thing)")
    assert identity(thing) == identity(thing)
    other = make("def a(x): return b(x)\ndef b(x): return -a(x)\nthing = [a]\nthing.append(thing)")
    assert identity(other) != identity(thing)


def test_functions_that_call_each_other_are_a_set_without_order(make) -> None:
    text = "def a(x): return b(x)\ndef b(x): return a(x)\nthing = {§}"
    assert len({identity(make(text.replace("§", order))) for order in ("a, b", "b, a")}) == 1


def test_an_installed_module_counts_by_its_name_and_a_large_array_by_its_values(make, monkeypatch) -> None:
    thing = make("table = np.zeros((64, 1 << 16))\ndef thing(x): return np.take(table, x)")
    before = identity(thing)
    monkeypatch.setattr(np, "take", np.add)
    assert identity(thing) == before
    thing.__globals__["table"][5, 7] = 1
    assert identity(thing) != before


def test_what_runs_counts_not_text_that_was_edited_after_its_import(make, tmp_path: Path) -> None:
    before = make("def thing(x): return x * 2")
    identity_before = identity(before)
    (tmp_path / "mine.py").write_text((tmp_path / "mine.py").read_text().replace("x * 2", "x * 3"))
    os.utime(tmp_path / "mine.py", (1, 1))
    assert identity(before) == identity_before
    assert identity(make("def thing(x): return x * 3")) != identity_before


def test_a_module_that_was_loaded_again_has_the_identity_of_its_new_text(make, tmp_path: Path) -> None:
    make("def thing(x): return x * 3")
    fresh = identity(sys.modules["mine"].thing)
    identity(make("def thing(x):  return x * 2"))
    assert identity(make("def thing(x): return x * 3")) == fresh


@contextlib.contextmanager
def cell(text: str):
    """Runs text as a notebook does, which keeps it in linecache; gives what it defines."""
    name, namespace = f"<ipython-input-1-{abs(hash(text))}>", {"__name__": "__main__"}
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    try:
        exec(compile(text, name, "exec"), namespace)
        yield namespace
    finally:
        del linecache.cache[name]


def test_a_cell_of_a_notebook_has_the_identity_of_the_same_text_in_a_file(make) -> None:
    text = "F = 2\n\ndef thing(x):\n    return x * F\n"
    in_file = identity(make(text))
    with cell(text) as names, cell(text.replace("x * F", "x / F")) as other:
        assert identity(names["thing"]) == in_file
        assert identity(other["thing"]) != in_file


def test_a_class_of_a_cell_is_read_method_by_method() -> None:
    text = "class A:\n    def f(self):\n        return §\n"
    with cell(text.replace("§", "1")) as one, cell("\n" + text.replace("§", "1")) as same:
        assert identity(one["A"]()) == identity(same["A"]())
        with cell(text.replace("§", "2")) as other:
            assert identity(one["A"]()) != identity(other["A"]())


def test_a_patched_method_of_an_installed_class_counts(monkeypatch) -> None:
    model = resnet18(num_classes=2)
    before = model_identity(model)
    monkeypatch.setattr(ResNet, "_forward_impl", lambda self, x: x)
    assert model_identity(model) != before


def test_an_object_that_is_called_once_more_keeps_its_identity(make) -> None:
    thing = make(
        "@functools.lru_cache\ndef f(x): return x\n"
        "class A(nn.Module):\n    def forward(self, x): return f(1)\nthing = A()"
    )
    before = identity(thing)
    thing(torch.ones(1))
    assert identity(thing) == before
