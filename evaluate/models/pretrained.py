"""Published weights of torchvision and timm, with what they say of their inputs and outputs."""

import difflib
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.error import URLError

import torch
from torch import nn
from torchvision import models as torchvision_models

from failmodes.evaluate.models.class_mapping import imagenet_names
from failmodes.evaluate.models.model_config import ModelConfig
from failmodes.evaluate.models.registry import ArchitectureRef, first_line, import_timm
from failmodes.evaluate.study.study_schema import ModelSpec, Normalisation
from failmodes.warehouse.errors import ModelError

IMAGENET_1K = "ImageNet-1k"


class PretrainedModel(NamedTuple):
    """A network with published weights.

    Attributes:
        module: the network.
        stated: what its weights say of inputs and outputs.
        file: the weights' file or hub name.
        training_data: what it was trained on, as far as known.
    """

    module: nn.Module
    stated: ModelConfig
    file: str
    training_data: str | None


def load_pretrained(spec: ModelSpec, named: ArchitectureRef) -> PretrainedModel:
    """Build a network with its published weights, fetched into the library's own cache where they are not there yet.

    Raises:
        ModelError: no such weights, or they cannot be fetched.
    """
    return _torchvision(spec, named) if named.source == "torchvision" else _timm(spec, named)


def _torchvision(spec: ModelSpec, named: ArchitectureRef) -> PretrainedModel:
    known: Any = torchvision_models.get_model_weights(named.name)
    whole = [name for name, weights in known.__members__.items() if weights.meta["categories"]]  # not features alone
    wanted = str(spec.weights).rpartition(".")[2]
    if wanted not in whole:
        raise ModelError(f"{named.canonical} has no weights {spec.weights!r}: choose from {', '.join(whole)}")
    weights = known[wanted]
    _fetch(weights, f"{wanted} of {named.canonical}")
    try:  # by torchvision's own builder, which knows what each network's weights need; they lie in its cache by now
        module = torchvision_models.get_model(named.name, weights=weights, progress=False, **spec.options)
    except Exception as error:
        raise ModelError(f"model {spec.label!r}: {named.canonical} cannot be built: {first_line(error)}") from error
    transforms, names = weights.transforms(), tuple(weights.meta["categories"])
    stated = ModelConfig(
        Normalisation(mean=tuple(transforms.mean), std=tuple(transforms.std)), int(transforms.crop_size[0]), names
    )
    is_imagenet = names == imagenet_names()
    return PretrainedModel(module, stated, PurePosixPath(weights.url).name, IMAGENET_1K if is_imagenet else None)


def _fetch(weights: Any, what: str) -> None:
    """Bring torchvision's weights into its cache, checked by their hash and read once without running anything."""
    file = PurePosixPath(weights.url).name
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    try:
        with redirect_stdout(StringIO()):  # torch announces a download where a pipe may be reading rows
            weights.get_state_dict(check_hash=True, progress=False, weights_only=True)
    except (URLError, OSError) as error:
        raise ModelError(
            f"weights {what} cannot be fetched ({first_line(error)}): put {file} from {weights.url} into {folder}"
        ) from error
    except Exception as error:  # a wrong hash, or a file that is not tensors
        raise ModelError(
            f"weights {what} are damaged ({first_line(error)}): remove {folder / file} and fetch {weights.url} again"
        ) from error


def _timm(spec: ModelSpec, named: ArchitectureRef) -> PretrainedModel:
    if spec.weights not in (None, "pretrained"):
        raise ModelError(
            f'{named.canonical} has no weights {spec.weights!r}: expected weights = "pretrained", with the tag in the '
            "name, such as timm:resnet50.a1_in1k"
        )
    timm = import_timm(named.canonical)
    _check_tag(timm, named)
    try:
        module = timm.create_model(named.name, pretrained=True, **spec.options)
    except Exception as error:  # the hub's client has many errors of its own
        raise ModelError(
            f"model {spec.label!r}: {named.canonical} cannot be built with its published weights "
            f"({first_line(error)}): fetch them where there is a network, or give the file as "
            "`checkpoint`, with normalisation and class_names"
        ) from error
    config = module.pretrained_cfg
    side = spec.options.get("img_size", config["input_size"][-1])
    stated = ModelConfig(
        Normalisation(mean=tuple(config["mean"]), std=tuple(config["std"])),
        int(side) if isinstance(side, int) else int(config["input_size"][-1]),
        _timm_names(named, config),
    )
    file = config.get("hf_hub_id") or PurePosixPath(config.get("url") or named.name).name
    return PretrainedModel(module, stated, str(file), IMAGENET_1K if stated.class_names == imagenet_names() else None)


def _check_tag(timm: Any, named: ArchitectureRef) -> None:
    """Refuse a tag that timm does not know, before anything is fetched."""
    base, _, tag = named.name.partition(".")
    if not tag or named.name.startswith("hf-hub:"):
        return
    known = timm.list_pretrained(f"{base}.*")
    if named.name not in known:
        near = difflib.get_close_matches(named.name, known, n=3) or known[:3]
        raise ModelError(f"timm has no weights {named.name!r}: its tags for {base} are {', '.join(near) or 'none'}")


def _timm_names(named: ArchitectureRef, config: dict[str, Any]) -> tuple[str, ...] | None:
    """Names of the outputs: the hub's, else those of the ImageNet subset of so many classes (WordNet ids if not 1k)."""
    from timm.data import ImageNetInfo, infer_imagenet_subset

    if config.get("label_names"):
        return tuple(config["label_names"])
    subset = infer_imagenet_subset(config)
    of_others = named.name.startswith("hf-hub:") and not named.name.startswith("hf-hub:timm/")
    if subset is None or of_others:  # 1,000 outputs of somebody else's need not be ImageNet's
        return None
    return imagenet_names() if subset == "imagenet-1k" else tuple(ImageNetInfo(subset).label_names())
