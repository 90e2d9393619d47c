"""Building a network from its specification, whoever's it is."""

import inspect
from collections.abc import Callable
from typing import Any

from torch import nn
from torchvision import models as torchvision_models

from failmodes.evaluate.models.architectures import ARCHITECTURES, replace_stem
from failmodes.evaluate.models.registry import (
    ArchitectureRef,
    first_line,
    import_builder,
    import_timm,
    resolve_architecture,
)
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import ModelError


def build_module(spec: ModelSpec, class_count: int) -> nn.Module:
    """Build a network with fresh weights (a user's function may bring its own).

    Args:
        spec: the model as the study describes it.
        class_count: how many outputs it should have; a user's function that takes no `num_classes` decides itself.

    Raises:
        ModelError: an unknown name, options that the builder does not take, or a stem that does not fit.
    """
    named = resolve_architecture(spec.architecture)
    if named.source == "ours":
        return ARCHITECTURES[named.name].build(class_count, spec.width)
    try:
        module = _build(named, spec.options, class_count)
    except ModelError:
        raise
    except Exception as error:  # whatever a builder raises at options that are not its own
        options = f" with options {spec.options}" if spec.options else ""
        raise ModelError(
            f"model {spec.label!r}: {spec.architecture} cannot be built{options}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise ModelError(
            f"architecture {spec.architecture!r} made a {type(module).__name__}: expected a torch nn.Module"
        )
    return replace_stem(module, spec.architecture) if spec.stem is not None else module


def accepts_class_count(spec: ModelSpec) -> bool:
    """Whether the builder is told how many outputs to lay; only a user's function may not be."""
    return spec.import_path is None or _takes_class_count(import_builder(spec.import_path))


def _build(named: ArchitectureRef, options: dict[str, Any], class_count: int) -> nn.Module:
    if named.source == "torchvision":
        return torchvision_models.get_model(
            named.name, weights=None, num_classes=class_count, **options | _quiet(named)
        )
    if named.source == "timm":
        return import_timm(named.canonical).create_model(named.name, num_classes=class_count, **options)
    builder = import_builder(named.name)
    outputs = {"num_classes": class_count} if _takes_class_count(builder) else {}
    return builder(**outputs, **options)


def _takes_class_count(builder: Callable[..., Any]) -> bool:
    """Whether `num_classes` is among its arguments, or it hands any argument on."""
    try:
        parameters = inspect.signature(builder).parameters.values()
    except ValueError:
        return False
    return any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in parameters)


def _quiet(named: ArchitectureRef) -> dict[str, Any]:
    """These two warn unless they are told to start from fresh weights."""
    return {"init_weights": True} if named.name in ("googlenet", "inception_v3") else {}
