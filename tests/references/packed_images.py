"""The same labeled images in every source: class folders, tar shards, Parquet files, arrays, a saved data set."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from encoded_files import encoded
from PIL import Image

CLASSES = ("ant", "bee", "cat")
NETWORK = """
import torch

def network(num_classes):
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(3, 8, 5, stride=3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(8, num_classes))
"""
STUDY = """
name = "packed"
output = "{name}"
[dataset]
{dataset}
[corruptions]
names = ["contrast", "gaussian_noise"]
severities = [1, 3]
[[models]]
label = "Network"
architecture = "network:network"
normalization = "none"
"""
SOURCES = {
    "folder": 'kind = "folder"\npath = "images"',
    "tar": 'kind = "webdataset"\npath = "shards"',
    "parquet": 'kind = "parquet"\npath = "x.parquet"',
    "on demand": 'kind = "parquet"\npath = "x.parquet"\ndecode = "on-demand"',
}


class PackedImage(NamedTuple):
    """An encoded image: its name, bytes and class index."""

    name: str
    content: bytes
    label: int


def photographs(count: int = 9, side_px: int = 40) -> list[PackedImage]:
    """Images in the order of a folder, by class: PNG and JPEG, gray, transparent and rotated ones."""
    rng = np.random.default_rng(0)
    images = []
    for number in range(count):
        pixels = rng.integers(0, 256, (side_px, side_px + number % 3, 3), dtype=np.uint8)
        kinds = (
            ("jpg", encoded(pixels, "JPEG")),
            ("png", encoded(pixels)),
            ("jpg", encoded(pixels[..., 0], "JPEG")),
            ("png", encoded(Image.fromarray(np.dstack([pixels, pixels[..., :1]])))),
            ("jpg", encoded(pixels, "JPEG", exif=_turned())),
        )
        suffix, content = kinds[number % len(kinds)]
        images.append(PackedImage(f"{number:04d}.{suffix}", content, number * len(CLASSES) // count))
    return images


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def write_folder(folder: Path, images: Sequence[PackedImage]) -> Path:
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for image in images:
        (folder / CLASSES[image.label] / image.name).write_bytes(image.content)
    return folder


def write_tar(path: Path, images: Sequence[PackedImage], metadata: Sequence[object] = (), **more: bytes) -> Path:
    """A shard; labels are class indices, whose names stand beside it; `more` are further members by field."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for number, image in enumerate(images):
            key = image.name.partition(".")[0]
            _add(shard, image.name, image.content)
            _add(shard, f"{key}.cls", str(image.label).encode())
            if number < len(metadata):
                _add(shard, f"{key}.json", json.dumps(metadata[number]).encode())
            for field, content in more.items():
                _add(shard, f"{key}.{field}", content)
    (path.parent / "classnames.txt").write_text("\n".join(CLASSES))
    return path


def _add(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    shard.addfile(member, io.BytesIO(content))


def parquet_table(images: Sequence[PackedImage], **columns: Sequence[object]) -> pa.Table:
    """As a data set of the Hugging Face hub, with class names in the metadata of the schema."""
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": [*CLASSES]}}
    table = pa.table(
        {
            "image": [{"bytes": image.content, "path": image.name} for image in images],
            "label": [image.label for image in images],
            **columns,
        }
    )
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def write_parquet(path: Path, images: Sequence[PackedImage], rows: int = 2, **columns: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(parquet_table(images, **columns), path, row_group_size=rows)
    return path


def write_saved(folder: Path, images: Sequence[PackedImage], **columns: Sequence[object]) -> Path:
    """A folder of `save_to_disk`."""
    import datasets

    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=[*CLASSES])}
        | {name: datasets.Value("string") for name in columns}
    )
    datasets.Dataset(parquet_table(images, **columns).cast(features.arrow_schema)).save_to_disk(str(folder))
    return folder


def write_studies(folder: Path, images: list[PackedImage], sizes: str) -> None:
    """The images in every source, and a study of each."""
    write_folder(folder / "images", images)
    half = len(images) // 2
    write_tar(folder / "shards" / "0.tar", images[:half], [{"camera": "a"}] * half)
    write_tar(folder / "shards" / "1.tar", images[half:], [{"camera": "b"}] * (len(images) - half))
    write_parquet(folder / "x.parquet", images, rows=7, camera=["a"] * half + ["b"] * (len(images) - half))
    (folder / "network.py").write_text(NETWORK)
    for name, dataset in SOURCES.items():
        (folder / f"{name}.toml").write_text(STUDY.format(name=name, dataset=f"{dataset}\n{sizes}"))
