"""Zero-shot models of OpenCLIP (the extra `open-clip`).

`architecture = "open_clip:NAME/PRETRAINED"`, such as `open_clip:ViT-B-32/openai`, where PRETRAINED is a tag of OpenCLIP
or a file; `open_clip:hf-hub:OWNER/NAME`; or `open_clip:FOLDER` with an `open_clip_config.json`.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import nn

from failmodes.evaluate.models.code_identity import code_hash
from failmodes.evaluate.models.hugging_face import command_if_missing, hub_folder, quiet
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.preprocessing import Geometry, Preprocessing, pil_preprocessing
from failmodes.evaluate.models.zero_shot import DEFAULT_PROMPT, zero_shot_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.runtime.errors import ModelError, StudyError, did_you_mean, first_line, listed
from failmodes.runtime.packages import require

__all__ = ["DEFAULT_PROMPT", "load", "to_download"]
HUB = "hf-hub:"
WEIGHTS = ("*.safetensors", "*.bin")
SHOWN = 5  # tags listed in an error


@dataclass(frozen=True)
class Location:
    """A model as OpenCLIP names it.

    Attributes:
        name: of the model; a hub or a folder begins with hf-hub: or local-dir:.
        pretrained: tag or file of its weights; None if the name includes them.
        architecture: canonical name.
        checkpoint: name of the weights.
    """

    name: str
    pretrained: str | None
    architecture: str
    checkpoint: str


class ImageFeatures(nn.Module):
    """A visual tower that may return features together with tokens."""

    def __init__(self, tower: nn.Module) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features (N, D) of images (N, 3, h, w)."""
        output = self.tower(images)
        features: torch.Tensor = output if isinstance(output, torch.Tensor) else output[0]
        return features


def load(spec: ModelSpec, name: str, class_names: tuple[str, ...]) -> Model:
    """Load a model, downloaded to the hub's cache if necessary, and compute the text embeddings of the classes.

    Raises:
        MissingExtraError: OpenCLIP is not installed.
        StudyError: unknown model or weights, or options are given.
        ModelError: it cannot be loaded or downloaded, or does not take the prompts.
    """
    require("open-clip", "a model of OpenCLIP", ["open_clip"])
    library = importlib.import_module("open_clip")
    if spec.options:
        raise StudyError(f"model {spec.label!r}: models of open_clip take no options: remove {', '.join(spec.options)}")
    location = _locate(spec, name, library)
    on_hub = _on_hub(location, library)
    model_name = location.name
    if on_hub is not None:
        folder = hub_folder(spec, on_hub[0], needed=on_hub[1])
        if location.name.startswith(HUB):
            model_name = f"local-dir:{folder}"
    try:
        with quiet():
            model: Any = library.create_model_from_pretrained(
                model_name, location.pretrained, return_transform=False, weights_only=True
            )
            tokenizer = library.get_tokenizer(model_name)
    except Exception as error:  # many errors of the library and of the hub's client
        raise ModelError(
            f"model {spec.label!r}: {spec.architecture} cannot be loaded ({first_line(error)}): download it on a "
            "machine with network access, or name a folder with open_clip_config.json and its weights"
        ) from error
    model = model.float().eval()
    text_tower = nn.Module()  # the text tower of CLIP is the rest of the model
    for key, value in (*model.named_children(), *model.named_parameters(recurse=False)):
        if key != "visual":
            setattr(text_tower, key, value)
    visual = model.visual

    def encode(texts: list[str], device: torch.device) -> torch.Tensor:
        features: torch.Tensor = model.encode_text(tokenizer(texts).to(device))
        return features

    return zero_shot_model(
        spec, location.architecture, ImageFeatures(visual), encode, class_names, whole=model,
        preprocessing=published_preprocessing(visual), checkpoint=location.checkpoint,
        text_tower={"text": text_tower},
        settings=code_hash(visual, subject=f"model {spec.label!r}", named_tensors=visual.state_dict(keep_vars=True)),
    )  # fmt: skip


def _locate(spec: ModelSpec, name: str, library: ModuleType) -> Location:
    """The model as OpenCLIP names it.

    Raises:
        StudyError: unknown model or weights.
    """
    folder = spec.beside_study(name)
    if folder.is_dir():
        return Location(f"local-dir:{folder}", None, "open_clip:CLIP", folder.resolve().name)
    if name.startswith(HUB):
        return Location(name, None, f"open_clip:{name}", name.removeprefix(HUB))
    model, _, pretrained = name.partition("/")
    if model not in library.list_models():
        hint = did_you_mean(model, library.list_models(), "`open_clip.list_models()` lists them")
        raise StudyError(f"model {spec.label!r}: open_clip has no model or folder {model!r}: {hint}")
    tags = library.list_pretrained_tags_by_model(model)
    file = spec.beside_study(pretrained) if pretrained else None
    if file is not None and file.is_file():
        return Location(model, str(file), f"open_clip:{model}", file.name)
    tag = pretrained or (tags[0] if len(tags) == 1 else "")
    if tag.lower().replace("-", "_") not in tags:
        hint = did_you_mean(tag, tags, f"expected {listed(tags, SHOWN) or 'a file'}")
        raise StudyError(
            f"model {spec.label!r}: name the weights of {model}, as open_clip:{model}/PRETRAINED: {hint}"
            if not pretrained
            else f"model {spec.label!r}: open_clip has no weights {pretrained!r} of {model}: {hint}"
        )
    return Location(model, tag, f"open_clip:{model}", tag)


def to_download(spec: ModelSpec, name: str) -> str | None:
    """The command that downloads a model; None if it is a folder or in the hub's cache."""
    require("open-clip", "a model of OpenCLIP", ["open_clip"])
    library = importlib.import_module("open_clip")
    on_hub = _on_hub(_locate(spec, name, library), library)
    return None if on_hub is None else command_if_missing(on_hub[0], needed=on_hub[1])


def _on_hub(location: Location, library: ModuleType) -> tuple[str, Sequence[str]] | None:
    """OWNER/NAME of a model on the hub and patterns of its weights; None if they are elsewhere."""
    if location.name.startswith(HUB):
        return location.name.removeprefix(HUB), WEIGHTS
    config = {} if location.pretrained is None else library.get_pretrained_cfg(location.name, location.pretrained)
    owner, _, file = config.get("hf_hub", "").rpartition("/")
    return (owner, (file,) if file else WEIGHTS) if owner else None


def published_preprocessing(visual: Any) -> Preprocessing:
    """The preprocessing of the evaluation transform of OpenCLIP, without its last two steps, ToTensor and Normalize.

    Args:
        visual: image tower of the model, with `preprocess_cfg`.
    """
    from torchvision.transforms import Compose, Normalize, PILToTensor, ToTensor

    config = dict(visual.preprocess_cfg)
    transforms = importlib.import_module("open_clip.transform")
    whole = transforms.image_transform_v2(transforms.PreprocessCfg(**config), is_train=False)
    steps = [step for step in whole.transforms if not isinstance(step, ToTensor | Normalize)]
    size = config["size"]
    height, width = (size, size) if isinstance(size, int) else size
    details = f"{config['interpolation']}, {config['resize_mode']} side"
    return pil_preprocessing(
        Compose([*steps, PILToTensor()]),
        Normalization(mean=tuple(config["mean"]), std=tuple(config["std"])),
        config,
        f"resized and cropped by OpenCLIP to {width}×{height} px ({details})",
        Geometry(config["interpolation"], width, width)
        if config["resize_mode"] == "shortest" and height == width
        else None,
    )
