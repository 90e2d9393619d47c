"""Models of timm (the extra `timm`) and the Hugging Face hub, with preprocessing and classes of published weights."""

import importlib
import math
from collections.abc import Collection
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

from torch import nn

from failmodes.evaluate.models.hugging_face import command_if_missing, hub_folder
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import Geometry, Preprocessing, pil_preprocessing
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.datasets.imagenet_classes import IMAGENET_1K, imagenet_names
from failmodes.runtime.errors import ModelError, StudyError, did_you_mean, first_line
from failmodes.runtime.packages import require

HUB = "hf-hub:"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")


def import_timm() -> ModuleType:
    """Import timm, which is optional.

    Raises:
        MissingExtraError: timm is not installed.
    """
    require("timm", "a timm model", ["timm"])
    return importlib.import_module("timm")


def names() -> Collection[str]:
    """Names of all models."""
    return list(import_timm().list_models())


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
    cached = _from_cache(spec, name)
    try:
        module = timm.create_model(**cached, pretrained=True, **spec.options)
    except Exception as error:  # many errors of options, and of files that are not what they should be
        raise ModelError(
            f"model {spec.label!r}: {architecture} cannot be built with its published weights "
            f"({first_line(error)}): download them again, or set `checkpoint` to the file, with normalization and "
            "class_names"
        ) from error
    published = module.pretrained_cfg
    classes = _names_of_outputs(name, published)
    return Model(
        module=module, spec=spec, architecture=architecture,
        preprocessing=published_preprocessing(module, spec.options.get("img_size")),
        output_names=classes, output_count=None if classes is None else len(classes),
        checkpoint=str(_repository(name) or PurePosixPath(published.get("url") or name).name),
        metadata={"dataset": IMAGENET_1K} if classes == imagenet_names() else {},
    )  # fmt: skip


def to_download(spec: ModelSpec, name: str) -> str | None:
    """The command that downloads the published weights; None if they are in the hub's cache."""
    repository = _repository(name)
    return None if repository is None else command_if_missing(*_with_revision(repository), WEIGHTS)


def _from_cache(spec: ModelSpec, name: str) -> dict[str, Any]:
    """Arguments of `create_model` that read the weights from the hub's cache without asking the hub.

    Raises:
        ModelError: they are not in the cache and cannot be downloaded.
    """
    repository = _repository(name)
    if repository is None:
        return {"model_name": name}
    folder = hub_folder(spec, *_with_revision(repository), WEIGHTS)
    file = folder / WEIGHTS[0]
    if not file.exists():  # a pickle, which the library reads with `weights_only` if it comes from the hub
        return {"model_name": name}
    if name.startswith(HUB):
        return {"model_name": f"local-dir:{folder}"}
    return {"model_name": name, "pretrained_cfg_overlay": {"file": str(file), "custom_load": False}}


def _repository(name: str) -> str | None:
    """OWNER/NAME, or OWNER/NAME@REVISION, of a model's weights on the hub; None if they are elsewhere."""
    if name.startswith(HUB):
        return name.removeprefix(HUB)
    config = import_timm().get_pretrained_cfg(name)
    if config is None or not config.hf_hub_id or config.hf_hub_filename:
        return None
    return str(config.hf_hub_id)


def _with_revision(repository: str) -> tuple[str, str | None]:
    name, _, revision = repository.partition("@")
    return name, revision or None


def published_preprocessing(module: nn.Module, image_size: Any = None) -> Preprocessing:
    """The preprocessing of timm's evaluation transform, `create_transform` of the model's data configuration.

    Args:
        module: with `pretrained_cfg`.
        image_size: side, or height and width, that the model was built for instead of the configuration's.
    """
    data = importlib.import_module("timm.data")
    side = (image_size, image_size) if isinstance(image_size, int) else image_size
    overrides = None if side is None else {"input_size": (3, *side)}
    config = data.resolve_model_data_config(module, overrides)
    height, width = config["input_size"][1:]
    details = f"{config['interpolation']}, crop_pct {config['crop_pct']:.4g}, {config['crop_mode']} crop"
    return pil_preprocessing(
        data.create_transform(**config, is_training=False, normalize=False),
        Normalization(mean=tuple(config["mean"]), std=tuple(config["std"])),
        config,
        f"resized and cropped by timm to {width}×{height} px ({details})",
        _geometry(config),
    )


def _geometry(config: dict[str, Any]) -> Geometry | None:
    """The shorter side after timm's resize, and its center crop; None for other crops and sides that differ."""
    height, width = config["input_size"][1:]
    if config["crop_mode"] != "center" or height != width:
        return None
    return Geometry(config["interpolation"], math.floor(width / config["crop_pct"]), width)


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
