"""Models of torchvision, with preprocessing and classes of its published weights."""

import shlex
from collections.abc import Collection
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError

import torch
from torch import nn
from torchvision import models

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.datasets.imagenet_classes import IMAGENET_1K, imagenet_names
from failmodes.runtime.errors import ModelError, StudyError, first_line

WARN_WITHOUT_INIT_WEIGHTS = {"googlenet", "inception_v3"}  # unless init_weights is given


def names() -> Collection[str]:
    """Names of all classifiers."""
    return list(models.list_models(module=models))


def knows(name: str) -> bool:
    """Whether there is a classifier of that name."""
    return name in names()


def build(spec: ModelSpec, name: str, class_count: int) -> nn.Module:
    """Build a model with fresh weights."""
    options = {"init_weights": True} if name in WARN_WITHOUT_INIT_WEIGHTS else {}
    module: nn.Module = models.get_model(name, weights=None, num_classes=class_count, **options, **spec.options)
    return module


def load(spec: ModelSpec, name: str, class_names: tuple[str, ...]) -> Model:
    """Load a model with published weights, downloaded to torch's cache if necessary.

    Raises:
        StudyError: unknown weights, or invalid options.
        ModelError: the weights cannot be downloaded.
    """
    architecture = f"torchvision:{name}"
    known: Any = models.get_model_weights(name)
    whole = [name for name, weights in known.__members__.items() if weights.meta["categories"]]  # with a classifier
    wanted = str(spec.weights).rpartition(".")[2]
    if wanted not in whole:
        raise StudyError(f"{architecture} has no weights {spec.weights!r}: choose from {', '.join(whole)}")
    weights = known[wanted]
    _fetch(weights, f"{wanted} of {architecture}")
    try:  # by torchvision's builder, which handles the specifics of each model; the weights are cached by now
        module = models.get_model(name, weights=weights, progress=False, **spec.options)
    except Exception as error:
        raise (StudyError if spec.options else ModelError)(
            f"model {spec.label!r}: {architecture} cannot be built: {first_line(error)}"
        ) from error
    transforms = weights.transforms()
    classes = tuple(weights.meta["categories"])
    normalization = Normalization(mean=tuple(transforms.mean), std=tuple(transforms.std))
    return Model(
        module=module, spec=spec, architecture=architecture, output_names=classes, output_count=len(classes),
        preprocessing=Preprocessing(normalization, int(transforms.crop_size[0])),
        checkpoint=PurePosixPath(weights.url).name,
        metadata={"dataset": IMAGENET_1K} if classes == imagenet_names() else {},
    )  # fmt: skip


def to_download(spec: ModelSpec, name: str) -> str | None:
    """How to download the published weights; None if they are in torch's cache (`TORCH_HOME`)."""
    weights = models.get_model_weights(name).__members__.get(str(spec.weights).rpartition(".")[2])
    if weights is None:  # unknown, which `load` explains
        return None
    file = Path(torch.hub.get_dir()) / "checkpoints" / PurePosixPath(weights.url).name
    return None if file.exists() else f"curl -L --create-dirs -o {shlex.quote(str(file))} {weights.url}"


def _fetch(weights: Any, subject: str) -> None:
    """Download weights to torch's cache; verify their hash, and read them once without running code."""
    file = PurePosixPath(weights.url).name
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with redirect_stdout(StringIO()):  # torch prints a message to stdout
            weights.get_state_dict(check_hash=True, progress=False, weights_only=True)
    except (URLError, OSError) as error:
        raise ModelError(
            f"weights {subject} cannot be downloaded ({first_line(error)}): put {file} from {weights.url} into {folder}"
        ) from error
    except Exception as error:  # a wrong hash, or content other than tensors
        raise ModelError(
            f"weights {subject} are damaged ({first_line(error)}): remove {folder / file} and download {weights.url}"
        ) from error
