"""Python code as text: what a function's source is, what it reads from its module, and whether it is installed."""

import dis
import functools
import inspect
import linecache
import os
import sys
import textwrap
import types
from collections.abc import Iterator, Set
from importlib import metadata
from pathlib import PurePath
from typing import Any

# Another version of these may change rows by rounding alone; `versions` of a shard say which one made it
UNVERSIONED = {"torch", "torchvision", "timm", "numpy", "scipy", "PIL", "cv2"}
INSTALLED_FOLDERS = {"site-packages", "dist-packages"}
STANDARD_LIBRARY = PurePath(os.__file__).parent
GENERATED = ("<string>", "<attrs generated")  # files of methods that dataclasses, named tuples and attrs write
OF_THE_FILE = {"__file__", "__name__", "__package__", "__spec__", "__loader__", "__builtins__", "__doc__"}


def function_text(function: types.FunctionType) -> str | None:
    """Source text of a function.

    None where it cannot be told: there is none, it is not what runs (its file was edited after it was imported), or it
    is a lambda, whose line may hold several.
    """
    code = function.__code__
    linecache.checkcache(code.co_filename)
    text = "".join(linecache.getlines(code.co_filename, function.__globals__))
    if code.co_name == "<lambda>" or code not in _compiled(text, code.co_filename):
        return None
    return textwrap.dedent(inspect.getsource(code))


def values_read(function: types.FunctionType) -> dict[str, Any]:
    """What a function reads from its module, by name; and what it reads from the user's own modules, by dotted name."""
    attributes, read, imported = set[str](), set[str](), set[str]()
    for code in _codes(function.__code__):
        attributes.update(code.co_names)
        for op in dis.get_instructions(code):
            if op.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                read.add(op.argval)
            elif op.opname == "IMPORT_NAME":
                imported.update(_candidates(op.argval, function.__globals__.get("__package__")))
    found = {name: function.__globals__[name] for name in (read & function.__globals__.keys()) - OF_THE_FILE}
    found |= {f"import {name}": sys.modules[name] for name in imported & sys.modules.keys()}
    return {path: part for name, value in found.items() for path, part in _expanded(name, value, attributes, ())}


def foreign_functions(cls: type) -> dict[str, types.FunctionType]:
    """Methods of an installed class, or of those it inherits from, that are not installed: patched or made later."""
    found = {}
    for base in cls.__mro__:
        for name, attribute in vars(base).items():
            function = inner_function(attribute)
            if isinstance(function, types.FunctionType) and not _is_of_a_package(function.__code__.co_filename):
                found[f"{base.__qualname__}.{name}"] = function
    return found


def inner_function(attribute: Any) -> Any:
    """What a class wraps in a method's decorator; any other attribute itself."""
    if isinstance(attribute, staticmethod | classmethod):
        return attribute.__func__
    if isinstance(attribute, property):
        return [attribute.fget, attribute.fset]
    if isinstance(attribute, functools.cached_property):
        return attribute.func
    if isinstance(attribute, types.MemberDescriptorType | types.GetSetDescriptorType):
        return attribute.__name__
    return attribute


def is_installed(cls: type) -> bool:
    """Whether a class comes from the standard library or an installed package, not from a user's file."""
    return isinstance(cls.__module__, str) and _is_installed_module(cls.__module__)


@functools.cache
def is_installed_file(filename: str) -> bool:
    """Whether code of this file comes from the standard library or an installed package."""
    if filename.startswith("<"):  # of no file: typed in, written by a program, or frozen into the interpreter
        return filename.startswith("<frozen ")
    path = PurePath(filename)
    return bool(INSTALLED_FOLDERS & set(path.parts)) or path.is_relative_to(STANDARD_LIBRARY)


@functools.cache
def package_version(module_name: str | None) -> str | None:
    """Version of the package that a module belongs to; None where it is unknown or says nothing."""
    package = (module_name or "").split(".")[0]
    if package in UNVERSIONED or package in sys.stdlib_module_names or not _is_installed_module(package):
        return None
    version = getattr(sys.modules.get(package), "__version__", None)
    if version is None:
        distributions = metadata.packages_distributions().get(package)
        version = metadata.version(distributions[0]) if distributions else None
    return None if version is None else str(version)


def _is_installed_module(name: str) -> bool:
    package = name.split(".")[0]
    if package in sys.builtin_module_names or package in sys.stdlib_module_names and package != "__main__":
        return True
    file = getattr(sys.modules.get(name), "__file__", None) or getattr(sys.modules.get(package), "__file__", None)
    return file is not None and is_installed_file(file)


def _is_of_a_package(filename: str) -> bool:
    return is_installed_file(filename) or filename.startswith(GENERATED)


@functools.lru_cache(64)
def _compiled(text: str, filename: str) -> frozenset[types.CodeType]:
    """All code in a file of this text."""
    try:
        return frozenset(_codes(compile(text, filename, "exec", dont_inherit=True)))
    except (SyntaxError, ValueError):
        return frozenset()


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _candidates(name: str, package: str | None) -> Iterator[str]:
    """Full names that a module may have that is imported, perhaps relatively, in a module of `package`."""
    yield name
    parts = (package or "").split(".")
    yield from (".".join([*parts[:count], name]).strip(".") for count in range(1, len(parts) + 1))


def _expanded(name: str, value: Any, attributes: Set[str], above: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """A value; of a user's own module, instead of it, those of its values that are named in the code."""
    if not isinstance(value, types.ModuleType) or _is_installed_module(value.__name__):
        yield name, value
    elif value not in above:
        for attribute in attributes & vars(value).keys() - OF_THE_FILE:
            yield from _expanded(f"{name}.{attribute}", vars(value)[attribute], attributes, (*above, value))
