"""Corrupted sets in both published layouts, written and opened."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from failmodes.ingest.corrupted_datasets.command import SetOptions, parse_options
from failmodes.ingest.corrupted_datasets.corrupted_dataset import image_names
from failmodes.ingest.corrupted_datasets.published_source import PublishedSource
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import DatasetSpec
from failmodes.ingest.specification import CorruptionSpec
from failmodes.warehouse import schema
from failmodes.warehouse.shards.format import dimension_path, read_verified

DIGITS = DatasetSpec(kind="digits", images=40)


def set_options(kind: str = "digits", **options: object) -> SetOptions:
    """Options with the command line's defaults."""
    defaults: dict[str, object] = {
        "layout": None, "encoding": None, "corruptions": (), "severities": (), "recipe": None, "seed": 0,
        "noise": "shared", "across_switches": False,
    }  # fmt: skip
    return parse_options(kind, **{**defaults, **options})


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


LAYOUTS = {"cifar-c": {}, "imagenet-c": {"layout": "imagenet-c", "severities": ["1", "2.5"]}}


def write_tree(
    folder: Path, dataset: Dataset, names: tuple[str, ...] = ("brightness",), severities: tuple[int, ...] = (1, 2)
) -> Path:
    """Write images as published: JPEG of quality 85, named as the clean files."""
    for name in names:
        for severity in severities:
            made = corrupt(np.asarray(dataset.images[:]), Path(name).name, severity, seed=9)
            for image, file in zip(made, image_names(dataset), strict=True):
                path = folder / name / str(severity) / f"{file}.JPEG"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image).save(path, quality=85, optimize=True)
    return folder


def open_tree(folder: Path, dataset: Dataset, *names: str, cache: Path | None = None) -> PublishedSource:
    spec = CorruptionSpec(names=list(names or ("brightness",)), severities=[1, 2], published=folder)
    source = PublishedSource.from_spec(spec, dataset, cache)
    assert isinstance(source, PublishedSource)
    return source


def write_set(folder: Path, images: np.ndarray, labels: np.ndarray, names: tuple[str, ...] = ("fog",)) -> Path:
    folder.mkdir(exist_ok=True)
    np.save(folder / "labels.npy", np.tile(labels, 5).astype(np.uint8))
    for name in names:
        known = {"elastic": "contrast"}.get(name, name)
        np.save(folder / f"{name}.npy", np.concatenate([corrupt(images, known, s, seed=9) for s in range(1, 6)]))
    return folder


def open_set(folder: Path, dataset: Dataset, *names: str, cache: Path | None = None) -> PublishedSource:
    source = PublishedSource.from_spec(CorruptionSpec(names=list(names or ("fog",)), published=folder), dataset, cache)
    assert isinstance(source, PublishedSource)
    return source


def dimension_rows(output: Path, table: schema.Table, key: str) -> list[dict[str, Any]]:
    return read_verified(dimension_path(output, table, key)).rows.to_pylist()


def write_published(folder: Path, images: np.ndarray, labels: np.ndarray) -> Path:
    """A folder in the layout of CIFAR-10-C, made from `images`."""
    folder.mkdir()
    for name in ("contrast", "gaussian_noise"):
        np.save(folder / f"{name}.npy", np.concatenate([corrupt(images, name, level) for level in range(1, 6)]))
    np.save(folder / "labels.npy", np.tile(labels, 5).astype(np.uint8))
    return folder
