"""Small models in the files that a study names, with random weights from fixed seeds."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file
from small_nets import One, OneSoft, Plain, Soft, drawn, spread
from torch import nn
from torchvision import models
from torchvision.models.resnet import BasicBlock

NAMES = ("goldfish", "hen", "tench")
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)
CLASSIFIERS = ("vit", "swin", "convnext", "resnet")
TIMM = ("resnet", "convnext", "efficientnet", "nfnet", "mambaout")
WORDS = ["[PAD]", "[UNK]", "a", "photo", "of", "the", "sketch", *NAMES]
SIDE = 32


# --- checkpoints


def write_checkpoints(folder: Path) -> None:
    stated = {
        "architecture": "resnet18", "class_names": json.dumps(["hen", "tench", "goldfish"]), "seed": "5",
        "normalization": json.dumps({"mean": MEAN, "std": STD}), "clean_accuracy": "0.75",
        "recipe": json.dumps({"epochs": 3, "augmentation": "augmix"}), "dataset": "photographs, train split, 90 images",
    }  # fmt: skip
    states = [drawn(_resnet18(3), seed).state_dict() for seed in range(8)]
    save_file(states[0], folder / "resnet.safetensors", stated)
    save_file({name: value.half() for name, value in states[1].items()}, folder / "resnet-half.safetensors")
    torch.save(states[2], folder / "resnet-old.pth", _use_new_zipfile_serialization=False)
    counted = {"epoch": 3, "global_step": 70, "hyper_parameters": {"rate": 0.1}}
    for name, content in {
        "resnet.pt": states[3],
        "resnet-lightning.ckpt": {"state_dict": {f"model.{key}": value for key, value in states[4].items()}, **counted},
        "resnet-parallel.pt": {"model": {f"module.{key}": value for key, value in states[5].items()}, "optimizer": {}},
        "resnet-averaged.pt": {"state_dict": states[6], "state_dict_ema": states[7]},
        "resnet-five.pt": drawn(_resnet18(5)).state_dict(),
        "resnet-three.pt": drawn(_resnet18(3), 8).state_dict(),
        "shufflenet.pt": drawn(models.shufflenet_v2_x0_5(num_classes=3)).state_dict(),
        "squeezenet.pt": _seeded(models.squeezenet1_1, num_classes=3).state_dict(),
        "mobilenet.pt": {"net": drawn(models.mobilenet_v3_small(num_classes=3)).state_dict()},
        "stem.pt": drawn(_with_stem(models.resnet18(num_classes=3))).half().state_dict(),
        "plain.pt": Plain(seed=2).state_dict(),
    }.items():
        torch.save(content, folder / name)
    save_file(drawn(_densenet121(3)).state_dict(), folder / "densenet.safetensors", {"normalization": '"cifar10"'})
    for name in TIMM:
        module = spread(_of_timm(f"test_{name}", num_classes=3), 64)
        save_file(module.state_dict(), folder / f"timm-{name}.safetensors")
    vit = spread(_of_timm("test_vit", num_classes=3, img_size=48), 48)
    save_file(vit.state_dict(), folder / "timm-vit.safetensors")


def _with_stem(module: Any, channels: int = 64) -> Any:
    module.conv1, module.maxpool = nn.Conv2d(3, channels, 3, padding=1, bias=False), nn.Identity()
    return module


def _resnet18(classes: int, width: int = 8) -> nn.Module:
    """As the built-in one of this width."""
    module: Any = _with_stem(models.ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes), width)
    module.inplanes, module.bn1 = width, nn.BatchNorm2d(width)
    for stage, stride in enumerate((1, 2, 2, 2)):
        layer = module._make_layer(BasicBlock, width * 2**stage, 2, stride=stride)
        setattr(module, f"layer{stage + 1}", layer)
    module.fc = nn.Linear(width * 8, classes)
    return module


def _densenet121(classes: int, width: int = 8) -> nn.Module:
    module = models.DenseNet(width // 2, (6, 12, 24, 16), width, num_classes=classes)
    module.features.conv0 = nn.Conv2d(3, width, 3, padding=1, bias=False)
    return module


def _of_timm(name: str, **options: Any) -> Any:
    return _seeded(timm.create_model, model_name=name, **options)


def _seeded(build: Callable[..., Any], **options: Any) -> Any:
    torch.manual_seed(0)
    return build(**options)


# --- models of hubs


def write_hub_models(folder: Path) -> None:
    for kind in CLASSIFIERS:
        _write_classifier(folder / kind, kind)
    for kind in ("clip", "siglip"):
        _write_clip(folder / kind, kind)
    _write_open_clip(folder / "open_clip")
    _cache(folder / "hub", "timm--test_vit.r160_in1k", _of_timm("test_vit"))
    net = folder / "hub/hub/models--owner--net/snapshots/0"
    _cache(folder / "hub", "owner--net", _of_timm("test_resnet", num_classes=3))
    config = {
        "architecture": "test_resnet", "num_classes": 3, "num_features": 128, "label_names": [*NAMES[::-1]],
        "pretrained_cfg": {
            "input_size": [3, 48, 40], "mean": MEAN, "std": STD, "interpolation": "bilinear", "crop_pct": 0.9,
            "crop_mode": "center", "num_classes": 3, "first_conv": "conv1", "classifier": "fc",
            "label_names": [*NAMES[::-1]],
        },
    }  # fmt: skip
    (net / "config.json").write_text(json.dumps(config))


def _cache(home: Path, repository: str, module: nn.Module) -> None:
    """Weights in the cache of the hub, as after a download."""
    snapshot = home / f"hub/models--{repository}/snapshots/0"
    snapshot.mkdir(parents=True)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("0")
    save_file(module.state_dict(), snapshot / "model.safetensors")


def _random(module: Any) -> Any:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, 1.0 if parameter.ndim < 2 else 0.0, 0.2)
    return module.eval()


def output_names() -> dict[str, Any]:
    """Names of outputs in the configuration of a classifier, in another order than that of the classes."""
    names = dict(enumerate(NAMES[::-1]))
    return {"id2label": names, "label2id": {name: label for label, name in names.items()}}


def _write_classifier(folder: Path, kind: str) -> None:
    import transformers as hf

    names = output_names()
    exact = {"size": {"height": 16, "width": 16}, "image_mean": MEAN, "image_std": STD}
    vit = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    swin = {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 4, "patch_size": 2}
    convnext = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
    resnet = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    to_32 = {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}
    to_64 = {"size": {"shortest_edge": 64}, "crop_pct": 0.8, "image_mean": MEAN, "image_std": STD}
    config, model, processor = {
        "vit": (
            hf.ViTConfig(image_size=16, patch_size=4, **vit, **names),
            hf.ViTForImageClassification,
            hf.ViTImageProcessor(**exact),
        ),
        "swin": (
            hf.SwinConfig(image_size=16, **swin, **names),
            hf.SwinForImageClassification,
            hf.ViTImageProcessor(**exact, resample=3),
        ),
        "convnext": (
            hf.ConvNextConfig(**convnext, **names),
            hf.ConvNextForImageClassification,
            hf.ConvNextImageProcessor(**to_64),
        ),
        "resnet": (hf.ResNetConfig(**resnet, **names), hf.ResNetForImageClassification, hf.CLIPImageProcessor(**to_32)),
    }[kind]
    _random(model(config)).save_pretrained(folder)
    processor.save_pretrained(folder)


def _write_clip(folder: Path, kind: str) -> None:
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


def _write_open_clip(folder: Path) -> None:
    import open_clip

    vision = {"image_size": 16, "layers": 2, "width": 16, "patch_size": 4, "head_width": 8}
    text = {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1}
    model = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    preprocess = {"mean": MEAN, "std": STD, "size": [16, 16]}
    folder.mkdir(parents=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": preprocess}))
    save_file(_random(open_clip.CLIP(**model)).state_dict(), folder / "open_clip_model.safetensors")


# --- graphs and programs


class ChannelsLast(nn.Module):
    """Takes (N, H, W, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = Plain()

    def forward(self, images: torch.Tensor) -> Any:
        return self.net(images.permute(0, 3, 1, 2))


class FromPixels(ChannelsLast):
    """Takes uint8 pixels (N, H, W, 3)."""

    def forward(self, images: torch.Tensor) -> Any:
        return super().forward((images.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD))


class Several(Plain):
    def forward(self, images: torch.Tensor) -> Any:
        return images.mean((2, 3)), super().forward(images)


def write_programs(folder: Path) -> None:
    _write_onnx(Plain(), folder / "nchw.onnx")
    _write_onnx(ChannelsLast(), folder / "nhwc.onnx")
    _write_onnx(Plain(), folder / "fixed.onnx", batch=4)
    _write_onnx(Soft(), folder / "softmax.onnx")
    _write_onnx(Several(), folder / "several.onnx", names=("features", "scores"))
    _write_onnx(FromPixels(), folder / "pixels.onnx", dtype=torch.uint8)
    _write_onnx(Plain().half(), folder / "half.onnx", dtype=torch.float16)
    _write_onnx(One(), folder / "one.onnx")
    _write_onnx(OneSoft(), folder / "sigmoid.onnx")
    import onnx

    graph = onnx.load(folder / "nchw.onnx")
    options = {"save_as_external_data": True, "location": "external.data", "size_threshold": 0}
    onnx.save_model(graph, folder / "external.onnx", **options)
    for name, module, dtype in (("net", Plain(5), torch.float32), ("half", Plain().half(), torch.float16)):
        batch = ({0: torch.export.Dim("n")},)
        program = torch.export.export(module.eval(), (_example(dtype),), dynamic_shapes=batch)
        torch.export.save(program, folder / f"{name}.pt2")


def _example(dtype: torch.dtype = torch.float32, batch: int = 2, *, channels_last: bool = False) -> torch.Tensor:
    return torch.zeros((batch, SIDE, SIDE, 3) if channels_last else (batch, 3, SIDE, SIDE), dtype=dtype)


def _write_onnx(
    module: nn.Module,
    path: Path,
    *,
    batch: int | None = None,
    names: tuple[str, ...] = ("out",),
    dtype: torch.dtype = torch.float32,
) -> None:
    """Export a model; without `batch` for batches of any size."""
    free = None if batch else {"images": {0: "n"}} | {name: {0: "n"} for name in names}
    example = _example(dtype, batch or 2, channels_last=isinstance(module, ChannelsLast))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {"input_names": ["images"], "output_names": [*names], "dynamic_axes": free, "dynamo": False}
        torch.onnx.export(module.eval(), (example,), str(path), **options)
