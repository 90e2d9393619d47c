"""Models of timm (the extra `timm`) and the Hugging Face hub, with preprocessing and classes of published weights."""

import importlib
from collections.abc import Collection
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

from torch import nn

from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import Preprocessing
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.datasets.imagenet_classes import IMAGENET_1K, imagenet_names
from failmodes.warehouse.errors import ModelError, StudyError, did_you_mean, first_line
from failmodes.warehouse.extras import require

HUB = "hf-hub:"


def import_timm() -> ModuleType:
    """Import timm, which is optional.

    Raises:
        MissingExtraError: timm is not installed.
    """
    require("timm", "a timm model", ["timm"])
    return importlib.import_module("timm")


def names() -> Collection[str]:
    """Names of all models."""
    found: list[str] = import_timm().list_models()
    return found


def knows(name: str) -> bool:
    """Whether there is a model of that name; always true for names on the hub."""
    return name.startswith(HUB) or bool(import_timm().is_model(name))


def build(spec: ModelSpec, name: str, class_count: int) -> nn.Module:
    """Build a model with fresh weights."""
    module: nn.Module = import_timm().create_model(name, num_classes=class_count, **spec.options)
    return module


def load(spec: ModelSpec, name: str, class_names: tuple[str, ...]) -> Model:
    """Load a model with published weights, downloaded to the hub's cache if necessary.

    Raises:
        StudyError: unknown weights.
        ModelError: the weights cannot be downloaded, or options are invalid.
    """
    architecture = f"timm:{name}"
    if spec.weights not in (None, "pretrained"):
        raise StudyError(
            f'{architecture} has no weights {spec.weights!r}: expected weights = "pretrained", with the tag '
            "in the name, such as timm:resnet50.a1_in1k"
        )
    timm = import_timm()
    base, _, tag = name.partition(".")
    if tag and not name.startswith(HUB):
        tags = timm.list_pretrained(f"{base}.*")
        if name not in tags:  # before any download
            hint = did_you_mean(name, tags, f"its tags for {base} are {', '.join(tags[:3]) or 'none'}")
            raise StudyError(f"timm has no weights {name!r}: {hint}")
    try:
        module = timm.create_model(name, pretrained=True, **spec.options)
    except Exception as error:  # many errors of the hub's client
        raise ModelError(
            f"model {spec.label!r}: {architecture} cannot be built with its published weights "
            f"({first_line(error)}): download them on a machine with network access, or set `checkpoint` to the file, "
            "with normalization and class_names"
        ) from error
    published = module.pretrained_cfg
    side = spec.options.get("img_size", published["input_size"][-1])
    normalization = Normalization(mean=tuple(published["mean"]), std=tuple(published["std"]))
    classes = _names_of_outputs(name, published)
    return Model(
        module=module, spec=spec, architecture=architecture,
        preprocessing=Preprocessing(normalization, side if isinstance(side, int) else int(published["input_size"][-1])),
        output_names=classes, output_count=None if classes is None else len(classes),
        checkpoint=str(published.get("hf_hub_id") or PurePosixPath(published.get("url") or name).name),
        metadata={"dataset": IMAGENET_1K} if classes == imagenet_names() else {},
    )  # fmt: skip


def _names_of_outputs(name: str, published: dict[str, Any]) -> tuple[str, ...] | None:
    """Names of the outputs: from the hub, otherwise of the matching ImageNet subset (WordNet ids if not 1k)."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if published.get("label_names"):
        return tuple(published["label_names"])
    subset = infer_imagenet_subset(published)
    of_others = name.startswith(HUB) and not name.startswith(f"{HUB}timm/")
    if subset is None or of_others:  # 1,000 outputs of a third-party model need not be ImageNet classes
        return None
    info: Any = ImageNetInfo(subset)
    return imagenet_names() if subset == "imagenet-1k" else tuple(info.label_names())
