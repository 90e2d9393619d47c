"""What travels with a network: its normalisation, its side and its class names, and who states them.

Putting a model together: a module, what is stated of it, and how its outputs meet the data set's classes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from failmodes.evaluate.models.class_mapping import OutputClasses, imagenet_names, map_classes
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalisation
from failmodes.warehouse.errors import ModelError


class ModelConfig(NamedTuple):
    """What one source says; None where it is silent.

    Attributes:
        normalisation: mean and std of inputs, of values / 255.
        input_side_px: the side that the network expects, pixels.
        class_names: names of its outputs, in order.
    """

    normalisation: Normalisation | None = None
    input_side_px: int | None = None
    class_names: tuple[str, ...] | None = None

    def filled_from(self, other: "ModelConfig") -> "ModelConfig":
        """This, with the other's word where this is silent."""
        return ModelConfig(
            self.normalisation or other.normalisation,
            self.input_side_px or other.input_side_px,
            self.class_names or other.class_names,
        )


def config_from_study(spec: ModelSpec) -> ModelConfig:
    """What the study says; its word is the first."""
    names = spec.class_names
    named = imagenet_names() if names == "imagenet-1k" else tuple(names) if names is not None else None
    return ModelConfig(spec.normalisation, spec.input_side_px, named)


def config_from_metadata(metadata: dict[str, str], file: str, study: ModelConfig) -> ModelConfig:
    """What a checkpoint's metadata says under `normalisation`, `input_side_px` and `class_names`, as JSON.

    What the study says itself is not read.

    Raises:
        ModelError: one of them is not what it should be.
    """
    return ModelConfig(
        _read("normalisation", metadata, file) if study.normalisation is None else None,
        _read("input_side_px", metadata, file) if study.input_side_px is None else None,
        _read("class_names", metadata, file) if study.class_names is None else None,
    )


def config_from_module(module: nn.Module, what: str) -> ModelConfig:
    """What a user's network says in its attributes `normalisation` (mean, std), `input_side_px` and `class_names`.

    Raises:
        ModelError: one of them is not what it should be.
    """

    def attribute(key: str) -> Any:
        value = getattr(module, key, None)
        return None if value is None or isinstance(value, nn.Module) else _checked(key, value, what)

    return ModelConfig(attribute("normalisation"), attribute("input_side_px"), attribute("class_names"))


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


def assemble_model(
    spec: ModelSpec,
    class_names: tuple[str, ...],
    module: nn.Module,
    stated: ModelConfig,
    what: str,
    *,
    output_count: int | None,
    seed: int | None = None,
    metadata: dict[str, str] | None = None,
    path: Path | None = None,
    prefix: str = "",
    origin: str | None = None,
) -> Model:
    """Put a model together.

    Args:
        spec: the model as the study describes it.
        class_names: classes of the data set.
        module: the network; it is put in float32 and evaluation mode.
        stated: what the study, its file, its weights and its code say of it, together.
        what: its file or architecture, for errors.
        output_count: how many outputs it has; None where only a forward pass tells.
        seed: training seed.
        metadata: what its file says.
        path: the file of its weights.
        prefix: what was stripped from its tensors' names.
        origin: published weights' file or hub name.

    Raises:
        ModelError: no normalisation is known, or outputs and classes do not meet.
    """
    outputs = map_classes(OutputClasses(what, output_count, stated.class_names), class_names, spec.class_map)
    if stated.normalisation is None:
        raise ModelError(
            f"{what} does not say how its inputs were normalised: give model {spec.label!r} the mean and std it "
            "was trained with, of values / 255: `normalisation = { mean = […], std = […] }`"
        )
    return Model(
        module=module.float().eval(),
        spec=spec,
        seed=seed,
        normalisation=stated.normalisation,
        class_names=class_names,
        metadata=metadata or {},
        path=path,
        outputs=outputs,
        input_side_px=stated.input_side_px,
        output_names=stated.class_names,
        output_count=output_count,
        prefix=prefix,
        origin=origin,
    )
