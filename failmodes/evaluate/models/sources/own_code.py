"""Models of a user's function: `architecture = "module:function"`, the module beside the study or installed."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, cast

from torch import nn

from failmodes.evaluate.study.study_schema import PREFIXES, ModelSpec
from failmodes.runtime.errors import StudyError, did_you_mean, first_line
from failmodes.runtime.hashing import identity_of

LIBRARIES = {"failmodes", "torch", "torchvision", "timm"}  # identified by version, not by source text


def build(spec: ModelSpec, name: str, class_count: int) -> nn.Module:
    """Call the function with the study's options, and with the number of outputs if it takes `num_classes`."""
    outputs = {"num_classes": class_count} if accepts_class_count(name) else {}
    arguments: dict[str, Any] = outputs | spec.options
    return cast(nn.Module, import_function(name)(**arguments))


def accepts_class_count(name: str) -> bool:
    """Whether the function takes `num_classes`, explicitly or as `**kwargs`."""
    try:
        parameters = inspect.signature(import_function(name)).parameters.values()
    except ValueError:
        return False
    return any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in parameters)


def definition(name: str, module: nn.Module | None = None) -> str:
    """Hash of the source text of a model.

    It covers the file of its function and, if the model is given, those of its modules' classes, except torch,
    torchvision and timm. Imports of these files are not covered.
    """
    builder = import_function(name)
    while isinstance(builder, functools.partial):
        builder = builder.func
    texts = {_source_of(builder)}
    for part in () if module is None else module.modules():
        if type(part).__module__.split(".")[0] not in LIBRARIES:
            texts.add(_source_of(type(part)))
    return identity_of({"source": sorted(texts)} if len(texts) > 1 else {"source": texts.pop()})


def import_function(path: str) -> Callable[..., object]:
    """Import the function or class `module:function`; the study's folder is searched too.

    Raises:
        StudyError: it cannot be imported or is not callable.
    """
    module_name, _, attribute = path.partition(":")
    try:
        function: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            function = getattr(function, part)
    except Exception as error:  # any error of a user's module
        hint = "expected module:function, the module beside the study file or installed"
        if isinstance(error, ModuleNotFoundError) and error.name == module_name:
            hint = did_you_mean(f"{module_name}:", [f"{prefix}:" for prefix in PREFIXES], hint, cutoff=0.8)
        raise StudyError(
            f"architecture {path!r} cannot be imported ({type(error).__name__}: {first_line(error)}): {hint}"
        ) from error
    if isinstance(function, nn.Module) or not callable(function):
        raise StudyError(
            f"architecture {path!r} is a {type(function).__name__}: expected a function or class that returns a model"
        )
    return cast(Callable[..., object], function)


def _source_of(thing: Any) -> str:
    try:
        return inspect.getsource(inspect.getmodule(thing) or thing)
    except (OSError, TypeError):
        return repr(thing)  # defined interactively: no source
