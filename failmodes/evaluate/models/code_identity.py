"""What identifies a model, function or preprocessing step that is handed over as a Python object.

The object is taken apart down to plain values, and the parts are hashed: functions by their bytecode, defaults, closure
and the globals that they read; user-defined classes by their attributes and bases; models by their attributes, hooks,
tensors and children; any other object by its class and what pickle would store. Code of installed packages counts by
its name and the package's version. An object without readable state (an open session, a lock) is an error that asks
for a `version`.

Bytecode is what runs, whether or not its source can be found or was edited since. It does not depend on comments or
line numbers, but on Python's minor version: after an upgrade of Python, user code has another identity.
"""

import copyreg
import dis
import enum
import functools
import hashlib
import io
import itertools
import pickle
import re
import sys
import sysconfig
import types
import warnings
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from operator import attrgetter
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.hashing import identity_of

PLAIN = {bool, int, str, float, complex, bytes, type(None)}
HOOKS = ("forward", "forward_pre", "backward", "backward_pre")  # the last two change what gradients show
# What every module has, but for what it computes with, and what torch.compile and Lightning leave on it
MODULE_STATE = {*vars(nn.Module()), "_is_torch_compile", "_compiled_call_impl", "_compile_kwargs"} - {
    "training", "_parameters", "_buffers", "_modules"
}  # fmt: skip
CLASS_STATE = {  # attributes of every class that do not change what it computes
    "__module__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__qualname__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "_abc_impl", "__annotate_func__", "__annotations_cache__",
    "__orig_bases__", "__parameters__", "__match_args__", "__dataclass_params__", "__dataclass_fields__",
    "__signature__",
    *(f"__pydantic_{name}__" for name in (  # made from the fields, with addresses in it
        "complete", "core_schema", "custom_init", "decorators", "generic_metadata", "parent_namespace", "post_init",
        "serializer", "setattr_handlers", "validator",
    )),
}  # fmt: skip
OF_THE_FILE = {"__file__", "__name__", "__package__", "__spec__", "__loader__", "__builtins__", "__doc__"}
# How TorchScript renames classes that it compiled after others, and the source position of a step in a graph
COMPILED, PLACE = re.compile(rb"\.?___torch_mangle_\d+"), re.compile(r" # .*:\d+:\d+$", re.M)
CODE = (
    "co_code", "co_exceptiontable", "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_flags", "co_names",
    "co_varnames", "co_freevars", "co_cellvars", "co_consts",
)  # fmt: skip
READS = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"}
# Another version of these may change rows by rounding alone; `versions` of a shard say which one made it
UNVERSIONED = {"torch", "torchvision", "timm", "numpy", "scipy", "PIL", "cv2"}
INSTALLED_FOLDERS = {"site-packages", "dist-packages"}
GENERATED = ("<string>", "<attrs generated")  # files of methods that dataclasses, named tuples and attrs write
Parts = Mapping[Any, Any] | Iterable[Any]


def code_hash(thing: object, *, subject: str, apart: Mapping[str, torch.Tensor] | None = None) -> str:
    """Identity of a module, a function or any other object that computes something.

    Args:
        thing: what is taken apart.
        subject: what it is, for errors, such as "model 'Net A'".
        apart: tensors that are identified elsewhere, such as those of a state_dict: they count by their name alone.
            All others count by their values.

    Raises:
        ModelError: something in it has no state that can be read.
    """
    reader = _Reader({id(tensor): name for name, tensor in (apart or {}).items()})
    name = getattr(thing, "__name__", type(thing).__name__)
    try:
        return identity_of(reader.facts(thing, name))
    except Exception as error:  # whatever an object raises that cannot be pickled
        keys, values = zip(*reader.open.values(), strict=True)
        reason = f"{''.join(keys)}: a {type(values[-1]).__qualname__} has no state that can be read"
        if isinstance(error, RecursionError):
            reason = f"{name}: its parts are nested too deeply"
        raise ModelError(
            f"{subject} cannot be identified: {reason}; give it a name of your own, such as "
            'version="1", and change it when the code changes'
        ) from error


