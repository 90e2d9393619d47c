"""Tiny models of transformers and OpenCLIP with random weights, saved into a folder as on a hub."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

NAMES = ("goldfish", "hen", "tench")
IMAGES = np.random.default_rng(0).integers(0, 256, (200, 24, 30, 3), dtype=np.uint8)
WORDS = ["[PAD]", "[UNK]", "a", "photo", "of", "the", "sketch", "goldfish", "hen", "tench"]
MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]


def _random(module: Any) -> Any:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, 1.0 if parameter.ndim < 2 else 0.0, 0.2)
    return module.eval()


def classifier(kind: str) -> tuple[Any, Any]:
    """A classifier of three classes and its image processor."""
    import transformers as hf

    outputs = {"id2label": dict(enumerate(NAMES)), "label2id": {name: index for index, name in enumerate(NAMES)}}
    exact = {"size": {"height": 16, "width": 16}, "image_mean": MEAN, "image_std": STD}
    vit = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    made = {
        "vit": lambda: (
            hf.ViTForImageClassification(hf.ViTConfig(image_size=16, patch_size=4, **vit, **outputs)),
            hf.ViTImageProcessor(**exact),
        ),
        "swin": lambda: (
            hf.SwinForImageClassification(
                hf.SwinConfig(
                    image_size=16, patch_size=2, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4, **outputs
                )
            ),
            hf.ViTImageProcessor(**exact, resample=3),
        ),
        "convnext": lambda: (
            hf.ConvNextForImageClassification(
                hf.ConvNextConfig(hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], **outputs)
            ),
            hf.ConvNextImageProcessor(size={"shortest_edge": 64}, crop_pct=0.8, image_mean=MEAN, image_std=STD),
        ),
        "resnet": lambda: (
            hf.ResNetForImageClassification(
                hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], **outputs)
            ),
            hf.CLIPImageProcessor(size={"shortest_edge": 40}, crop_size={"height": 32, "width": 32}),
        ),
    }  # fmt: skip
    model, processor = made[kind]()
    return _random(model), processor


def save_classifier(folder: Path, kind: str) -> Path:
    model, processor = classifier(kind)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def save_clip(folder: Path, kind: str = "clip") -> Path:
    """A model of images and texts with a tokenizer of WORDS."""
    import tokenizers
    import transformers as hf

    shared = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    vision = {**shared, "image_size": 16, "patch_size": 4}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    text = {**shared, **ends, "vocab_size": len(WORDS), "max_position_embeddings": 64}
    if kind == "clip":
        model = hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
        processor = hf.CLIPImageProcessor(size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16})
    else:
        model = hf.SiglipModel(hf.SiglipConfig(text_config=text, vision_config=vision))
        processor = hf.SiglipImageProcessor(size={"height": 16, "width": 16})
    words = tokenizers.models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    _random(model).save_pretrained(folder)
    processor.save_pretrained(folder)
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "a"}
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


def save_open_clip(folder: Path) -> Path:
    """A model of OpenCLIP with its configuration."""
    import open_clip
    from safetensors.torch import save_file

    vision = {"image_size": 16, "layers": 2, "width": 16, "patch_size": 4, "head_width": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    model = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": MEAN, "std": STD, "size": [16, 16]}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    save_file(_random(open_clip.CLIP(**model)).state_dict(), folder / "open_clip_model.safetensors")
    return folder
