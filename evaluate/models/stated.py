"""What travels with a network: its normalisation, its side and its class names, and who states them."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn

from evaluate.models.imagenet import imagenet_names
from evaluate.specification import ModelSpec, Normalisation
from warehouse.errors import ModelError


class Stated(NamedTuple):
    """What one source says; None where it is silent.

    Attributes:
        normalisation: mean and std of inputs, of values / 255.
        input_side_px: the side that the network expects, pixels.
        class_names: names of its outputs, in order.
    """

    normalisation: Normalisation | None = None
    input_side_px: int | None = None
    class_names: tuple[str, ...] | None = None

    def filled_from(self, other: "Stated") -> "Stated":
        """This, with the other's word where this is silent."""
        return Stated(
            self.normalisation or other.normalisation,
            self.input_side_px or other.input_side_px,
            self.class_names or other.class_names,
        )


def stated_in_study(spec: ModelSpec) -> Stated:
    """What the study says; its word is the first."""
    names = spec.class_names
    named = imagenet_names() if names == "imagenet-1k" else tuple(names) if names is not None else None
    return Stated(spec.normalisation, spec.input_side_px, named)


def stated_in_metadata(metadata: dict[str, str], file: str, study: Stated) -> Stated:
    """What a checkpoint's metadata says under `normalisation`, `input_side_px` and `class_names`, as JSON.

    What the study says itself is not read.

    Raises:
        ModelError: one of them is not what it should be.
    """
    return Stated(
        _read("normalisation", metadata, file) if study.normalisation is None else None,
        _read("input_side_px", metadata, file) if study.input_side_px is None else None,
        _read("class_names", metadata, file) if study.class_names is None else None,
    )


def stated_by_module(module: nn.Module, what: str) -> Stated:
    """What a user's network says in its attributes `normalisation` (mean, std), `input_side_px` and `class_names`.

    Raises:
        ModelError: one of them is not what it should be.
    """

    def attribute(key: str) -> Any:
        value = getattr(module, key, None)
        return None if value is None or isinstance(value, nn.Module) else _checked(key, value, what)

    return Stated(attribute("normalisation"), attribute("input_side_px"), attribute("class_names"))


def _read(key: str, metadata: dict[str, str], file: str) -> Any:
    if key not in metadata:
        return None
    try:
        value = json.loads(metadata[key])
    except ValueError:
        value = metadata[key]
    return _checked(key, value, file)


def _checked(key: str, value: Any, what: str) -> Any:
    """A value of the right type.

    Raises:
        ModelError: it is not.
    """
    try:
        if key == "normalisation":
            return Normalisation.model_validate(value)
        if key == "input_side_px" and isinstance(value, int) and value > 0:
            return value
        if key == "class_names" and value == "imagenet-1k":
            return imagenet_names()
        if key == "class_names" and _are_names(value):
            return tuple(value)
    except ValueError:
        pass
    expected = {
        "normalisation": "mean and std of three channels each",
        "input_side_px": "a side in pixels",
        "class_names": "a list of names",
    }[key]
    shown = repr(value) if len(repr(value)) < 80 else repr(value)[:77] + "…"
    article = "a normalisation" if key == "normalisation" else key
    raise ModelError(
        f"{what} states {article} that is none: {shown}; expected {expected}; say `{key}` in the study instead"
    )


def _are_names(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return is_list and all(isinstance(name, str) for name in value)