@dataclass
class _Reader:
    """Hashes one object part by part: each part once, and not again inside itself."""

    apart: Mapping[int, str]  # names of tensors, by id
    known: dict[int, tuple[str, object]] = field(default_factory=dict)  # hashes by id; a living object keeps its id
    open: dict[int, tuple[str, object]] = field(default_factory=dict)  # keys and values being read, outermost first

    def facts(self, value: Any, key: str) -> Any:
        """A plain value, or the hash of any other; `key` leads to it from the value that holds it, for errors."""
        if isinstance(value, nn.Module | types.FunctionType):  # what torch.compile was given
            value = getattr(value, "_orig_mod", getattr(value, "_torchdynamo_orig_callable", value))
        if type(value) in PLAIN:
            return [type(value).__name__, repr(value)]
        if id(value) in self.apart:
            return ["tensor", self.apart[id(value)]]
        if id(value) in self.open:
            return ["within", len(self.open) - list(self.open).index(id(value))]
        if id(value) not in self.known:
            self.open[id(value)] = key, value
            self.known[id(value)] = identity_of([type(value).__name__, self.contents(value)]), value
            del self.open[id(value)]
        return self.known[id(value)][0]

    def contents(self, value: Any) -> list[Any]:
        """Facts of the parts of a value, in its order, or sorted where it has none."""
        if type(value) in (set, frozenset):  # each part as if it came first: their order differs between processes
            return sorted((replace(self, known={}).facts(part, "") for part in value), key=repr)
        take_apart = BY_TYPE.get(type(value)) or next(rule for kind, rule in BY_KIND if isinstance(value, kind))
        parts = take_apart(value)
        pairs = parts.items() if isinstance(parts, Mapping) else enumerate(parts)
        return [[self.facts(key, ""), self.facts(part, f"[{key!r}]")] for key, part in pairs]


def _tensor(tensor: torch.Tensor) -> Parts:
    plain = tensor.detach().cpu().resolve_conj().resolve_neg()
    plain = plain.dequantize() if plain.is_quantized else plain
    in_order = plain.clone(memory_format=torch.contiguous_format)
    return str(tensor.dtype), tuple(tensor.shape), _array(in_order.reshape(-1).view(torch.uint8).numpy())


def _array(array: np.ndarray) -> Parts:
    if array.dtype.hasobject:
        return str(array.dtype), array.tolist()
    in_order = np.ascontiguousarray(array).reshape(-1)
    return str(array.dtype), array.shape, hashlib.sha256(in_order.view(np.uint8).data).hexdigest()


def _function(function: types.FunctionType) -> Parts:
    code = function.__code__
    by_name = _is_installed_file(code.co_filename)
    return {
        "code": _name_and_version(function.__globals__.get("__name__"), code.co_qualname) if by_name else code,
        "globals": {} if by_name else _values_read(function),
        "closure": dict(zip(code.co_freevars, function.__closure__ or (), strict=True)),
        "defaults": function.__defaults__,
        "keyword defaults": function.__kwdefaults__,
        "attributes": vars(function),
    }


def _class(cls: type) -> Parts:
    if not _is_installed(cls.__module__):
        own = {name: part for name, part in vars(cls).items() if name not in CLASS_STATE}
        return {"class": type(cls), "bases": cls.__bases__, **dict(sorted(own.items()))}
    functions = {
        f"{base.__qualname__}.{name}": getattr(part, "__func__", part)
        for base in cls.__mro__
        for name, part in vars(base).items()
    }
    patched = {  # by a user, or made as the program runs
        name: function
        for name, function in functions.items()
        if isinstance(function, types.FunctionType)
        and not _is_installed_file(function.__code__.co_filename)
        and not function.__code__.co_filename.startswith(GENERATED)
    }
    return {"class": _name_and_version(cls.__module__, cls.__qualname__), **patched}


def _module(module: nn.Module) -> Parts:
    """Class, attributes, tensors, children, and hooks in the order in which they run."""
    state = {name: value for name, value in vars(module).items() if name not in MODULE_STATE}
    hooks = {
        f"{kind} hooks": [
            (hook, key in getattr(module, f"_{kind}_hooks_with_kwargs", ()))
            for key, hook in getattr(module, f"_{kind}_hooks").items()
        ]
        for kind in HOOKS
    }
    return {"class": type(module), **dict(sorted(state.items())), **hooks}


def program_file(module: torch.jit.ScriptModule) -> io.BytesIO:
    """A TorchScript program as `torch.jit.save` writes it, to be read from its beginning."""
    file = io.BytesIO()
    with warnings.catch_warnings():  # that TorchScript is deprecated, which is for whoever compiles a model
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(module, file)
    file.seek(0)
    return file


def _program(module: torch.jit.ScriptModule) -> Parts:
    """A TorchScript program as its file holds it: values, all its code, and the steps in the order of a forward pass.

    The names that its classes got depend on what was compiled before, and are left out; so are places in source files.
    """
    with zipfile.ZipFile(program_file(module)) as archive:
        entries = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    lines, values = [], []
    for name, content in entries.items():
        if name.startswith("code/") and name.endswith(".py"):
            lines += COMPILED.sub(b"", content).splitlines()
        elif name.startswith(("data", "constants")):
            values.append(hashlib.sha256(COMPILED.sub(b"", content)).hexdigest())
    steps = COMPILED.sub(b"", PLACE.sub("", str(module.inlined_graph)).encode())
    return {"steps": steps, "code": b"\n".join(sorted(lines)), "values": values}


