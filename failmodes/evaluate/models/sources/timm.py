"""Models of timm (the extra `timm`) and of its hub, with the inputs and outputs that published weights declare."""

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
    """Timm, which is optional.

    Raises:
        MissingExtraError: it is not installed.
    """
    require("timm", "a model of timm's", ["timm"])
    return importlib.import_module("timm")


def names() -> Collection[str]:
    """All models by name."""
    found: list[str] = import_timm().list_models()
    return found


def knows(name: str) -> bool:
    """Whether there is a model of that name; any on the hub may be."""
    return name.startswith(HUB) or bool(import_timm().is_model(name))


def build(spec: ModelSpec, name: str, class_count: int) -> nn.Module:
    """A model with fresh weights."""
    module: nn.Module = import_timm().create_model(name, num_classes=class_count, **spec.options)
    return module


def load(spec: ModelSpec, name: str, class_count: int) -> Model:
    """A model with published weights, fetched into the hub's own cache where they are not there yet.

    Raises:
        StudyError: no such weights.
        ModelError: they cannot be fetched, or options are not the builder's.
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
        if name not in tags:  # before anything is fetched
            hint = did_you_mean(name, tags, f"its tags for {base} are {', '.join(tags[:3]) or 'none'}")
            raise StudyError(f"timm has no weights {name!r}: {hint}")
    try:
        module = timm.create_model(name, pretrained=True, **spec.options)
    except Exception as error:  # the hub's client has many errors of its own
        raise ModelError(
            f"model {spec.label!r}: {architecture} cannot be built with its published weights "
            f"({first_line(error)}): fetch them where there is a network, or give the file as "
            "`checkpoint`, with normalization and class_names"
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
    """Names of the outputs: the hub's, else those of the ImageNet subset of so many classes (WordNet ids if not 1k)."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if published.get("label_names"):
        return tuple(published["label_names"])
    subset = infer_imagenet_subset(published)
    of_others = name.startswith(HUB) and not name.startswith(f"{HUB}timm/")
    if subset is None or of_others:  # 1,000 outputs of somebody else's need not be ImageNet's
        return None
    info: Any = ImageNetInfo(subset)
    return imagenet_names() if subset == "imagenet-1k" else tuple(info.label_names())
