"""Loading a model of a study, wherever its weights come from, and refusing it before the first batch if unfit."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from failmodes.evaluate.models.build import build_module
from failmodes.evaluate.models.checkpoints import load_checkpoint
from failmodes.evaluate.models.class_mapping import OutputClasses, map_classes
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.model_config import assemble_model, config_from_module, config_from_study
from failmodes.evaluate.models.pretrained import load_pretrained
from failmodes.evaluate.models.registry import first_line, resolve_architecture
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.warehouse.errors import ModelError


def load_model(spec: ModelSpec, class_names: tuple[str, ...], path: Path | None = None) -> Model:
    """Load one model: a checkpoint, published weights, or a user's function that brings its own.

    Args:
        spec: the model as the study describes it.
        class_names: classes of the data set.
        path: its checkpoint, given or trained; None where its weights are published or its own.

    Raises:
        ModelError: it cannot be built or fetched, or does not fit its weights or the classes.
    """
    if path is not None:
        return load_checkpoint(path, spec, class_names)
    return _load_own(spec, class_names) if spec.import_path is not None else _load_published(spec, class_names)


def check_model_outputs(model: Model, dataset: Dataset) -> Model:
    """The model, its outputs counted by one image's forward pass on the CPU; refused if it does not fit the data set.

    Raises:
        ModelError: it states another side than the images have, it cannot take them, or its outputs are not as many
            as were expected.
    """
    height, width = int(dataset.images.shape[1]), int(dataset.images.shape[2])
    side = model.input_side_px
    if side is not None and model.spec.input_side_px is None and (height, width) != (side, side):
        raise ModelError(
            f"model {model.label!r} expects images of {side}×{side} px, but those of {dataset.label} are "
            f"{height}×{width}: set `input_side_px = {side}` (resizes them after corruption), "
            f"or `image_size = {side}` of a folder"
        )
    seen = f"{side}×{side} px" if side is not None else f"{height}×{width} px"
    count = _try(model, np.asarray(dataset.images[:1]), seen)
    if model.output_count is not None and count != model.output_count:
        raise ModelError(f"model {model.label!r} gives {count} outputs, but {model.output_count} were expected of it")
    outputs = OutputClasses(f"model {model.label!r}", count, model.output_names)
    found = map_classes(outputs, model.class_names, model.spec.class_map)
    return replace(model, outputs=found, output_count=count)


def _try(model: Model, image: np.ndarray, seen: str) -> int:
    """The number of outputs, by a forward pass of one image."""
    try:
        network = model.network(torch.device("cpu"), "float32")
        with torch.no_grad():  # not inference mode: what a network caches at its first pass must serve gradients too
            found = network.module(network.inputs(image))
    except Exception as error:  # whatever a network raises at an input that it does not take
        raise ModelError(
            f"model {model.label!r} ({model.architecture}) cannot take images of {seen}: {first_line(error)}; "
            "set `input_side_px` to the side that it was made for, or `options` for this one"
        ) from error
    if not isinstance(found, torch.Tensor) or found.ndim != 2 or found.shape[0] != 1:
        given = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
        raise ModelError(f"model {model.label!r} gives {given} for one image: expected logits of shape (1, classes)")
    return int(found.shape[1])


def _load_published(spec: ModelSpec, class_names: tuple[str, ...]) -> Model:
    found = load_pretrained(spec, resolve_architecture(spec.architecture))
    stated = config_from_study(spec).filled_from(found.stated)
    names = found.stated.class_names
    return assemble_model(
        spec, class_names, found.module, stated, f"{spec.architecture} ({found.file})",
        output_count=None if names is None else len(names), origin=found.file,
        metadata={} if found.training_data is None else {"dataset": found.training_data},
    )  # fmt: skip


def _load_own(spec: ModelSpec, class_names: tuple[str, ...]) -> Model:
    """What a user's function makes; where it draws weights at random, it draws the same ones every time."""
    study = config_from_study(spec)
    count = len(study.class_names or class_names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = build_module(spec, count)
    stated = study.filled_from(config_from_module(module, spec.architecture))
    return assemble_model(spec, class_names, module, stated, spec.architecture, output_count=None)