def _object(value: Any) -> Parts:
    """The class of any other object, and how pickle would make it anew."""
    reduce = copyreg.dispatch_table.get(type(value))
    reduced = reduce(value) if reduce else value.__reduce_ex__(4)
    if isinstance(reduced, str):
        pickle.dumps(value)  # raises where no module has it under that name
        return type(value), getattr(value, "__module__", None), reduced
    made = [list(part) if isinstance(part, Iterator) else part for part in reduced]
    return {"class": type(value), **dict(zip(("maker", "arguments", "state", "items", "pairs"), made, strict=False))}


# How a value is taken apart: by its exact type, since a subclass of a container may compute something …
BY_TYPE: dict[type, Callable[[Any], Parts]] = {
    list: list,
    tuple: tuple,
    dict: dict,
    np.ndarray: _array,
    np.memmap: _array,
    torch.device: lambda _: (),  # where something runs changes rows by rounding alone
}
# … else by the first kind that fits
BY_KIND: tuple[tuple[Any, Callable[[Any], Parts]], ...] = (
    (torch.Tensor, _tensor),
    (enum.Enum, lambda member: (type(member), member.name, member.value)),
    (weakref.ReferenceType, lambda reference: [reference()]),
    (types.MappingProxyType, dict),
    (types.CellType, lambda cell: [] if cell == types.CellType() else [cell.cell_contents]),
    (types.ModuleType, lambda module: _name_and_version(module.__name__)),
    (types.CodeType, attrgetter(*CODE)),
    (types.MethodType, attrgetter("__func__", "__self__")),
    # A function in C; a method of an object, such as `table.take`, with that object
    (types.BuiltinFunctionType, lambda f: (_name_and_version(f.__module__, f.__qualname__), f.__self__)),
    (types.FunctionType, _function),
    (type(functools.cache(len)), lambda cached: [cached.__wrapped__]),
    (staticmethod | classmethod, lambda method: [method.__func__]),
    (property, attrgetter("fget", "fset")),
    (functools.cached_property, lambda attribute: [attribute.func]),
    (types.MemberDescriptorType | types.GetSetDescriptorType, lambda attribute: [attribute.__name__]),
    (type, _class),
    (fx.Graph, lambda graph: [str(graph)]),
    (torch.jit.ScriptModule, _program),
    (nn.Module, _module),
    (object, _object),
)


def _values_read(function: types.FunctionType) -> dict[str, Any]:
    """The globals that a function reads and the modules that it imports; of the user's own modules, what it names."""
    codes, scope = [function.__code__], function.__globals__
    for code in codes:  # grows by the functions, comprehensions and classes inside
        codes += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
    names = {name for code in codes for name in code.co_names} - OF_THE_FILE
    steps = [step for code in codes for step in dis.get_instructions(code)]
    read = {step.argval for step in steps if step.opname in READS} & names & scope.keys()
    # A relative import states no full name: it may start at any package around the function's module
    homes = ["", *itertools.accumulate((scope.get("__package__") or "").split("."), "{}.{}".format)]
    imported = {f"{home}.{step.argval}".strip(".") for step in steps if step.opname == "IMPORT_NAME" for home in homes}
    values = {name: scope[name] for name in read}
    values |= {f"import {name}": sys.modules[name] for name in imported & sys.modules.keys()}
    own_modules = [value for value in values.values() if _is_own_module(value)]
    for module in own_modules:  # grows by the modules that they hold
        named = {f"{module.__name__}.{name}": vars(module)[name] for name in names & vars(module).keys()}
        own_modules += [value for value in named.values() if _is_own_module(value) and value not in own_modules]
        values |= named
    return dict(sorted(values.items()))


def _is_own_module(value: object) -> bool:
    return isinstance(value, types.ModuleType) and not _is_installed(value.__name__)


@functools.cache
def _is_installed_file(name: str) -> bool:
    """Whether code of this file comes from the standard library or an installed package."""
    path = PurePath(name)
    in_folder = bool(INSTALLED_FOLDERS & set(path.parts)) or path.is_relative_to(sysconfig.get_path("stdlib"))
    return in_folder or name.startswith("<frozen ")


def _is_installed(module_name: object) -> bool:
    """Whether a module, such as a class's `__module__`, is of the standard library or an installed package."""
    package = str(module_name).split(".")[0]
    files = [getattr(sys.modules.get(name), "__file__", None) for name in (str(module_name), package)]
    return package in sys.stdlib_module_names or any(file and _is_installed_file(file) for file in files)


def _name_and_version(module_name: str | None, *qualified_name: str) -> tuple[str | None, ...]:
    """What identifies installed code; without a version where it is unknown or says nothing."""
    return module_name, *qualified_name, _version((module_name or "").split(".")[0])


@functools.cache
def _version(package: str) -> str | None:
    if package in UNVERSIONED | sys.stdlib_module_names or not _is_installed(package):
        return None
    version = getattr(sys.modules.get(package), "__version__", None)
    if version is None:
        distributions = metadata.packages_distributions().get(package)
        version = metadata.version(distributions[0]) if distributions else None
    return None if version is None else str(version)
