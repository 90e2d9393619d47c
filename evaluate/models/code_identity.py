"""What identifies code that lives in this process alone: source text and captured values, down to the last one.

A network that a study names is identified by its file and its builder. A module, function or preprocessing step that is
handed over as a Python object is taken apart instead: functions by their source text, defaults, closure and the global
names that they read; objects by their class and the state that they would be pickled with; networks by their modules,
attributes, hooks and tensors. Code of installed packages is identified by its name and the package's version. What
cannot be taken apart (an open session, a C object without state) is an error that asks for a `version`.
"""

import dis
import enum
import functools
import inspect
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import nn

from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.hashing import fingerprint_of, identity_of

# Another version of these may change rows by rounding alone; `versions` of a shard say which one made it
UNVERSIONED = {"torch", "torchvision", "timm", "numpy", "scipy", "PIL", "cv2"}
INSTALLED_FOLDERS = {"site-packages", "dist-packages"}
MODULE_STATE = frozenset(vars(nn.Module()))  # what every module has: parameters, buffers, hooks, training …
HOOKS = ("_forward_hooks", "_forward_pre_hooks")
PLAIN_ATTRIBUTES = {  # of a class: they say nothing of what it computes
    "__module__", "__dict__", "__weakref__", "__doc__", "__annotations__", "__qualname__", "__firstlineno__",
    "__static_attributes__", "__abstractmethods__", "_abc_impl", "__annotate_func__", "__annotations_cache__",
    "__orig_bases__", "__parameters__", "__match_args__", "__dataclass_params__", "__dataclass_fields__",
}  # fmt: skip
DESCRIPTIONS = {"pretrained_cfg", "default_cfg"}  # of timm's networks: where weights come from, not what is computed


def code_hash(thing: object, *, subject: str, tensors: bool = True) -> str:
    """Identity of a module, a function or any other object that computes something.

    Args:
        thing: what is taken apart.
        subject: what it is, for errors, such as "model 'Net A'".
        tensors: whether parameters and buffers of a network count too, by their values in float32.

    Raises:
        ModelError: something in it has neither source text nor a state that can be read.
    """
    return identity_of(_Reader(subject, tensors=tensors).facts(thing, getattr(thing, "__name__", type(thing).__name__)))


