"""Loading a model of a study, wherever it comes from, and fitting its outputs to the classes of the images.

Outputs are matched by name if names are known, never by order, and a class that matches no output or several is an
error: silently wrong labels are the worst failure.
"""

import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, TypeAdapter, ValidationError
from torch import nn

from failmodes.evaluate.models.checkpoints import (
    Checkpoint,
    build_with_tensors,
    check_architecture,
    check_seed,
    read_checkpoint,
)
from failmodes.evaluate.models.model import Model, OutputMap, as_plain_module
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.models.sources import Architecture, build_module, resolve_architecture
from failmodes.evaluate.models.trial import TRIAL_IMAGES, try_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization, named_normalization
from failmodes.ingest.datasets.class_index import ClassIndex
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.imagenet_classes import imagenet_names
from failmodes.ingest.protocols.protocol import is_restricted
from failmodes.ingest.study_types import LARGEST_SIDE_PX, first_duplicate
from failmodes.runtime.errors import ModelError, StudyError, listed, shown

ClassMap = Mapping[str, int | str]  # class of the dataset → output, by index, name or WordNet id
SHOWN = 3  # classes listed in an error

# Facts that a file or a module may state about its model: their type, and its description in errors
STATED_TYPES: dict[str, tuple[TypeAdapter[Any], str]] = {
    "normalization": (
        TypeAdapter(Annotated[Normalization, BeforeValidator(named_normalization)]),
        "mean and std of three channels each",
    ),
    "input_side_px": (TypeAdapter(Annotated[int, Field(gt=0, le=LARGEST_SIDE_PX, strict=True)]), "a side in pixels"),
    "class_names": (TypeAdapter(Annotated[Sequence[StrictStr], AfterValidator(tuple)]), "a list of names"),
}


def load_model(spec: ModelSpec, dataset: Dataset, path: Path | None = None) -> Model:
    """Load one model and map its outputs to the classes of a dataset.

    Inputs and outputs stated by the study take precedence over those stated by the weights. The model is tried on the
    first images, on the CPU.

    Args:
        spec: the model as the study describes it.
        dataset: the images; each of their classes must match an output.
        path: its checkpoint, given or trained; None if weights are published or come from the user's function.

    Raises:
        StudyError: its architecture is unknown, its classes do not match, it expects another image size, or its
            normalization is unknown.
        ModelError: it cannot be built or downloaded, its checkpoint does not match its architecture or training seed,
            or it fails on the first images.
    """
    model = spec.live if isinstance(spec.live, Model) else _tried(_with_weights(spec, dataset, path), dataset)
    names, classes = _matched(model, dataset)
    protocol = spec.classes or ("subset" if spec.class_map or is_restricted(dataset.name) else "all")
    outputs = range(model.output_count or 0)
    competing = tuple(output for output in outputs if output not in set(classes)) if protocol == "all" else ()
    output_map = OutputMap(classes, competing, len(outputs))
    model = replace(model, output_names=names, class_names=dataset.class_names, output_map=output_map)
    return model.identified()


def _tried(model: Model, dataset: Dataset) -> Model:
    """The model after its trial on the first images, checked against what its source states.

    Raises:
        StudyError: it expects another image size, or returns another number of outputs.
    """
    _check_side(model, dataset)
    tried = try_model(model, np.asarray(dataset.images[:TRIAL_IMAGES]))
    stated = model.output_count
    if stated not in (None, tried.output_count, 1 if tried.output_format.is_single else None):
        raise StudyError(f"model {model.label!r} returns {tried.output_count} outputs, expected {stated}")
    if tried.output_names is not None or model.spec.training is not None:  # trained here: in the dataset's order
        return tried
    return replace(tried, config_names=names_in_config(tried.torch_module, tried.output_count))


