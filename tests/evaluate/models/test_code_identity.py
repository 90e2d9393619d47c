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
from typing import NamedTuple

import numpy as np
import pytest
import torch
from marked_cases import quick
from torch import nn

from failmodes.evaluate.models.code_identity import code_hash
from failmodes.runtime.errors import ModelError


class Change(NamedTuple):
    """A module that makes `thing`, with § for what is changed; `helpers` is a second module of the user's own."""

    text: str
    before: str
    after: str
    helpers: str = ""


HEAD = """
import collections, dataclasses, enum, functools, operator, re, typing
import numpy as np, torch
from torch import nn
import helpers
class Net(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(3, 2, 3)
    def forward(self, x): return self.conv(x).mean((2, 3))
"""

CHANGES = {
    "text": Change("def thing(x): return x * §", "2", "3"),
    "default": Change("factor = §\ndef thing(x, f=factor): return f", "2", "3"),
    "default by keyword": Change("factor = §\ndef thing(x, *, f=factor): return f", "2", "3"),
    "closure": Change("def make(f):\n    return lambda x: x * f\nthing = make(§)", "2", "2.0"),
    "global": Change("F = §\ndef thing(x): return x * F", "2", "3"),
    "global of an inner function": Change("F = §\ndef thing(x):\n    return [y * F for y in x]", "2", "3"),
    "helper two calls down": Change(
        "def a(x): return x * §\ndef b(x): return a(x)\ndef thing(x): return b(x)", "2", "3"
    ),
    "lambda beside another": Change("thing, other = §", "lambda x: x, lambda x: -x", "lambda x: -x, lambda x: x"),
    "lambda over two lines": Change("thing = tuple([\n    lambda x: x *\n    §])", "2", "3"),
    "wrapper": Change(
        "def f(x): return x\ndef twice(g):\n    @functools.wraps(g)\n    def inner(x): return g(x) * §\n"
        "    return inner\nthing = twice(f)", "2", "3"
    ),
    "what a wrapper wraps": Change(
        "def twice(g):\n    @functools.wraps(g)\n    def inner(x): return g(x)\n    return inner\n"
        "@twice\ndef thing(x): return x * §", "2", "3"
    ),
    "wrapper of an installed function": Change("thing = functools.wraps(np.mean)(lambda x: x * §)", "2", "3"),
    "cached function": Change("@functools.lru_cache\ndef thing(x): return x * §", "2", "3"),
    "torch's decorator": Change("@torch.no_grad()\ndef thing(x): return x * §", "2", "3"),
    "compiled function": Change("@torch.compile\ndef thing(x): return x * §", "2", "3"),
    "generic function": Change(
        "@functools.singledispatch\ndef thing(x): return x\n@thing.register\ndef _(x: int): return x * §", "2", "3"
    ),
    "attribute of a function": Change("def thing(x): return x * thing.f\nthing.f = §", "2", "3"),
    "function without source": Change("names = {}\nexec('def f(): return §', names)\nthing = names['f']", "2", "3"),
    "constant in a lambda": Change("thing = lambda x: x in {'a', §}", "'b'", "'c'"),
    "own module's function": Change("def thing(x): return helpers.f(x)", "2", "3", "def f(x): return x * §"),
    "own module's constant": Change("def thing(x): return x * helpers.F", "2", "3", "F = §"),
    "function of an own module's module": Change(
        "helpers.deeper = type(np)('deeper')\nhelpers.deeper.f = lambda x: x * §\n"
        "def thing(x): return helpers.deeper.f(x)", "2", "3"
    ),
    "own module, imported inside": Change(
        "def thing(x):\n    import helpers as h\n    return h.f(x)", "2", "3", "def f(x): return x * §"
    ),
    "function, imported inside": Change(
        "def thing(x):\n    from helpers import f\n    return f(x)", "2", "3", "def f(x): return x * §"
    ),
    "partial": Change("def f(x, y): return x * y\nthing = functools.partial(f, y=§)", "2", "3"),
    "method's object": Change(
        "class A:\n    def __init__(self, f): self.f = f\n    def go(self): return self.f\nthing = A(§).go", "2", "3"
    ),
    "method in C": Change("thing = np.array([1, §]).take", "2", "3"),
    "methodcaller": Change("thing = operator.methodcaller('clip', §)", "0, 1", "0, 2"),
    "callable object": Change("class A:\n    def __call__(self, x): return x * §\nthing = A()", "2", "3"),
    "class attribute": Change("class A:\n    f = §\n    def __call__(self): return self.f\nthing = A()", "2", "3"),
    "static method": Change("class A:\n    @staticmethod\n    def f(x): return x * §\nthing = A()", "2", "3"),
    "class method": Change("class A:\n    @classmethod\n    def f(cls): return §\nthing = A()", "2", "3"),
    "property": Change("class A:\n    @property\n    def f(self): return §\nthing = A()", "2", "3"),
    "cached property": Change("class A:\n    @functools.cached_property\n    def f(s): return §\nthing = A", "2", "3"),
    "class in a class": Change("class A:\n    class B:\n        f = §\nthing = A()", "2", "3"),
    "base class, by super()": Change(
        "class A:\n    def f(self): return §\nclass B(A):\n    def f(self): return super().f()\nthing = B().f", "2", "3"
    ),
    "metaclass": Change(
        "class M(type):\n    def __call__(cls, *a): return §\nclass A(metaclass=M): pass\nthing = A", "2", "3"
    ),
    "slots": Change("class A:\n    __slots__ = ('f',)\nthing = A()\nthing.f = §", "2", "3"),
    "dataclass": Change("@dataclasses.dataclass\nclass A:\n    f: int = §\nthing = A()", "2", "3"),
    "dataclass's method": Change("@dataclasses.dataclass\nclass A:\n    def f(self): return §\nthing = A()", "2", "3"),
    "named tuple's method": Change(
        "class A(typing.NamedTuple):\n    a: int = 1\n    def f(self): return self.a * §\nthing = A()", "2", "3"
    ),
    "dict's method": Change("class A(dict):\n    def __missing__(self, key): return §\nthing = A()", "2", "3"),
    "default of a dict": Change("thing = collections.defaultdict(lambda: §)", "2", "3"),
    "enum's value": Change("class A(enum.Enum):\n    a = §\nthing = A.a", "2", "3"),
    "enum's method": Change("class A(enum.Enum):\n    a = 1\n    def f(self): return §\nthing = A.a", "2", "3"),
    "order of a dict": Change("thing = {§}", "'a': 1, 'b': 2", "'b': 2, 'a': 1"),
    "order of a list": Change("thing = [§]", "1, 2", "2, 1"),
    "content of a set": Change("thing = {'a', §}", "'b'", "'c'"),
    "array": Change("thing = np.array([1, §])", "2", "3"),
    "array's type": Change("thing = np.zeros(2, §)", "'f4'", "'f8'"),
    "array of objects": Change("thing = np.array([print, §])", "abs", "len"),
    "array's mask": Change("thing = np.ma.array([1, 2], mask=[0, §])", "0", "1"),
    "array of dates": Change("thing = np.array(['2020-01-0§'], 'M8[D]')", "1", "2"),
    "vectorized function": Change("thing = np.vectorize(lambda x: x * §)", "2", "3"),
    "expression": Change("thing = re.compile('a§')", "b", "c"),
    "number's type": Change("thing = [§]", "1", "True"),
    "tensor": Change("thing = torch.tensor([1.0, §])", "2", "3"),
    "part of a tensor": Change("thing = torch.tensor([[1.0, 0], [§, 0]])[1:, :1]", "2", "3"),
    "tensor in half precision": Change("thing = torch.tensor([§], dtype=torch.bfloat16)", "2", "3"),
    "tensor of large whole numbers": Change("thing = torch.tensor([§])", "2**24", "2**24 + 1"),
    "tensor of complex numbers": Change("thing = torch.tensor([§])", "1 + 1j", "1 + 2j"),
    "weights of a captured model": Change("net = Net(§)\ndef thing(x): return net(x)", "0", "1"),
    "mode of a captured model": Change("net = Net().train(§)\ndef thing(x): return net(x)", "True", "False"),
    "weights of a method's model": Change("thing = Net(§).forward", "0", "1"),
    "quantized tensor": Change("thing = torch.quantize_per_tensor(torch.ones(1), §, 0, torch.qint8)", "0.3", "0.7"),
}  # fmt: skip
MODEL_CHANGES = {
    "attribute of a layer": Change("thing = Net()\nthing.conv.stride = §", "(1, 1)", "(2, 2)"),
    "forward": Change(
        "class Other(Net):\n    def forward(self, x): return § * super().forward(x)\nthing = Other()", "2", "3"
    ),
    "forward of one object": Change(
        "thing = Net()\ndef forward(x): return x * §\nthing.forward = forward", "2", "3"
    ),
    "forward of one object, as a method": Change(
        "thing = Net()\nthing.forward = type(thing.forward)(lambda self, x: x * §, thing)", "2", "3"
    ),
    "hook": Change("thing = Net()\nthing.conv.register_forward_hook(lambda m, i, o: o * §)", "2", "3"),
    "hook before": Change("thing = Net()\nthing.register_forward_pre_hook(lambda m, i: §)", "None", "i"),
    "hook backward": Change("thing = Net()\nthing.register_full_backward_hook(lambda m, i, o: §)", "None", "i"),
    "hook with keywords": Change(
        "thing = Net()\nthing.register_forward_pre_hook(lambda *a: None, with_kwargs=§)", "True", "False"
    ),
    "buffer that is not saved": Change(
        "thing = Net()\nthing.register_buffer('b', torch.tensor(§), persistent=False)", "2", "3"
    ),
    "tensor as attribute": Change("thing = Net()\nthing.t = torch.tensor(§)", "2", "3"),
    "layer more": Change("thing = nn.Sequential(Net(), §)", "nn.ReLU()", "nn.ReLU(), nn.ReLU()"),
    "layer's class": Change("thing = nn.Sequential(Net(), §)", "nn.ReLU()", "nn.GELU()"),
    "model in a list": Change("thing = Net()\nthing.others = [Net(§)]", "1", "2"),
    "model in a closure": Change("other = Net(§)\nthing = Net()\nthing.f = lambda x: other(x)", "1", "2"),
    "which tensor where": Change("thing = Net()\nw, b = thing.parameters()\nthing.used = [§]", "w, b", "b, w"),
    "traced model": Change(
        "class A(nn.Module):\n    def forward(self, x): return x * §\nthing = torch.fx.symbolic_trace(A())", "2", "3"
    ),
    "parametrization": Change(
        "class P(nn.Module):\n    def forward(self, x): return x * §\nthing = Net()\n"
        "nn.utils.parametrize.register_parametrization(thing.conv, 'weight', P())", "2", "3"
    ),
    "compiled layer": Change("thing = nn.Sequential(torch.compile(nn.Dropout(§)))", "0.2", "0.3"),
}  # fmt: skip
SAME = {
    "text around a function": Change("§def thing(x): return x", "", "# a line\ndef other(): pass\n\n\n"),
    "comment in a function": Change("def thing(x):\n    # §\n    return x", "one", "another"),
    "indentation": Change("if True:\n§def thing(x): return x", " ", "        "),
    "order of a set": Change("thing = {§}", "'a', 'b', 2", "2, 'b', 'a'"),
    "equal tuples, one or two": Change("a = tuple([1, 2])\nthing = [a, §]", "a", "tuple([1, 2])"),
    "equal layers, one or two": Change("a = nn.ReLU()\nthing = nn.Sequential(a, §)", "a", "nn.ReLU()"),
    "what no function reads": Change("F = §\ndef thing(x): return x", "2", "3"),
    "own module's other parts": Change("def thing(x): return helpers.f(x)", "2", "3", "G = §\ndef f(x): return x"),
    "class's docstring": Change("class A:\n    '''§'''\nthing = A()", "one", "another"),
    "device": Change("thing = torch.device(§)", "'cpu'", "'cuda:1'"),
    "gradients": Change("thing = Net().requires_grad_(§)", "True", "False"),
    "compiled or not": Change("a = nn.ReLU()\nthing = [§, a]", "a", "torch.compile(a)"),
    "compiled in place or not": Change(
        "def compiled(net):\n    net.compile()\n    return net\na = nn.ReLU()\nthing = [§, a]", "a", "compiled(a)"
    ),
    "compiled where Lightning is imported": Change(
        "def compiled(net):\n    torch.compile(net)._compile_kwargs = {}\n    return net\n"
        "a = nn.ReLU()\nthing = [§, a]",
        "a",
        "compiled(a)",
    ),
    "memory layout": Change("thing = np.ones((2, 3), order=§)", "'C'", "'F'"),
}

