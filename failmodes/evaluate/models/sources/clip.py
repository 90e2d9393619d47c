"""Zero-shot models of transformers, CLIP and SigLIP (the extra `transformers`).

`architecture = "clip:FOLDER"`, a folder written by `save_pretrained`, or `"clip:OWNER/NAME"` on the Hugging Face hub.
"""

from typing import Any

import torch
from torch import nn

from failmodes.evaluate.models.hugging_face import (
    checkpoint_name,
    config_facts,
    import_transformers,
    load_module,
    load_pretrained,
    processor_preprocessing,
    to_download,
)
from failmodes.evaluate.models.model import Model
from failmodes.evaluate.models.zero_shot import DEFAULT_PROMPT, zero_shot_model
from failmodes.evaluate.study.study_schema import ModelSpec

__all__ = ["DEFAULT_PROMPT", "load", "to_download"]
NEEDED = ("get_text_features", "get_image_features", "logit_scale")
EXPECTED = (
    "CLIP, SigLIP or another model of images and texts with a logit scale; for an image classifier write transformers:…"
)


class ImageFeatures(nn.Module):
    """The visual tower of a model of transformers: its image features (N, D)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Features of images (N, 3, h, w)."""
        return _pooled(self.model.get_image_features(pixel_values=images))


def load(spec: ModelSpec, name: str, class_names: tuple[str, ...]) -> Model:
    """Load a model with its processor, and compute the text embeddings of the classes.

    Raises:
        StudyError: an option is unknown.
        ModelError: it cannot be loaded or downloaded, is no model of images and texts, or does not take the prompts.
    """
    transformers = import_transformers()
    model: Any = load_module(spec, name, transformers.AutoModel, NEEDED, EXPECTED)
    tokenizer = load_pretrained(spec, name, transformers.AutoTokenizer)
    # as in the library's zero-shot pipeline: SigLIP was trained on texts padded to 64 tokens
    is_siglip = "siglip" in model.config.model_type
    padding = {"padding": "max_length", "max_length": 64, "truncation": True} if is_siglip else {"padding": True}

    def encode(texts: list[str], device: torch.device) -> torch.Tensor:
        tokens = tokenizer(texts, return_tensors="pt", **padding).to(device)
        return _pooled(model.get_text_features(**tokens))

    text_tower = {key: part for key, part in model.named_children() if key.startswith("text")}
    zero_shot = zero_shot_model(
        spec, f"clip:{type(model).__name__}", ImageFeatures(model), encode, class_names, whole=model,
        preprocessing=processor_preprocessing(spec, name), checkpoint=checkpoint_name(spec, name),
        text_tower=text_tower, settings=config_facts(model.config),
    )  # fmt: skip
    for key in text_tower:  # of no use after the prompts
        setattr(model, key, None)
    return zero_shot


def _pooled(features: Any) -> torch.Tensor:
    """Features (N, D): the pooled output, if the library returns several."""
    pooled: torch.Tensor = getattr(features, "pooler_output", features)
    return pooled