def _with_weights(spec: ModelSpec, dataset: Dataset, path: Path | None) -> Model:
    """The model of a study with its weights, and what these and the study state about it."""
    architecture = resolve_architecture(spec.architecture)
    _check_keys_of_source(spec, architecture)
    names = output_names(spec.class_names)
    if path is None:
        model = _from_source(spec, architecture, names or dataset.class_names)
        subject = spec.architecture if model.checkpoint is None else f"{spec.architecture} ({model.checkpoint})"
        stated = {}
    else:
        subject = path.name
        checkpoint = read_checkpoint(path, spec.checkpoint_key)
        check_architecture(spec, checkpoint.metadata, subject)
        check_seed(spec, checkpoint.metadata, subject)
        stated = _stated_by_metadata(checkpoint.metadata, subject, spec)
        expected = len(names or stated.get("class_names") or dataset.class_names)
        model = _from_checkpoint(spec, architecture, checkpoint, expected, subject)
    definition = model.definition
    if hasattr(architecture.module, "definition"):  # the user's code
        definition = architecture.module.definition(architecture.name, model.module)
        stated = _stated_by_module(model.torch_module, spec.architecture) | stated
    return replace(
        model,
        module=as_plain_module(model.torch_module).float().eval(),
        output_names=names or stated.get("class_names") or model.output_names,
        preprocessing=_overridden(model.preprocessing, spec, stated, subject),
        definition=definition,
    )


def _from_source(spec: ModelSpec, architecture: Architecture, class_names: tuple[str, ...]) -> Model:
    """The model with the weights that its source has; the user's function may draw its own, so it is seeded."""
    if hasattr(architecture.module, "load"):
        model: Model = architecture.module.load(spec, architecture.name, class_names)
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_module(spec, len(class_names))
    return Model(module=module, spec=spec, architecture=architecture.canonical)


def _from_checkpoint(
    spec: ModelSpec, architecture: Architecture, checkpoint: Checkpoint, output_count: int, file: str
) -> Model:
    """The model with the weights of a file, which has `output_count` outputs unless its tensors say otherwise."""
    module, count, prefix = build_with_tensors(spec, checkpoint.tensors, output_count, file)
    stripped = f"prefix {prefix!r} stripped" if prefix else ""
    return Model(
        module=module, spec=spec, architecture=architecture.canonical, output_count=count, metadata=checkpoint.metadata,
        checkpoint=file, checkpoint_note="; ".join(filter(None, [checkpoint.container, stripped])),
    )  # fmt: skip


def _overridden(of_weights: Preprocessing, spec: ModelSpec, stated: Mapping[str, Any], subject: str) -> Preprocessing:
    """The preprocessing of the weights, with what the study, the file or the user's module state instead."""
    if of_weights.function is not None:
        return of_weights
    normalization = spec.normalization or stated.get("normalization") or of_weights.normalization
    if normalization is None:
        raise StudyError(
            f"{subject} does not state its normalization: set for model {spec.label!r} the mean and std of its "
            "training, of values / 255: `normalization = { mean = […], std = […] }`, or a name such as "
            '"imagenet", or "none" for values in [0, 1]'
        )
    side = spec.input_side_px or stated.get("input_side_px")
    preprocessing = (
        Preprocessing(normalization, side or of_weights.input_side_px)
        if side or of_weights.resize is None
        else replace(of_weights, normalization=normalization)
    )
    is_stated = of_weights.normalization is not None and preprocessing != of_weights
    return replace(preprocessing, replaced=of_weights.replaced or (of_weights.describe() if is_stated else ""))


def _check_keys_of_source(spec: ModelSpec, architecture: Architecture) -> None:
    """Refuse keys that have no effect on models of a source.

    Raises:
        StudyError: `weights` for a source whose models include theirs, or `prompts` for one that is not zero-shot.
    """
    if spec.weights is not None and not hasattr(architecture.module, "build"):
        raise StudyError(
            f"model {spec.label!r}: models of {architecture.source} include their weights: remove `weights`"
        )
    if spec.prompts is not None and not hasattr(architecture.module, "DEFAULT_PROMPT"):
        raise StudyError(f"model {spec.label!r} is not a zero-shot model (clip:… or open_clip:…): remove `prompts`")


def output_names(class_names: Any) -> tuple[str, ...] | None:
    """Names of a model's outputs from a study, in order; None without names."""
    return imagenet_names() if class_names == "imagenet-1k" else None if class_names is None else tuple(class_names)


