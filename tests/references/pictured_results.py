"""A record of real pixels without any model: clean images, distances of corrupted ones, invented answers."""

from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.ingest.datasets.dataset import Dataset, record_dataset
from failmodes.ingest.datasets.thumbnails import record_thumbnails
from failmodes.ingest.distortion import rmse
from failmodes.ingest.sources import Source, record_corruptions, record_source
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse import schema
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, write_dimension, write_shard

CLASSES = ("cat", "dog")
LEVELS = (Decimal("1"), Decimal("2.5"))


class Pictured(NamedTuple):
    """The warehouse, its data set, and the corrupted images (N, H, W, 3) by cell."""

    warehouse: Path
    dataset: Dataset
    corrupted: dict[tuple[str, Decimal], np.ndarray]


def patterns(images: int = 6, *, height: int = 32, width: int = 32, gray: bool = False) -> np.ndarray:
    """Images (N, H, W, 3) uint8 with edges, gradients and noise."""
    rng = np.random.default_rng(images)
    y, x = np.mgrid[:height, :width]
    waves = [
        np.sin(x / (2 + one) + one) * 60 + (y * 5 % 97) + rng.integers(0, 60, (height, width)) for one in range(images)
    ]
    grid = np.stack(waves).clip(0, 255).astype(np.uint8)
    channels = [grid, grid if gray else 255 - grid, grid if gray else np.roll(grid, 5, axis=1)]
    return np.stack(channels, axis=-1)


def pictured(
    folder: Path,
    source: Source,
    corruptions: tuple[str, ...],
    *,
    levels: tuple[Decimal, ...] = LEVELS,
    class_names: tuple[str, ...] = CLASSES,
    models: tuple[str, ...] = ("Alpha", "Beta"),
) -> Pictured:
    """Write and load it; models are right about clean images, and under corruption say the next class.

    Images are six patterns, of classes 0 and 1 in turn.
    """
    clean, output = patterns(gray=getattr(source, "gray", False)), folder / "out"
    ids = np.arange(len(clean))
    labels = ids % 2
    dataset = Dataset("arrays", "Patterns", "test", clean, labels, class_names)
    record_dataset(output, dataset)
    record_corruptions(output)
    record_source(output, source)
    record_thumbnails(output, dataset, ids, "all")
    made = {(c, s): source.corrupted(clean, c, s, ids) for c in corruptions for s in levels}
    classes = len(dataset.class_names)
    for label in models:
        evaluation_id = _evaluation(output, label, dataset, source, len(ids))
        clean_cell = ShardKey(evaluation_id, CLEAN_CELL)
        _cell(output, clean_cell, ids, labels, np.eye(classes)[labels], np.zeros(len(ids), np.float32))
        for (name, severity), pixels in made.items():
            key = ShardKey(evaluation_id, Cell(name, severity.quantize(Decimal("0.001"))))
            _cell(output, key, ids, labels, np.eye(classes)[(labels + 1) % classes], rmse(clean, pixels))
    load([output], output / "warehouse.duckdb", derivation=DERIVATION)
    return Pictured(output / "warehouse.duckdb", dataset, made)


def _evaluation(output: Path, label: str, dataset: Dataset, source: Source, count: int) -> str:
    model_id = identity_of({"model": label})
    evaluation_id = identity_of([label, dataset.dataset_id, source.source_id])
    model = {
        "model_id": model_id,
        "model_label": label,
        "architecture": "x",
        "family": "x",
        "class_count": len(dataset.class_names),
    }
    write_dimension(output, schema.MODELS, model_id, [model])
    row = {
        "evaluation_id": evaluation_id, "study": "pictured", "model_id": model_id, "dataset_id": dataset.dataset_id,
        "source_id": source.source_id, "image_count": count, "subset": f"all {count} images", "subset_id": "all",
        "precision": "float32", "attention_method": "grad-cam", "paired": True,
    }  # fmt: skip
    write_dimension(output, schema.EVALUATIONS, evaluation_id, [row])
    return evaluation_id


def _cell(
    output: Path, key: ShardKey, ids: np.ndarray, labels: np.ndarray, logits: np.ndarray, distance: np.ndarray
) -> None:
    count, predicted = len(labels), logits.argmax(1)
    columns: dict[str, Any] = {
        "image_id": ids, "label": labels, "predicted": predicted, "finite": np.ones(count, bool),
        "confidence": np.linspace(0.5, 1, count), "rmse": distance, "ssim": 1 - distance,
        "logits": logits.tolist(), "label_rank": 1 + (labels != predicted),
    }  # fmt: skip
    without = (*schema.PARTITIONS, schema.PREDICTED_OUTPUT, schema.SCALED_LOG_SUM_EXP)
    fields = schema.PREDICTION_FACTS.arrow(without=without)
    arrays = [pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(count, f.type) for f in fields]
    write_shard(output, schema.PREDICTION_FACTS, key, pa.table(arrays, schema=fields))
    attention = schema.ATTENTION.arrow(without=schema.PARTITIONS)
    spots = {
        "image_id": ids, "target": ["clean"] * count, "target_class": labels, "empty": labels == 1,
        "mass": np.ones(count), "centroid_x": np.full(count, 0.25), "centroid_y": np.full(count, 0.5),
    }  # fmt: skip
    arrays = [pa.array(spots[f.name], f.type) if f.name in spots else pa.nulls(count, f.type) for f in attention]
    write_shard(output, schema.ATTENTION, key, pa.table(arrays, schema=attention))