class _Reader:
    """Takes one object apart, part by part; each part is hashed once, and one that holds itself ends there."""

    def __init__(self, subject: str, *, tensors: bool) -> None:
        self.subject, self.tensors = subject, tensors
        self.known: dict[int, tuple[str, object]] = {}  # hash by id; objects are kept alive, so that ids stay theirs
        self.open: list[int] = []  # ids of what is being taken apart, outermost first

    def facts(self, value: Any, path: str) -> Any:
        """A plain value itself, or the hash of any other; `path` leads to it, for errors."""
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) in (float, complex, bytes):
            return [type(value).__name__, repr(value)]
        if id(value) in self.known:
            return self.known[id(value)][0]
        if id(value) in self.open:
            return ["within", len(self.open) - self.open.index(id(value))]
        self.open.append(id(value))
        found = identity_of([_kind(value), *self._parts(value, path)])
        self.open.pop()
        self.known[id(value)] = found, value
        return found

    def _parts(self, value: Any, path: str) -> Iterable[Any]:
        """What a value is made of, by what it is; the first kind that fits counts."""
        kinds: tuple[tuple[Any, Callable[[Any, str], Iterable[Any]]], ...] = (
            (torch.Tensor, self._tensor),
            (np.ndarray, self._array),
            (list | tuple, self._sequence),
            (dict, self._mapping),
            (set | frozenset, self._set),
            (enum.Enum | PurePath | torch.dtype | torch.device | np.generic | np.dtype, lambda v, _: [str(v)]),
            (types.ModuleType, lambda v, _: [v.__name__]),
            (functools.partial, lambda v, path: self._sequence((v.func, v.args, v.keywords), path)),
            (types.MethodType, lambda v, path: self._sequence((v.__func__, v.__self__), path)),
            (type | types.FunctionType | types.BuiltinFunctionType, self._named),
            (nn.Module, self._module),
        )
        return next((parts for kind, parts in kinds if isinstance(value, kind)), self._object)(value, path)

    def _tensor(self, value: torch.Tensor, _path: str) -> Iterator[Any]:
        yield from (str(value.dtype), list(value.shape), _fingerprint(value.detach().cpu().float().numpy()))

    def _array(self, value: np.ndarray, path: str) -> Iterator[Any]:
        yield _fingerprint(value) if not value.dtype.hasobject else self.facts(value.tolist(), path)

    def _sequence(self, value: Sequence[Any], path: str) -> Iterator[Any]:
        for index, part in enumerate(value):
            yield self.facts(part, f"{path}[{index}]")

    def _mapping(self, value: Mapping[Any, Any], path: str) -> Iterator[Any]:
        for key, part in value.items():
            yield [self.facts(key, path), self.facts(part, f"{path}[{key!r}]")]

    def _set(self, value: Iterable[Any], path: str) -> Iterator[Any]:
        yield sorted((self.facts(part, path) for part in value), key=repr)

    def _named(self, value: Any, path: str) -> Iterator[Any]:
        """A class or a function: by its name where it is installed, else by all that it is made of."""
        if not isinstance(value, types.FunctionType | type) or _is_installed(value):
            yield [value.__module__, value.__qualname__, _version_of(value.__module__)]
        if isinstance(value, types.FunctionType):
            yield from self._function(value, path)
        elif isinstance(value, type) and not _is_installed(value):
            yield [self.facts(base, f"{path}.{base.__name__}") for base in value.__bases__]
            for name, attribute in sorted(vars(value).items()):
                if name not in PLAIN_ATTRIBUTES:
                    yield [name, self.facts(_unwrapped(attribute), f"{path}.{name}")]

    def _function(self, function: types.FunctionType, path: str) -> Iterator[Any]:
        """Text of a user's function and what it reads; of an installed one only what it captured."""
        cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        captured = {name: cell.cell_contents for name, cell in cells if _is_filled(cell)}
        if not _is_installed(function):
            yield self._source(function, path)
            read = _global_names(function.__code__) & function.__globals__.keys()
            captured |= {name: function.__globals__[name] for name in read}
        given = [function.__defaults__, function.__kwdefaults__]
        yield [self.facts(value, f"{path} default") for value in given if value]
        yield [[name, self.facts(value, f"{path} → {name}")] for name, value in sorted(captured.items())]

    def _source(self, function: types.FunctionType, path: str) -> str:
        try:
            return textwrap.dedent(inspect.getsource(function))
        except (OSError, TypeError) as error:
            if function.__code__.co_filename.startswith("<") and function.__module__ not in ("__main__", None):
                return repr(
                    (function.__code__.co_code, function.__code__.co_names)
                )  # made by a library, as dataclasses'
            raise self._refused(path, "its source text cannot be read") from error

    def _module(self, module: nn.Module, path: str) -> Iterator[Any]:
        """A network: class, attributes, hooks, children; buffers that no state_dict holds count as attributes do."""
        yield self.facts(type(module), path)
        for name, value in sorted(vars(module).items()):
            if name not in MODULE_STATE and name not in DESCRIPTIONS:
                yield [name, self.facts(value, f"{path}.{name}")]
        for name in HOOKS:
            yield [self.facts(hook, f"{path}.{name}") for hook in getattr(module, name).values()]
        parameters, buffers = module._parameters, module._buffers
        hidden = {name: buffers[name] for name in module._non_persistent_buffers_set}
        own = {**parameters, **buffers} if self.tensors else hidden
        yield [[name, self.facts(tensor, f"{path}.{name}")] for name, tensor in own.items()]
        for name, child in module.named_children():
            yield [name, self.facts(child, f"{path}.{name}")]

    def _object(self, value: Any, path: str) -> Iterator[Any]:
        """Any other object: its class, and the state that pickle would keep."""
        yield self.facts(type(value), path)
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # whatever an object that cannot be pickled raises
            raise self._refused(path, f"a {type(value).__qualname__} has no state that can be read") from error
        if isinstance(reduced, str):
            yield reduced
            return
        _, arguments, state, items, pairs = (*reduced, None, None, None)[:5]
        yield [self.facts(part, path) for part in arguments or () if part is not type(value)]
        yield self.facts(state, path)
        yield [self.facts(list(part), path) for part in (items, pairs) if part is not None]

    def _refused(self, path: str, reason: str) -> ModelError:
        return ModelError(
            f"{self.subject} cannot be identified: {path}: {reason}; give it a name of your own, such as "
            'version="1", and change it when the code changes'
        )


def _kind(value: object) -> str:
    return "mapping" if isinstance(value, dict) else type(value).__name__


def _fingerprint(array: np.ndarray) -> str:
    return fingerprint_of([array if array.ndim else array.reshape(1)])


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _unwrapped(attribute: Any) -> Any:
    """The functions inside what a class wraps them in."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return [attribute.fget, attribute.fset]
    if isinstance(attribute, functools.cached_property):
        return attribute.func
    if isinstance(attribute, types.MemberDescriptorType | types.GetSetDescriptorType):
        return attribute.__name__
    return attribute


def _global_names(code: types.CodeType) -> set[str]:
    """Names that code reads from its module, the functions inside it included."""
    names = {op.argval for op in dis.get_instructions(code) if op.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_global_names(part) for part in code.co_consts if isinstance(part, types.CodeType)))


def _is_installed(thing: Any) -> bool:
    """Whether a class or function comes from the standard library or an installed package, not from a user's file."""
    module_name = thing.__module__ or ""
    top = module_name.split(".")[0]
    if top in sys.builtin_module_names or top in sys.stdlib_module_names and top != "__main__":
        return True
    file = getattr(sys.modules.get(module_name), "__file__", None)
    return file is not None and bool(INSTALLED_FOLDERS & set(PurePath(file).parts))


def _version_of(module_name: str | None) -> str | None:
    top = (module_name or "").split(".")[0]
    if top in UNVERSIONED or top in sys.stdlib_module_names:
        return None
    version = getattr(sys.modules.get(top), "__version__", None)
    return None if version is None else str(version)
