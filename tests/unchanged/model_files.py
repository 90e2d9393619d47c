"""Tiny models in the files of other libraries, in pairs that differ in one part."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

CLASSES = ("ant", "bee", "cat", "dog")
SIDE = 32
WORDS = ["[PAD]", "[UNK]", "a", "photo", "of", "the", "sketch", *CLASSES]


def tensors(outputs: int = 4, bias: float = 0.0) -> dict[str, torch.Tensor]:
    """Weights of `nets:Net` in eighths, which float16 holds exactly."""
    shapes = {"conv1": (4, 3, 3, 3), "conv2": (4, 4, 3, 3), "fc": (outputs, 4)}
    found = {}
    for number, (name, shape) in enumerate(shapes.items(), 3):
        values = np.arange(np.prod(shape)) * number % 11 / 8 - 0.5
        found[f"{name}.weight"] = torch.tensor(values.reshape(shape), dtype=torch.float32)
        found[f"{name}.bias"] = torch.arange(shape[0], dtype=torch.float32) / 8
    found["fc.bias"][0] = bias
    return found


def write_onnx(path: Path, bias: float = 0.0, *, external: bool = False) -> None:
    """Global average pooling and one linear layer."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
    graph = helper.make_graph(
        [helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
         helper.make_node("Flatten", ["pooled"], ["flat"]),
         helper.make_node("Gemm", ["flat", "weights", "bias"], ["logits"], transB=1)],
        "net",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 4])],
        [numpy_helper.from_array(weights, "weights"),
         numpy_helper.from_array(np.array([bias, 0, 0, 0], np.float32), "bias")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.parent.mkdir(exist_ok=True)
    kept = {"save_as_external_data": True, "location": "net.data", "size_threshold": 0} if external else {}
    onnx.save_model(model, path, **kept)


def write_program(path: Path, bias: float) -> None:
    """A program of torch.export for batches of any size."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 4)
            with torch.no_grad():
                self.fc.weight.copy_(torch.arange(12).reshape(4, 3) / 8)
                self.fc.bias.copy_(torch.tensor([bias, 0, 0, 0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.mean((2, 3)))

    path.parent.mkdir(exist_ok=True)
    batch = torch.export.Dim("batch", min=1, max=1024)
    example = torch.zeros(2, 3, SIDE, SIDE)
    torch.export.save(torch.export.export(Net().eval(), (example,), dynamic_shapes=({0: batch},)), path)


def write_classifier(
    folder: Path, *, config: dict[str, Any] | None = None, processor: dict[str, Any] | None = None
) -> None:
    """A classifier of transformers with its image processor."""
    import transformers as hf

    vit = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: label for label, name in enumerate(CLASSES)}}
    model = hf.ViTForImageClassification(hf.ViTConfig(image_size=16, patch_size=8, **vit, **names, **(config or {})))
    _seeded(model).save_pretrained(folder)
    hf.ViTImageProcessor(size={"height": 16, "width": 16}, **(processor or {})).save_pretrained(folder)


def write_clip(folder: Path, *, config: dict[str, Any] | None = None, text_bias: float = 0.0) -> None:
    """A CLIP of transformers with a tokenizer of WORDS."""
    import tokenizers
    import transformers as hf

    shared = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    text = {**shared, **ends, "vocab_size": len(WORDS), "max_position_embeddings": 16}
    vision = {**shared, "image_size": 16, "patch_size": 8, **(config or {})}
    model = _seeded(hf.CLIPModel(hf.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)))
    with torch.no_grad():
        model.text_model.final_layer_norm.bias[0] += text_bias
    model.save_pretrained(folder)
    hf.CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(folder)
    words = tokenizers.models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(words)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "eos_token": "a"}
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)


def write_open_clip(folder: Path, *, text_scale: float = 0.0, **preprocess: Any) -> None:
    """A CLIP of OpenCLIP with its configuration."""
    import open_clip

    vision = {"image_size": 16, "layers": 1, "width": 16, "patch_size": 8, "head_width": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    config = {"embed_dim": 8, "vision_cfg": vision, "text_cfg": text}
    cfg = {"mean": [0.5] * 3, "std": [0.25] * 3, "size": [16, 16], "interpolation": "bicubic", **preprocess}
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": cfg}))
    state = _seeded(open_clip.CLIP(**config)).state_dict()
    state["logit_scale"] = state["logit_scale"] + text_scale
    save_file(state, folder / "open_clip_model.safetensors")


def _seeded(module: Any) -> Any:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim < 2 else 0.0, 0.2)
    return module.eval()
