"""What identifies code that lives in this process alone: source text and captured values, down to the last one.

A model that a study names is identified by its file and its builder. A module, function or preprocessing step that is
handed over as a Python object is taken apart instead: functions by their text, defaults, closure and what they read
from their module (`source_code`); objects by their class and the state that they would be pickled with; models by
their modules, attributes, hooks and tensors. Code of installed packages is identified by its name and the package's
version. What cannot be taken apart (an open session, a C object without state) is an error that asks for a `version`.
"""

import copyreg
import enum
import functools
import pickle
import types
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from failmodes.evaluate.models.source_code import (
    foreign_functions,
    function_text,
    inner_function,
    is_installed,
    is_installed_file,
    package_version,
    values_read,
)
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.hashing import fingerprint_of, identity_of

# What every module has (parameters, buffers, hooks, training …), and the marks of one that was compiled: the last is
# Lightning's, whose import replaces torch.compile by a function that leaves its options on the model
MODULE_STATE = frozenset({*vars(nn.Module()), "_is_torch_compile", "_compiled_call_impl", "_compile_kwargs"})
PLAIN = (bool, int, str, float, complex, bytes, type(None))
HOOKS = ("forward", "forward_pre", "backward", "backward_pre")  # the last two shape what gradients show
PLAIN_ATTRIBUTES = {  # of a class: they say nothing of what it computes
    "__module__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__qualname__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "_abc_impl", "__annotate_func__", "__annotations_cache__",
    "__orig_bases__", "__parameters__", "__match_args__", "__dataclass_params__", "__dataclass_fields__",
    "__signature__",
    *(f"__pydantic_{name}__" for name in (  # made from the fields, with addresses in it
        "complete", "core_schema", "custom_init", "decorators", "generic_metadata", "parent_namespace", "post_init",
        "serializer", "setattr_handlers", "validator",
    )),
}  # fmt: skip
DESCRIPTIONS = {  # attributes of models of this package or class that say where they come from, or are derived
    "timm": {"pretrained_cfg", "default_cfg"},
    fx.GraphModule.__module__: {"_graph", "_lineno_map", "_prologue_start"},
}
Parts = Callable[[Any, str], Iterable[Any]]  # value, path to it → facts


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
    reader, name = _Reader(subject, {id(tensor): key for key, tensor in (apart or {}).items()}), _name(thing)
    try:
        return identity_of(reader.facts(thing, name))
    except RecursionError as error:
        raise reader.refused(name, "its parts are nested too deeply") from error


