"""Images, and files that hold them, made without failmodes."""

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def scenes(count: int, height: int = 24, width: int = 24, seed: int = 0) -> np.ndarray:
    """Images (count, height, width, 3): clouds of color with some grain."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    clouds = [Image.fromarray(one).resize((width, height), Image.Resampling.BICUBIC) for one in coarse]
    grain = rng.normal(0, 12, (count, height, width, 3))
    return np.clip(np.stack([np.asarray(cloud) for cloud in clouds]) + grain, 0, 255).astype(np.uint8)


def encoded(image: np.ndarray | Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The bytes of an image file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def write(path: Path, content: bytes | str) -> Path:
    """Write a file, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_class_folders(root: Path, images: np.ndarray, folders: Sequence[str], suffix: str = "png") -> None:
    """One image per entry of `folders`: `<folder>/<number>.png`, numbered over all."""
    for number, (folder, pixels) in enumerate(zip(folders, images, strict=True)):
        write(root / folder / f"{number:03d}.{suffix}", encoded(pixels))


def write_arrays(folder: Path, images: np.ndarray, labels: Sequence[int], names: Sequence[str]) -> None:
    """`images.npy`, `labels.npy`, `classes.json`."""
    write(folder / "classes.json", json.dumps([*names]))
    np.save(folder / "images.npy", images)
    np.save(folder / "labels.npy", np.asarray(labels))


class Packed(NamedTuple):
    """An encoded image with its name and label."""

    name: str
    content: bytes
    label: int


def packed(images: np.ndarray, labels: Sequence[int]) -> list[Packed]:
    """Images as PNG and JPEG files in turn."""
    kinds = (("png", "PNG"), ("jpg", "JPEG"))
    return [
        Packed(f"{number:04d}.{kinds[number % 2][0]}", encoded(image, kinds[number % 2][1]), int(label))
        for number, (image, label) in enumerate(zip(images, labels, strict=True))
    ]


def write_parquet(path: Path, images: Sequence[Packed], names: Sequence[str], **columns: Sequence[Any]) -> None:
    """As a dataset of the Hugging Face hub: encoded images, and class names in the metadata of the file."""
    features = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": [*names]}}
    cells = [{"bytes": image.content, "path": image.name} for image in images]
    table = pa.table({"image": cells, "label": [image.label for image in images], **columns})
    path.parent.mkdir(parents=True, exist_ok=True)
    info = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(info), path, row_group_size=2)


def write_tar(path: Path, samples: Sequence[tuple[str, dict[str, bytes]]]) -> None:
    """A WebDataset shard: the members of each sample, by suffix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as shard:
        for key, members in samples:
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
