"""Studies of generated images and models with random weights, evaluated as a user does."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
import torchvision
from safetensors.torch import save_file
from tiny_study import hashes
from torch import nn

from failmodes.evaluate.models.sources.builtin import ARCHITECTURES
from failmodes.warehouse.schema import ATTENTION, PREDICTION_FACTS, Table
from failmodes.warehouse.shards.format import list_results_files, read_footer, read_verified

CLASSES = 10
BUILDERS = {
    "resnet18": lambda: ARCHITECTURES["resnet18"](CLASSES, 64),
    "torchvision:resnet50": lambda: torchvision.models.resnet50(num_classes=CLASSES),
}
TEXT = """
name = "generated images"
output = "out"
[dataset]
kind = "arrays"
path = "images"
[corruptions]
recipe = "{recipe}"
names = {names}
severities = {severities}
[[models]]
label = "random weights"
architecture = "{architecture}"
checkpoint = "weights.safetensors"
normalization = {{ mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }}
[evaluation]
device = "{device}"
"""


def write_study(
    folder: Path,
    device: torch.device,
    *,
    images: int,
    side_px: int = 32,
    architecture: str = "resnet18",
    names: list[str],
    severities: list[int],
    evaluation: Mapping[str, Any] = {},
) -> Path:
    """Write a study with its images and weights; `evaluation` adds keys to the table of that name."""
    data = folder / "images"
    data.mkdir(parents=True)
    np.save(data / "images.npy", generated_images(images, side_px))
    np.save(data / "labels.npy", np.arange(images) % CLASSES)
    (data / "classes.json").write_text(json.dumps([f"class {number}" for number in range(CLASSES)]))
    save_file(balanced(BUILDERS[architecture], side_px).state_dict(), folder / "weights.safetensors")
    text = TEXT.format(
        recipe="cifar-c" if side_px == 32 else "imagenet-c", names=json.dumps(names), severities=severities,
        architecture=architecture, device=device.type,
    )  # fmt: skip
    path = folder / "study.toml"
    path.write_text(text + "".join(f"{key} = {json.dumps(value)}\n" for key, value in evaluation.items()))
    return path


def balanced(build: Callable[[], nn.Module], side_px: int) -> nn.Module:
    """A module with random weights whose activations and logits have the size of a trained one's.

    Batch norms get the statistics of random images, since activations of deep networks vanish otherwise; logits of the
    last linear layer get mean 0 and SD 2, so that every class is predicted.
    """
    torch.manual_seed(0)
    module = build()
    pixels = torch.from_numpy(generated_images(16, side_px)).permute(0, 3, 1, 2)
    inputs = (pixels / 255 - 0.5) / 0.25
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the mean of all batches, here of one
    last = [part for part in module.modules() if isinstance(part, nn.Linear)][-1]
    nn.init.normal_(last.weight)
    with torch.no_grad():
        module.train()(inputs)
        logits = module.eval()(inputs)
        scale = 2 / logits.std(0)
        last.weight *= scale[:, None]
        last.bias.copy_((last.bias - logits.mean(0)) * scale)
    return module


def generated_images(count: int, side_px: int) -> np.ndarray:
    """Images (count, side_px, side_px, 3) uint8 of random squares of 8 pixels."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, side_px // 8, side_px // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2)


def start_evaluation(study: Path) -> subprocess.Popen[bytes]:
    """Start `failmodes evaluate`."""
    return subprocess.Popen([sys.executable, "-m", "failmodes", "evaluate", study.name], cwd=study.parent)


def evaluate(study: Path) -> float:
    """Run `failmodes evaluate` to its end; returns wall seconds.

    Raises:
        RuntimeError: the command fails.
    """
    started = time.perf_counter()
    code = start_evaluation(study).wait()
    if code:
        raise RuntimeError(f"failmodes evaluate {study} ends with exit code {code}")
    return time.perf_counter() - started


def images_per_s(study: Path) -> dict[str, float]:
    """Images per second of each cell, corruption/severity, as stored with it."""
    speeds = {}
    for path in list_results_files(study.parent / "out", PREDICTION_FACTS):
        footer = read_footer(path)
        identity = footer["identity"]
        speeds[f"{identity['corruption']}/{identity['severity']}"] = footer["facts"]["images_per_s"]
    return speeds


def batch_sizes(study: Path) -> set[int]:
    """Batch sizes at the end of each cell."""
    paths = list_results_files(study.parent / "out", PREDICTION_FACTS)
    return {read_footer(path)["facts"]["batch_size"] for path in paths}


def differing_files(one: Path, other: Path) -> list[str]:
    """Files of results whose rows differ between two evaluations of a study in any bit."""
    first, second = hashes(one.parent / "out"), hashes(other.parent / "out")
    return [name for name in first.keys() | second.keys() if first.get(name) != second.get(name)]


class Differences(NamedTuple):
    """How the rows of two evaluations differ: largest of a confidence, share of predictions, largest of a centroid.

    Centroids, in image widths, are those of the same class.
    """

    confidence: float
    predictions: float
    centroid: float | None


def differences(one: Path, other: Path) -> Differences:
    """Differences between two evaluations of a study.

    Raises:
        ValueError: their cells or images differ.
    """
    first, second = (_rows(study, PREDICTION_FACTS, ["image_id", "confidence", "predicted"]) for study in (one, other))
    if not first.select("cell", "image_id").equals(second.select("cell", "image_id")):
        raise ValueError("the two evaluations have different rows")
    changed = float((first["predicted"] != second["predicted"]).sum()) / len(first)
    columns = ["image_id", "target", "target_class", "centroid_x", "empty"]
    maps, others = (_rows(study, ATTENTION, columns) for study in (one, other))
    if maps.is_empty():
        return Differences(_largest(first["confidence"], second["confidence"]), changed, None)
    is_same = (maps["target_class"] == others["target_class"]) & ~maps["empty"]
    centroid = _largest(maps["centroid_x"].filter(is_same), others["centroid_x"].filter(is_same))
    return Differences(_largest(first["confidence"], second["confidence"]), changed, centroid)


def _largest(one: pl.Series, other: pl.Series) -> float:
    return float(np.abs(one.to_numpy() - other.to_numpy()).max())


def _rows(study: Path, table: Table, columns: list[str]) -> pl.DataFrame:
    output = study.parent / "out"
    tables = [pl.DataFrame(schema=["cell", *columns])]
    for path in list_results_files(output, table):
        rows = pl.DataFrame(read_verified(path).rows.select(columns))
        tables.append(rows.select(pl.lit(str(path.relative_to(output))).alias("cell"), *columns))
    return pl.concat(tables[1:] or tables)
