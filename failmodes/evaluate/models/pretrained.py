"""Published weights of torchvision and timm, with the inputs and outputs that they declare."""

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import URLError

import torch
from torch import nn
from torchvision import models as torchvision_models

from failmodes.evaluate.models.model import ModelConfig
from failmodes.evaluate.models.registry import ArchitectureRef, import_timm, resolve_architecture
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.datasets.imagenet_classes import imagenet_names
from failmodes.warehouse.errors import ModelError, StudyError, did_you_mean, first_line


def load_pretrained(spec: ModelSpec) -> tuple[nn.Module, ModelConfig, str]:
    """Build a model with its published weights, fetched into the library's own cache where they are not there yet.

    Returns:
        The model, the configuration that its weights declare, and the weights' file or hub name.

    Raises:
        StudyError: no such weights, or options that the builder does not take.
        ModelError: they cannot be fetched.
    """
    architecture = resolve_architecture(spec.architecture)
    return (_torchvision if architecture.source == "torchvision" else _timm)(spec, architecture)


def _torchvision(spec: ModelSpec, architecture: ArchitectureRef) -> tuple[nn.Module, ModelConfig, str]:
    known: Any = torchvision_models.get_model_weights(architecture.name)
    whole = [name for name, weights in known.__members__.items() if weights.meta["categories"]]  # not features alone
    name = str(spec.weights).rpartition(".")[2]
    if name not in whole:
        raise StudyError(f"{architecture.canonical} has no weights {spec.weights!r}: choose from {', '.join(whole)}")
    weights = known[name]
    _fetch(weights, f"{name} of {architecture.canonical}")
    try:  # by torchvision's own builder, which knows what each model's weights need; they lie in its cache by now
        module = torchvision_models.get_model(architecture.name, weights=weights, progress=False, **spec.options)
    except Exception as error:
        raise (StudyError if spec.options else ModelError)(
            f"model {spec.label!r}: {architecture.canonical} cannot be built: {first_line(error)}"
        ) from error
    transforms = weights.transforms()
    normalization = Normalization(mean=tuple(transforms.mean), std=tuple(transforms.std))
    config = ModelConfig(normalization, int(transforms.crop_size[0]), tuple(weights.meta["categories"]))
    return module, config, PurePosixPath(weights.url).name


def _fetch(weights: Any, subject: str) -> None:
    """Bring torchvision's weights into its cache, checked by their hash and read once without running anything."""
    file = PurePosixPath(weights.url).name
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with redirect_stdout(StringIO()):  # torch announces a download where a pipe may be reading rows
            weights.get_state_dict(check_hash=True, progress=False, weights_only=True)
    except (URLError, OSError) as error:
        raise ModelError(
            f"weights {subject} cannot be fetched ({first_line(error)}): put {file} from {weights.url} into {folder}"
        ) from error
    except Exception as error:  # a wrong hash, or a file that is not tensors
        raise ModelError(
            f"weights {subject} are damaged ({first_line(error)}): remove {folder / file} and fetch {weights.url} again"
        ) from error


def _timm(spec: ModelSpec, architecture: ArchitectureRef) -> tuple[nn.Module, ModelConfig, str]:
    if spec.weights not in (None, "pretrained"):
        raise StudyError(
            f'{architecture.canonical} has no weights {spec.weights!r}: expected weights = "pretrained", with the tag '
            "in the name, such as timm:resnet50.a1_in1k"
        )
    timm = import_timm(architecture.canonical)
    base, _, tag = architecture.name.partition(".")
    if tag and not architecture.name.startswith("hf-hub:"):
        tags = timm.list_pretrained(f"{base}.*")
        if architecture.name not in tags:  # before anything is fetched
            hint = did_you_mean(architecture.name, tags, f"its tags for {base} are {', '.join(tags[:3]) or 'none'}")
            raise StudyError(f"timm has no weights {architecture.name!r}: {hint}")
    try:
        module = timm.create_model(architecture.name, pretrained=True, **spec.options)
    except Exception as error:  # the hub's client has many errors of its own
        raise ModelError(
            f"model {spec.label!r}: {architecture.canonical} cannot be built with its published weights "
            f"({first_line(error)}): fetch them where there is a network, or give the file as "
            "`checkpoint`, with normalization and class_names"
        ) from error
    published = module.pretrained_cfg
    side = spec.options.get("img_size", published["input_size"][-1])
    config = ModelConfig(
        Normalization(mean=tuple(published["mean"]), std=tuple(published["std"])),
        int(side) if isinstance(side, int) else int(published["input_size"][-1]),
        _timm_names(architecture, published),
    )
    return (
        module,
        config,
        str(published.get("hf_hub_id") or PurePosixPath(published.get("url") or architecture.name).name),
    )


def _timm_names(architecture: ArchitectureRef, published: dict[str, Any]) -> tuple[str, ...] | None:
    """Names of the outputs: the hub's, else those of the ImageNet subset of so many classes (WordNet ids if not 1k)."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    if published.get("label_names"):
        return tuple(published["label_names"])
    subset = infer_imagenet_subset(published)
    of_others = architecture.name.startswith("hf-hub:") and not architecture.name.startswith("hf-hub:timm/")
    if subset is None or of_others:  # 1,000 outputs of somebody else's need not be ImageNet's
        return None
    info: Any = ImageNetInfo(subset)
    return imagenet_names() if subset == "imagenet-1k" else tuple(info.label_names())