def names_in_config(module: nn.Module, output_count: int | None) -> tuple[str, ...] | None:
    """Names of a model's outputs from the `config.id2label` of a Hugging Face model or of an inner module.

    None if no config has names for all outputs, if several configs differ, and for default names (LABEL_0).
    """
    numbers = range(output_count or 0)
    config_names: list[tuple[str, ...]] = []
    for part in module.modules():
        names = getattr(vars(part).get("config"), "id2label", None)
        if isinstance(names, dict) and set(names) == set(numbers):
            config_names.append(tuple(names[number] for number in numbers))
    first = config_names[0] if config_names else ()
    are_names = len(first) > 1 and all(isinstance(name, str) and name and name.isprintable() for name in first)
    is_default = first == tuple(f"LABEL_{number}" for number in numbers)
    return first if are_names and not is_default and all(names == first for names in config_names) else None


def _matched(model: Model, dataset: Dataset) -> tuple[tuple[str, ...] | None, tuple[int, ...]]:
    """The names of a model's outputs that are used, and the output of each class of a dataset.

    Names from its config are ignored if they do not match a dataset with as many classes, whose labels may have other
    names for the same outputs.
    """
    file = "" if model.checkpoint is None else f" ({model.checkpoint})"
    if model.output_format.is_single and len(dataset.class_names) != 2:
        raise StudyError(
            f"model {model.label!r}{file} returns one number for an image, as a binary model does, but the dataset has "
            f"{len(dataset.class_names)} classes: expected two classes, or one output per class"
        )

    def matched(names: tuple[str, ...] | None) -> tuple[tuple[str, ...] | None, tuple[int, ...]]:
        return names, map_classes(
            f"model {model.label!r}{file}", dataset.class_names, model.spec.class_map,
            output_count=model.output_count or 0, output_names=names,
        )  # fmt: skip

    if model.config_names is None:
        return matched(model.output_names)
    try:
        return matched(model.config_names)
    except StudyError:
        if model.output_count != len(dataset.class_names):
            raise
        return matched(None)


def _check_side(model: Model, dataset: Dataset) -> None:
    """Refuse images of another size than the weights expect, unless the study sets `input_side_px`."""
    height, width = int(dataset.images.shape[1]), int(dataset.images.shape[2])
    side = model.preprocessing.input_side_px
    resizes = bool(model.preprocessing.description)
    if side is not None and model.spec.input_side_px is None and not resizes and (height, width) != (side, side):
        raise StudyError(
            f"model {model.label!r} expects images of {side}×{side} px, but those of {dataset.label} are "
            f"{height}×{width}: set `input_side_px = {side}` (resizes them after corruption), "
            f"or `image_size = {side}` of a folder"
        )


def _stated_by_metadata(metadata: Mapping[str, str], file: str, spec: ModelSpec) -> dict[str, Any]:
    """Facts in a checkpoint's metadata (JSON values) that the study does not state.

    Raises:
        ModelError: a value is invalid, or a key is misspelled: images would silently be preprocessed differently than
            in training.
    """
    values: dict[str, Any] = {}
    for key in STATED_TYPES:
        if getattr(spec, key) is not None:
            continue
        if key in metadata:
            try:
                value = json.loads(metadata[key])
            except (ValueError, RecursionError):
                value = metadata[key]
            values[key] = _checked(key, value, file)
        elif near := difflib.get_close_matches(key, metadata, n=1, cutoff=0.9):
            raise ModelError(
                f"{file}: unknown metadata key {shown(near[0])} (did you mean {key!r}?): rename it in the file, or set "
                f"`{key}` in the study"
            )
    return values


def _stated_by_module(module: nn.Module, subject: str) -> dict[str, Any]:
    """Facts in the attributes of a user's model; layers with such names are ignored."""
    attributes = {key: getattr(module, key, None) for key in STATED_TYPES}
    stated = {key: value for key, value in attributes.items() if value is not None and not isinstance(value, nn.Module)}
    return {key: _checked(key, value, subject) for key, value in stated.items()}


def _checked(key: str, value: Any, subject: str) -> Any:
    """A fact stated by a file or a module, with its type validated.

    Raises:
        ModelError: it is invalid.
    """
    if (key, value) == ("class_names", "imagenet-1k"):
        return imagenet_names()
    adapter, expected = STATED_TYPES[key]
    try:
        return adapter.validate_python(value)
    except ValidationError:
        raise ModelError(
            f"{subject} states an invalid {key}: {shown(value)}; expected {expected}; set `{key}` in the study instead"
        ) from None


