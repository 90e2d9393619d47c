"""Models that a user's function makes: `architecture = "module:function"`, the module beside the study or installed."""

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.sources import build_module
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import StudyError, first_line
from failmodes.warehouse.hashing import identity_of

LIBRARIES = {"failmodes", "torch", "torchvision", "timm"}  # whose code is identified by its version, not by its text


def build(spec: ModelSpec, name: str, class_count: int) -> nn.Module:
    """What the function makes of the study's options, and of the number of outputs where it takes that."""
    outputs = {"num_classes": class_count} if accepts_class_count(name) else {}
    arguments: dict[str, Any] = outputs | spec.options
    return cast(nn.Module, import_function(name)(**arguments))


def load(spec: ModelSpec, name: str, class_count: int) -> Model:
    """A model with the weights that the function gives it; random ones are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model(module=build_module(spec, class_count), spec=spec, architecture=name)


def accepts_class_count(name: str) -> bool:
    """Whether the function takes the number of outputs: `num_classes` is among its arguments, or any keyword is."""
    try:
        parameters = inspect.signature(import_function(name)).parameters.values()
    except ValueError:
        return False
    return any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in parameters)


def definition(name: str, module: nn.Module | None = None) -> str:
    """Hash of the source text that a model comes from.

    It covers the file of its function and, where the model is given, those of its modules' classes, except torch's,
    torchvision's and timm's. What else these files import is not covered.
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
    """The function or class that `module:function` names; the study's folder is searched too.

    Raises:
        StudyError: it cannot be imported, or makes no model.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a user's module raises as it is imported
        raise StudyError(
            f"architecture {path!r} cannot be imported ({type(error).__name__}: {first_line(error)}): expected "
            "module:function, the module beside the study file or installed"
        ) from error
    if isinstance(found, nn.Module) or not callable(found):
        raise StudyError(
            f"architecture {path!r} is a {type(found).__name__}: expected a function or class that makes a model"
        )
    return cast(Callable[..., object], found)


def _source_of(thing: Any) -> str:
    try:
        return inspect.getsource(inspect.getmodule(thing) or thing)
    except (OSError, TypeError):
        return repr(thing)  # typed at a prompt: no source to read
