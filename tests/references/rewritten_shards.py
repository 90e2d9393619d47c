"""Cells of a record with other predictions: images whose logits are no finite numbers, and other answers."""

from collections.abc import Collection, Iterable
from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
from synthetic_results import Synthetic

from failmodes.warehouse.schema import PREDICTION_FACTS
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard

FINITE_OR_NOT = ("image_id", "label", "finite", "rmse", "ssim")  # columns that no logits go into


def cell_of(results: Synthetic, model: str, corruption: str = "none", severity: float = 0) -> ShardKey:
    """The key of a cell; of the clean one by default."""
    if not severity:
        return ShardKey(results.evaluations[model], CLEAN_CELL)
    return ShardKey(results.evaluations[model], Cell(corruption, Decimal(f"{severity:.3f}")))


def every_cell(results: Synthetic, model: str, severities: Iterable[float]) -> list[ShardKey]:
    """The keys of all cells of a model, the clean one first."""
    corruptions = [corruption for label, corruption in results.correct if label == model]
    return [cell_of(results, model), *(cell_of(results, model, c, s) for c in corruptions for s in severities)]


def make_non_finite(results: Synthetic, key: ShardKey, images: Collection[int] | None = None) -> None:
    """Let the logits of some images of a cell, or of all, be no finite numbers."""
    frame = _read(results.output, key)
    spoiled = np.ones(len(frame), bool) if images is None else np.isin(np.arange(len(frame)), list(images))
    nothing = [pl.when(pl.Series(spoiled)).then(None).otherwise(pl.col(name)).alias(name)
               for name in frame.columns if name not in (*FINITE_OR_NOT, "logits")]  # fmt: skip
    logits = [[float("nan")] * len(row) if bad else row for row, bad in zip(frame["logits"], spoiled, strict=True)]
    changed = frame.with_columns(
        *nothing, pl.Series("finite", ~spoiled), pl.Series("logits", logits, dtype=frame["logits"].dtype)
    )
    _write(results.output, key, changed)


def reply_with(results: Synthetic, key: ShardKey, predictions: Iterable[int]) -> None:
    """Let the images of a cell be taken for these classes; their logits stay what they were."""
    has_prediction = pl.Series("predicted", list(predictions), dtype=pl.Int16)
    _write(results.output, key, _read(results.output, key).with_columns(has_prediction))


def be_confident(results: Synthetic, key: ShardKey, confidences: Iterable[float]) -> None:
    """Let the images of a cell have these confidences; their logits stay what they were."""
    confidence = pl.Series("confidence", list(confidences), dtype=pl.Float32)
    _write(results.output, key, _read(results.output, key).with_columns(confidence))


def _read(folder: Path, key: ShardKey) -> pl.DataFrame:
    frame = pl.from_arrow(read_verified(shard_path(folder, PREDICTION_FACTS, key)).rows.drop_columns("severity"))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _write(folder: Path, key: ShardKey, frame: pl.DataFrame) -> None:
    rows = read_verified(shard_path(folder, PREDICTION_FACTS, key)).rows.drop_columns("severity")
    write_shard(folder, PREDICTION_FACTS, key, frame.to_arrow().cast(rows.schema))
