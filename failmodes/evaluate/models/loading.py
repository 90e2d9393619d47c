"""Loading a model of a study, wherever its weights come from, and refusing one that does not fit."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import AfterValidator, Field, StrictStr, TypeAdapter, ValidationError
from torch import nn

from failmodes.evaluate.models.checkpoints import build_with_tensors, check_architecture, check_seed, read_tensors
from failmodes.evaluate.models.class_mapping import map_classes
from failmodes.evaluate.models.model import Model, ModelConfig
from failmodes.evaluate.models.outputs import as_plain_module
from failmodes.evaluate.models.pretrained import load_pretrained
from failmodes.evaluate.models.registry import build_module
from failmodes.evaluate.models.trial import try_model
from failmodes.evaluate.study.study_schema import ClassProtocol, ModelSpec, Normalization
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.imagenet_classes import imagenet_names
from failmodes.ingest.study_types import LARGEST_SIDE_PX
from failmodes.warehouse.errors import ModelError, StudyError, shown

IMAGENET_1K = "ImageNet-1k"  # the name of both its classes and its images

# What a file or a module may say of its model: the type, and its description in errors
CONFIG_TYPES: dict[str, tuple[TypeAdapter[Any], str]] = {
    "normalization": (TypeAdapter(Normalization), "mean and std of three channels each"),
    "input_side_px": (TypeAdapter(Annotated[int, Field(gt=0, le=LARGEST_SIDE_PX, strict=True)]), "a side in pixels"),
    "class_names": (TypeAdapter(Annotated[Sequence[StrictStr], AfterValidator(tuple)]), "a list of names"),
}


def load_model(spec: ModelSpec, class_names: tuple[str, ...], path: Path | None = None) -> Model:
    """Load one model: a checkpoint, published weights, or a user's function that brings its own.

    What the study says of inputs and outputs takes precedence over what comes with the weights.

    Args:
        spec: the model as the study describes it.
        class_names: classes of the data set; each must be one of the model's outputs.
        path: its checkpoint, given or trained; None where weights are published or come from the user's function.

    Raises:
        StudyError: its architecture is unknown, its classes do not fit, or nothing says how its inputs were normalized.
        ModelError: it cannot be built or fetched, or its checkpoint does not fit its architecture or training seed.
    """
    names = imagenet_names() if spec.class_names == "imagenet-1k" else spec.class_names
    config = ModelConfig(spec.normalization, spec.input_side_px, None if names is None else tuple(names))
    metadata: dict[str, str] = {}
    subject, checkpoint, prefix = spec.architecture, None, ""
    output_count: int | None = None
    if path is not None:
        subject = checkpoint = path.name
        tensors, metadata = read_tensors(path)
        check_architecture(spec, metadata, path.name)
        check_seed(spec, metadata, path.name)
        config = config.filled_from(_config_of_metadata(metadata, path.name, config))
        expected = len(config.class_names or class_names)
        module, output_count, prefix = build_with_tensors(spec, tensors, expected, path.name)
    elif spec.import_path is None:
        module, published, checkpoint = load_pretrained(spec)
        config = config.filled_from(published)
        subject = f"{spec.architecture} ({checkpoint})"
        output_count = None if published.class_names is None else len(published.class_names)
        metadata = {"dataset": IMAGENET_1K} if published.class_names == imagenet_names() else {}
    else:
        with torch.random.fork_rng(devices=[]):  # weights that it initializes at random are the same every time
            torch.manual_seed(0)
            module = build_module(spec, len(config.class_names or class_names))
    if spec.import_path is not None:
        config = config.filled_from(_config_of_module(module, spec.architecture))
    outputs = map_classes(
        subject, class_names, spec.class_map, output_count=output_count, output_names=config.class_names
    )
    if config.normalization is None:
        raise StudyError(
            f"{subject} does not say how its inputs were normalized: give model {spec.label!r} the mean and std it "
            "was trained with, of values / 255: `normalization = { mean = […], std = […] }`"
        )
    return Model(
        as_plain_module(module).float().eval(), spec, class_names, *config,
        output_count=output_count, outputs=outputs, metadata=metadata, checkpoint=checkpoint, prefix=prefix,
    )  # fmt: skip


def check_model_outputs(model: Model, dataset: Dataset) -> Model:
    """The model after its trial (`try_model`) on the first image; refused if it does not fit the data set.

    Raises:
        StudyError: it expects another side than the images have, or the number of its outputs is not the expected one.
        ModelError: it fails in its trial.
    """
    height, width = int(dataset.images.shape[1]), int(dataset.images.shape[2])
    side = model.input_side_px
    if side is not None and model.spec.input_side_px is None and (height, width) != (side, side):
        raise StudyError(
            f"model {model.label!r} expects images of {side}×{side} px, but those of {dataset.label} are "
            f"{height}×{width}: set `input_side_px = {side}` (resizes them after corruption), "
            f"or `image_size = {side}` of a folder"
        )
    seen = f"{side}×{side} px" if side is not None else f"{height}×{width} px"
    tried = try_model(model, np.asarray(dataset.images[:1]), seen)
    count = tried.output_count
    if model.output_count is not None and count != model.output_count:
        raise StudyError(f"model {model.label!r} gives {count} outputs, but {model.output_count} were expected of it")
    outputs = map_classes(
        f"model {model.label!r}", model.class_names, model.spec.class_map,
        output_count=count, output_names=model.output_names,
    )  # fmt: skip
    return replace(tried, outputs=outputs, protocol=_protocol(model.spec, outputs, count))


def _protocol(spec: ModelSpec, outputs: list[int] | None, count: int | None) -> ClassProtocol | None:
    """Whether outputs that are no classes of the data set take part; None where there are none."""
    if outputs is None or count is None or len(outputs) == count:
        return None
    return spec.classes or ("subset" if spec.class_map else "all")


def _config_of_metadata(metadata: dict[str, str], file: str, study: ModelConfig) -> ModelConfig:
    """What a checkpoint's metadata (JSON values) says where the study gives nothing.

    Raises:
        ModelError: a value is not what its key says, or a key is misspelt: without it the images would be prepared
            otherwise than in training, and nothing would say so.
    """
    values: dict[str, Any] = {}
    for key, given in zip(CONFIG_TYPES, study, strict=True):
        if given is None and key in metadata:
            try:
                value = json.loads(metadata[key])
            except (ValueError, RecursionError):
                value = metadata[key]
            values[key] = _checked(key, value, file)
        elif given is None and (near := difflib.get_close_matches(key, metadata, n=1, cutoff=0.9)):
            raise ModelError(
                f"{file}: unknown metadata key {shown(near[0])} (did you mean {key!r}?): rename it in the file, or say "
                f"`{key}` in the study"
            )
    return ModelConfig(**values)


def _config_of_module(module: nn.Module, subject: str) -> ModelConfig:
    """What a user's model says in its attributes; a layer of such a name does not count."""
    attributes = {key: getattr(module, key, None) for key in CONFIG_TYPES}
    given = {key: value for key, value in attributes.items() if value is not None and not isinstance(value, nn.Module)}
    return ModelConfig(**{key: _checked(key, value, subject) for key, value in given.items()})


def _checked(key: str, value: Any, subject: str) -> Any:
    """A value of `ModelConfig`, of the right type.

    Raises:
        ModelError: it is not what its key says.
    """
    if (key, value) == ("class_names", "imagenet-1k"):
        return imagenet_names()
    adapter, expected = CONFIG_TYPES[key]
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        article = "a normalization" if key == "normalization" else key
        raise ModelError(
            f"{subject} states {article} that is none: {shown(value)}; expected {expected}; "
            f"say `{key}` in the study instead"
        ) from error