def map_classes(
    subject: str,
    class_names: tuple[str, ...],
    class_map: ClassMap,
    *,
    output_count: int,
    output_names: tuple[str, ...] | None,
) -> tuple[int, ...]:
    """The output of each class of the dataset, in the dataset's order.

    Args:
        subject: the model or its file, for errors.
        class_names: (C,) classes of the dataset.
        class_map: outputs that the study gives for some or all classes.
        output_count: number of outputs.
        output_names: their names in order, if known.

    Raises:
        StudyError: a class matches no output or several, two classes share one, or outputs cannot be matched.
    """
    if output_names is None and not class_map:
        _check_count(subject, output_count, len(class_names))
        return tuple(range(output_count))
    _check_map(subject, class_map, class_names, has_names=output_names is not None)
    if output_names is not None and output_count != len(output_names):
        raise StudyError(
            f"{subject} has {output_count} outputs, but {len(output_names)} class names: give `class_names` one name "
            "for each output, in their order"
        )
    if output_names == class_names and not class_map:
        return tuple(range(output_count))
    index = ClassIndex(output_names or ())
    matches: dict[str, list[int]] = {}
    for name in class_names:
        target = class_map.get(name, name)
        matches[name] = index.find(target) if isinstance(target, str) else [target]
        if isinstance(target, int) and target >= output_count:
            raise StudyError(
                f"{subject}: class_map maps {name!r} to output {target}, but outputs are 0 to {output_count - 1}"
            )
    return _distinct_outputs(subject, matches, class_map, index)


def _check_map(subject: str, class_map: ClassMap, class_names: tuple[str, ...], *, has_names: bool) -> None:
    """Refuse a class that the dataset does not have, and, if outputs have no names, one without an index."""
    for name in class_map:
        if name not in class_names:
            near = difflib.get_close_matches(name, class_names, n=2) or class_names[:SHOWN]
            raise StudyError(f"class_map: unknown class {name!r}: the dataset has {', '.join(near)} …")
    without = [repr(name) for name in class_names if not isinstance(class_map.get(name), int)]
    if without and not has_names:
        raise StudyError(
            f"{subject}: class_map has no index for {listed(without, SHOWN)}, and the names of the outputs are "
            "unknown: set the index of an output for each class, or `class_names`"
        )


def _check_count(subject: str, output_count: int, class_count: int) -> None:
    if output_count == class_count:
        return
    hint = (
        'set `class_names = "imagenet-1k"` if these are its classes'
        if output_count == 1000
        else "use a checkpoint trained on these classes, or set `class_names` or `class_map`"
    )
    raise StudyError(f"{subject} has {output_count} outputs, but the dataset has {class_count} classes: {hint}")


def _distinct_outputs(
    subject: str, matches: dict[str, list[int]], class_map: ClassMap, index: ClassIndex
) -> tuple[int, ...]:
    """The output of each class; refuses a class that matches several or none, and two that share one."""
    for name, outputs_of_class in matches.items():
        if len(outputs_of_class) > 1:
            which = " and ".join(f"{output} ({index.names[output]})" for output in outputs_of_class[:SHOWN])
            raise StudyError(
                f"{subject}: class {str(class_map.get(name, name))!r} matches outputs {which}: choose with "
                f"`class_map = {{ {_toml_key(name)} = … }}`"
            )
    missing = [name for name, outputs_of_class in matches.items() if not outputs_of_class]
    if missing:
        names = [str(class_map.get(name, name)) for name in missing]
        quoted = listed([repr(name) for name in names], SHOWN)
        nearest = ", ".join(index.nearest(names[0]))
        raise StudyError(
            f"{subject} has no output for {quoted} (of {len(matches)} classes; the nearest to the first: {nearest}): "
            f"set `class_map = {{ {_toml_key(missing[0])} = … }}` or `class_names`"
        )
    outputs = tuple(outputs_of_class[0] for outputs_of_class in matches.values())
    shared = first_duplicate(outputs)
    if shared is not None:
        first, second, *_ = (name for name, outputs_of_class in matches.items() if outputs_of_class[0] == shared)
        raise StudyError(
            f"{subject}: classes {first!r} and {second!r} both match output {shared}: set distinct outputs with "
            "`class_map`"
        )
    return outputs


def _toml_key(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() and name.isascii() else f'"{name}"'