class _Reader:
    """Takes one object apart, part by part; each part is hashed once, and one that holds itself ends there."""

    def __init__(self, subject: str, apart: Mapping[int, str]) -> None:
        self.subject, self.apart = subject, apart
        self.known: dict[int, tuple[str, object]] = {}  # hash by id; objects are kept alive, so that ids stay theirs
        self.open: list[int] = []  # ids of what is being taken apart, outermost first
        # How a value is taken apart, by its very type: a subclass of a container may compute something
        self.by_type: dict[type, Parts] = {
            list: self._sequence, tuple: self._sequence, dict: self._mapping, OrderedDict: self._mapping,
            set: self._set, frozenset: self._set, np.ndarray: self._array, np.memmap: self._array,
            torch.device: lambda _value, _path: (),  # where something runs changes rows by rounding alone
        }  # fmt: skip
        self.by_kind: tuple[tuple[Any, Parts], ...] = (  # the first kind that fits counts
            (torch.Tensor, self._tensor),
            (enum.Enum, lambda v, path: self._sequence((type(v), v.name, v.value), path)),
            (PurePath | torch.dtype | np.generic | np.dtype, lambda v, _: [str(v)]),
            (weakref.ReferenceType, lambda v, path: [self.facts(v(), path)]),
            (types.MappingProxyType, lambda v, path: [self.facts(dict(v), path)]),
            (types.ModuleType, lambda v, _: [v.__name__, package_version(v.__name__)]),
            (types.CodeType, self._code),
            (functools.partial, lambda v, path: self._sequence((v.func, v.args, v.keywords), path)),
            (functools._lru_cache_wrapper, lambda v, path: [self.facts(v.__wrapped__, path)]),
            (types.MethodType, lambda v, path: self._sequence((v.__func__, v.__self__), path)),
            (types.BuiltinFunctionType, self._builtin),
            (types.FunctionType, self._function),
            (type, self._class),
            (nn.Module, self._module),
            (object, self._object),
        )

    def facts(self, value: Any, path: str) -> Any:
        """A plain value itself, or the hash of any other; `path` leads to it, for errors."""
        value = _as_given(value)
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) in (float, complex, bytes):
            return [type(value).__name__, repr(value)]
        if id(value) in self.apart:
            return ["tensor", self.apart[id(value)]]
        if id(value) in self.known:
            return self.known[id(value)][0]
        if id(value) in self.open:
            return ["within", len(self.open) - self.open.index(id(value))]
        parts = self.by_type.get(type(value)) or next(way for kind, way in self.by_kind if isinstance(value, kind))
        self.open.append(id(value))
        found = identity_of([_kind(value), *parts(value, path)])
        self.open.pop()
        self.known[id(value)] = found, value
        return found

    def refused(self, path: str, reason: str) -> ModelError:
        """The error that asks for a version."""
        return ModelError(
            f"{self.subject} cannot be identified: {path}: {reason}; give it a name of your own, such as "
            'version="1", and change it when the code changes'
        )

    def _tensor(self, value: torch.Tensor, path: str) -> Iterator[Any]:
        try:
            plain = value.detach().cpu().resolve_conj().resolve_neg()
            plain = plain.dequantize() if plain.is_quantized else plain
            narrow = plain.is_floating_point() and plain.dtype != torch.float64  # NumPy has no bfloat16
            yield from (str(value.dtype), _fingerprint((plain.float() if narrow else plain).numpy()))
        except (RuntimeError, TypeError) as error:  # sparse, or without values (meta)
            raise self.refused(path, f"a tensor of {value.dtype} has no values that can be read") from error

    def _array(self, value: np.ndarray, path: str) -> Iterator[Any]:
        readable = value.dtype.kind in "biufcSU"
        yield _fingerprint(value) if readable else [str(value.dtype), self.facts(value.tolist(), path)]

    def _sequence(self, value: Sequence[Any], path: str) -> Iterator[Any]:
        for index, part in enumerate(value):
            yield self.facts(part, f"{path}[{index}]")

    def _mapping(self, value: Mapping[Any, Any], path: str) -> Iterator[Any]:
        for key, part in value.items():
            yield [self.facts(key, path), self.facts(part, f"{path}[{key!r}]")]

    def _set(self, value: Iterable[Any], path: str) -> Iterator[Any]:
        """Parts without an order; each as if it came first, since theirs differs from process to process."""
        readers = ((self if type(part) in PLAIN else self._again(), part) for part in value)
        yield sorted((reader.facts(part, path) for reader, part in readers), key=repr)

    def _again(self) -> "_Reader":
        reader = _Reader(self.subject, self.apart)
        reader.known, reader.open = dict(self.known), list(self.open)
        return reader

    def _code(self, code: types.CodeType, path: str) -> Iterator[Any]:
        """Bytecode: the same for the same text and version of Python."""
        table = getattr(code, "co_exceptiontable", b"")
        yield [code.co_code.hex(), table.hex(), code.co_argcount, code.co_kwonlyargcount, code.co_flags]
        yield [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars]
        yield self.facts(code.co_consts, path)

    def _builtin(self, function: types.BuiltinFunctionType, path: str) -> Iterator[Any]:
        """A function in C by its name; a method of an object, such as `table.take`, with that object."""
        yield [function.__module__, function.__qualname__, package_version(function.__module__)]
        owner = function.__self__
        yield None if isinstance(owner, types.ModuleType) else self.facts(owner, path)

    def _function(self, function: types.FunctionType, path: str) -> Iterator[Any]:
        """Text of a user's function and what it reads; of an installed one its name and what it captured."""
        if is_installed_file(function.__code__.co_filename):
            yield [function.__module__, function.__qualname__, package_version(function.__module__)]
        else:
            yield function_text(function) or self.facts(function.__code__, path)
            yield self._named(values_read(function), path)
        captured = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        yield self._named({name: cell.cell_contents for name, cell in captured if _is_filled(cell)}, path)
        for given in (function.__defaults__, function.__kwdefaults__, vars(function)):
            yield self.facts(given or None, f"{path} default")

    def _class(self, value: type, path: str) -> Iterator[Any]:
        """A class by its name where it is installed, else by all that it is made of."""
        if is_installed(value):
            yield [value.__module__, value.__qualname__, package_version(value.__module__)]
            yield self._named(foreign_functions(value), path)  # put there by others, or made as the program runs
            return
        yield [self.facts(part, f"{path}.{part.__name__}") for part in (type(value), *value.__bases__)]
        own = {name: inner_function(part) for name, part in vars(value).items() if name not in PLAIN_ATTRIBUTES}
        yield self._named(own, path)

    def _named(self, values: Mapping[str, Any], path: str) -> list[Any]:
        return [[name, self.facts(value, f"{path} → {name}")] for name, value in sorted(values.items())]

    def _module(self, module: nn.Module, path: str) -> Iterator[Any]:
        """A model: class, attributes, hooks, tensors, children."""
        yield [self.facts(type(module), path), module.training]
        skipped = MODULE_STATE.union(*(names for home, names in DESCRIPTIONS.items() if _comes_from(module, home)))
        yield self._named({name: value for name, value in vars(module).items() if name not in skipped}, path)
        for kind in HOOKS:
            hooks = getattr(module, f"_{kind}_hooks")
            with_keywords = getattr(module, f"_{kind}_hooks_with_kwargs", {})
            yield [[self.facts(hook, f"{path}.{kind} hook"), key in with_keywords] for key, hook in hooks.items()]
        for parts in (module._parameters, module._buffers, module._modules):
            yield [[name, self.facts(part, f"{path}.{name}")] for name, part in parts.items()]

    def _object(self, value: Any, path: str) -> Iterator[Any]:
        """Any other object: its class, and the state that pickle would keep."""
        yield self.facts(type(value), path)
        try:
            reduce = copyreg.dispatch_table.get(type(value))
            reduced: Any = value.__reduce_ex__(4) if reduce is None else reduce(value)
            if isinstance(reduced, str):
                pickle.dumps(value)  # raises where no module has it under that name
        except Exception as error:  # whatever an object that cannot be pickled raises
            raise self.refused(path, f"a {type(value).__qualname__} has no state that can be read") from error
        if isinstance(reduced, str):
            yield reduced
            return
        made_by, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        yield self.facts(made_by, path)
        yield [self.facts(part, path) for part in arguments or () if part is not type(value)]
        yield self.facts(state, path)
        yield [self.facts(list(part), path) for part in (items, pairs) if part is not None]


def _name(thing: object) -> str:
    name: str = getattr(thing, "__name__", type(thing).__name__)
    return name


def _as_given(value: Any) -> Any:
    """What torch.compile was given, where a module or function came from it."""
    if isinstance(value, nn.Module):
        return getattr(value, "_orig_mod", value)
    return getattr(value, "_torchdynamo_orig_callable", value) if isinstance(value, types.FunctionType) else value


def _kind(value: object) -> str:
    return "mapping" if isinstance(value, dict) else type(value).__name__


def _comes_from(module: nn.Module, home: str) -> bool:
    """Whether a model's class, or the installed one that it was made from, lies in a module or package."""
    return any(base.__module__ == home or base.__module__.startswith(f"{home}.") for base in type(module).__mro__[:2])


def _fingerprint(array: np.ndarray) -> str:
    return fingerprint_of([array if array.ndim else array.reshape(1)])


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True