STABLE = r"""
import collections, dataclasses, enum, functools, json, logging, operator, pathlib, random, re, types, typing
import numpy as np, pydantic, torch, torchvision
from torch import nn
from torchvision.transforms import v2
from failmodes.evaluate.models.code_identity import code_hash

NAMES, log = {"a", "b", "c", "dd", "eee"}, logging.getLogger(__name__)

class Settings(pydantic.BaseModel):
    names: set[str] = {"x", "y", "z"}
    @pydantic.field_validator("names")
    @classmethod
    def check(cls, names): return names

class Color(enum.Enum):
    RED, BLUE = "r", "b"
    def shift(self): return {Color.RED: 1, Color.BLUE: 2}[self]

@dataclasses.dataclass(frozen=True)
class Scale:
    a: int = 1
    c: list = dataclasses.field(default_factory=list)
    def __call__(self, x): return x * self.a

class Point(typing.NamedTuple):
    x: int = 1

T = typing.TypeVar("T")
class Generic(typing.Generic[T]):
    names = frozenset({"p", "q", "r"})
    def f(self, x: T) -> T: return x

def uses(x):
    log.info("x")
    return re.sub("a", "b", x) + str(NAMES) + str(helper(x))
def helper(x, *, k=frozenset({"q", "r"})):
    return [y for y in x if y in {"m", "n", "oo"}] or isinstance(x, (Scale, Point)) or by_lambda(x)
by_lambda = lambda x: x in {"one", "two", "three"}

@functools.singledispatch
def generic(x): return x
@generic.register
def _(x: int): return -x
@functools.wraps(helper)
def wrapped(*a): return helper(*a)
def odd(x): return even(x - 1) if x else 0
def even(x): return odd(x - 1)

class Loop:
    def __init__(self):
        self.me, self.go_on, self.functions, self.colors = self, self.go, {odd, even, helper}, set(Color)
    def go(self): return self

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.act, self.device = nn.Linear(3, 3), torch.relu, torch.device("cpu")
        self.config, self.path, self.seen = types.SimpleNamespace(a=1), pathlib.Path("a/b"), {"u", "v", "w"}
        self.register_buffer("hidden", torch.ones(2), persistent=False)
        self.register_forward_hook(lambda module, given, output: output)
        self.linear.register_forward_pre_hook(self.before, with_kwargs=True)
    def before(self, module, given, keywords): return given, keywords
    def forward(self, x): return self.linear(x)

torch.manual_seed(0)
model = Net()
things = {
    "pydantic": Settings(), "enum": Color.RED, "enum class": Color, "dataclass": Scale(), "named tuple": Point(),
    "generic class": Generic(), "alias": Generic[int], "union": int | str, "function": uses, "lambda": by_lambda,
    "single dispatch": generic, "wrapped": wrapped, "recursion": odd, "loop": Loop(), "model": model,
    "method": model.forward, "partial": functools.partial(helper, k={"a", "b", "c"}),
    "no_grad": torch.no_grad()(helper), "vmap": torch.vmap(helper),
    "LSTM": nn.LSTM(2, 2), "attention": nn.MultiheadAttention(4, 2),
    "encoder": nn.TransformerEncoderLayer(8, 2, 16), "spectral norm": nn.utils.spectral_norm(nn.Linear(2, 2)),
    "weight norm": nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)),
    "fx": torch.fx.symbolic_trace(nn.Sequential(nn.Linear(1, 1))),
    "weights": torchvision.models.ResNet18_Weights.DEFAULT,
    "preset": torchvision.models.ResNet18_Weights.DEFAULT.transforms(),
    "v2": v2.Compose([v2.Resize(8), v2.ToDtype(torch.float32, scale=True), v2.Lambda(by_lambda)]),
    "layer": torchvision.models.resnet18(weights=None).conv1.__class__,
    "itemgetter": operator.itemgetter(1), "counter": collections.Counter("abca"), "deque": collections.deque([1]),
    "default": collections.defaultdict(int, {"a": 1}), "frozenset": frozenset({"a", "b", ("c", 1)}), "bytes": b"abc",
    "random": random.Random(0), "generator": np.random.default_rng(0), "vectorize": np.vectorize(helper),
    "sets": {frozenset({"a", "b"}), frozenset({"c"}), helper, Color.RED}, "proxy": types.MappingProxyType({"a": 1}),
}
print(json.dumps({name: code_hash(thing, subject=name) for name, thing in things.items()}))
"""


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


@pytest.mark.test_all
@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_changes_a_function_or_object_changes_its_identity(make, change: Change) -> None:
    before, after = both(make, change)
    assert before != after


@quick("name", MODEL_CHANGES, *MODEL_CHANGES.keys() - {"compiled layer"})
def test_what_changes_a_model_beside_its_tensors_changes_its_identity_and_a_copy_keeps_it(make, name: str) -> None:
    change = MODEL_CHANGES[name]
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


@pytest.mark.test_all
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
