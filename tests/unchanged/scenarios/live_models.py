"""Models in memory, given to `failmodes.benchmark` in every form: modules, wrappers, programs, functions."""

import shutil
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import small_nets
import timm
import torch
import transformers
from image_files import scenes
from network_files import NAMES, output_names
from pixel_studies import model_answers
from side import Side
from small_nets import (
    Branches,
    Flat,
    Imagenet,
    Mapping,
    NoMap,
    Object,
    One,
    OneSoft,
    Plain,
    Soft,
    Stated,
    Tuple,
    drawn,
    spread,
)
from torch import nn
from torchvision.transforms import v2

COUNTED = {"rows": 4529, "values": 29, "sentences": 587, "files": 236, "exits": 31}

IMAGES, LABELS = scenes(16, 32, 32, seed=50), np.random.default_rng(50).integers(0, 3, 16)
HALF = ([0.5, 0.4, 0.3], [0.2, 0.3, 0.4])
NAMED, PROBABILITIES = {"label_names": NAMES}, {"output_kind": "probabilities"}
ZEROS = torch.zeros(2, 3, 32, 32)
WEIGHTS = np.random.default_rng(51).normal(0, 9, (6, 3)).astype(np.float32)


class Trained(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.net = Plain(seed=1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.net(images)


class Callable3:
    """An object that is called."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return in_numpy(images) * np.float32(self.factor)


def in_numpy(images: np.ndarray) -> np.ndarray:
    values = images.astype(np.float32) / 255
    return np.concatenate([values.mean((1, 2)) - 0.5, values.std((1, 2)) - 0.25], axis=1) @ WEIGHTS


def in_torch(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(in_numpy(images)) / 2


def in_rows(images: np.ndarray) -> list[torch.Tensor]:
    return list(in_torch(images) / 3)


def in_mapping(images: np.ndarray) -> dict[str, Any]:
    return {"features": images.mean((1, 2)), "logits": in_numpy(images) * 2}


def softened(images: np.ndarray) -> np.ndarray:
    odds = np.exp(in_numpy(images))
    return odds / odds.sum(1, keepdims=True)


def halved(images: torch.Tensor) -> torch.Tensor:
    """A preprocessing of batches."""
    return nn.functional.avg_pool2d(images.float() / 255, 2) - 0.5


def cut(picture: Any) -> torch.Tensor:
    """A preprocessing of one picture."""
    return torch.from_numpy(np.asarray(picture.resize((28, 28)).crop((2, 2, 26, 26))).copy()).permute(2, 0, 1) / 255


def doubled() -> nn.Module:
    module = Plain(seed=6)
    module.register_forward_hook(lambda _module, _inputs, output: output * 2)
    return module


def of_transformers() -> tuple[nn.Module, Any]:
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    config = transformers.ViTConfig(image_size=24, patch_size=4, **sizes, **output_names())
    exact = {"size": {"height": 24, "width": 24}, "image_mean": HALF[0], "image_std": HALF[1]}
    return drawn(transformers.ViTForImageClassification(config), side=24), transformers.ViTImageProcessor(**exact)


def of_layers() -> nn.Module:
    layers = [nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    return drawn(nn.Sequential(*layers))


def exported() -> Any:
    batch = ({0: torch.export.Dim("n")},)
    return torch.export.export(Plain(seed=9).eval(), (ZEROS,), dynamic_shapes=batch)


def of_timm() -> nn.Module:
    torch.manual_seed(0)
    return spread(timm.create_model("test_resnet", num_classes=3), 64)


def cases() -> dict[str, dict[str, Any]]:
    """Arguments of `failmodes.benchmark`; those of `Options` are under `options`."""
    net, five, processed = Plain(), {"class_names": ["ant", "tench", "bee", "hen", "goldfish"]}, of_transformers()
    timm_net = of_timm()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(timm_net))
    scaled = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(*HALF)])
    modules = {
        "train mode": Plain(seed=1).train(), "Sequential": of_layers(), "DataParallel": nn.DataParallel(Plain(seed=2)),
        "half": Plain(seed=3).half(), "double": Plain(seed=4).double(), "hook": doubled(), "Lightning": Trained(),
        "channels last": Plain(seed=5).to(memory_format=torch.channels_last), "object": Object(), "program": exported(),
        "traced": torch.jit.trace(Plain(seed=7).eval(), ZEROS), "scripted": torch.jit.script(NoMap()),
        "compiled": torch.compile(Plain(seed=8)), "flat": Flat(), "branches": Branches(),
    }  # fmt: skip
    functions = {"numpy": in_numpy, "torch": in_torch, "rows": in_rows, "mapping": in_mapping, "called": Callable3(0.5)}
    return {
        "modules": {"model": modules, "normalization": HALF},
        "functions": {"model": functions},
        "assumed": {"model": net},
        "cifar10": {"model": net, "normalization": "cifar10", "label": "A net"},
        "mapping-of-normalization": {"model": net, "normalization": {"mean": HALF[0], "std": HALF[1]}},
        "resized": {"model": net, "normalization": "clip", "options": {"input_side_px": 20}},
        "batch": {"model": Plain(seed=2), "preprocess": halved},
        "picture": {"model": Plain(seed=2), "preprocess": cut},
        "torchvision": {"model": Plain(seed=2), "preprocess": v2.Compose([v2.Resize(36), v2.CenterCrop(30), scaled])},
        "processor": {"model": processed[0], "preprocess": processed[1], "options": NAMED},
        "transformers": {"model": processed[0], "normalization": HALF, "options": {"input_side_px": 24}},
        "timm": {"model": timm_net, "preprocess": transform},
        "timm-plain": {"model": timm_net},
        "seeds": {"model": {"Net, seed 0": Plain(seed=0), "Net, seed 1": Plain(seed=1)}, "normalization": "none"},
        "key": {"model": {"mapping": Mapping()}, "normalization": HALF, "options": {"output_key": "scores"}},
        "position": {"model": Tuple(), "normalization": HALF, "options": {"output_key": "1"}},
        "probabilities": {
            "model": {"one": Soft(), "another": Soft(seed=4)}, "normalization": HALF, "options": PROBABILITIES
        },
        "soft-function": {"model": softened, "options": PROBABILITIES | {"version": "7"}},
        "one": {"model": One(), "normalization": HALF, "labels": LABELS % 2},
        "one-probability": {"model": OneSoft(), "normalization": HALF, "labels": LABELS % 2, "options": PROBABILITIES},
        "stated": {"model": Stated(), "normalization": HALF, "class_names": Stated.class_names, "options": NAMED},
        "five": {"model": Plain(5), "normalization": HALF, **five, "options": NAMED},
        "five-subset": {"model": Plain(5), "normalization": HALF, **five, "options": NAMED | {"classes": "subset"}},
        "mapped": {
            "model": Plain(5), "normalization": HALF,
            "options": NAMED | {"class_map": {"goldfish": 4, "hen": 0, "tench": 1}},
        },
        "imagenet": {"model": Imagenet(), "normalization": "imagenet", "class_names": "imagenet-1k", "options": NAMED},
        "layercam": {
            "model": net, "normalization": HALF, "options": {"attention": "layercam", "attention_layer": "conv1"},
        },
        "no-attention": {
            "model": net, "normalization": HALF, "options": {"attention": False, "thumbnails": False, "batch_size": 4}
        },
        "bfloat16": {"model": net, "normalization": HALF, "options": {"precision": "bfloat16"}},
        "named": {
            "model": Plain(seed=3), "normalization": HALF, "class_names": NAMES,
            "options": {"architecture": "small_nets:Plain"},
        },
    }  # fmt: skip


def inputs(folder: Path) -> None:
    """None: all is in memory."""


def run(side: Side) -> None:
    shutil.copy(Path(small_nets.__file__), side.work)
    for name, arguments in cases().items():
        if side.python(f"{name}.run", lambda n=name, a=arguments: benchmark(n, a)):
            model_answers(side, name)
    side.file("named", "named/study.toml")
    shutil.copy(Path(small_nets.__file__), side.work / "named")  # beside the study
    side.command("named.again", "run", "named/study.toml", "--json")
    side.command("named.status", "status", "named")


def benchmark(name: str, arguments: dict[str, Any]) -> str:
    import failmodes

    given = {"images": IMAGES, "labels": LABELS, "corruptions": "fog", "severities": [4], **arguments}
    given["options"] = failmodes.Options(**{"device": "cpu", **arguments.get("options", {})})
    return failmodes.benchmark(to=name, **given).path.name
