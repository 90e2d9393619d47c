"""From tensors to the rows of the fact tables: collect batches, hand over Arrow."""

from typing import Any

import numpy as np
import pyarrow as pa
import torch

from evaluate.attention.statistics import Drift, MapStatistics
from evaluate.engine.prediction import Outcome
from warehouse.schema import ATTENTION, PARTITIONS, PREDICTIONS, TARGETS, Table

_ALWAYS = ("label", "finite")  # known whatever the logits are


class Rows:
    """Columns of a fact table, batch by batch; `table()` joins them."""

    def __init__(self, table: Table) -> None:
        self.schema = table.arrow(without=PARTITIONS)
        self.blocks: list[pa.RecordBatch] = []

    def add(self, columns: dict[str, Any]) -> None:
        """Add one batch: a NumPy array a column (masked entries are null), or None for a column of nulls."""
        count = len(columns["image_id"])
        arrays = [_to_arrow(columns.get(field.name), field.type, count) for field in self.schema]
        self.blocks.append(pa.record_batch(arrays, schema=self.schema))

    def table(self) -> pa.Table:
        """All rows so far."""
        return pa.Table.from_batches(self.blocks, schema=self.schema).combine_chunks()


def prediction_rows() -> Rows:
    """An empty collection of prediction rows."""
    return Rows(PREDICTIONS)


def attention_rows() -> Rows:
    """An empty collection of attention rows."""
    return Rows(ATTENTION)


def prediction_columns(
    image_ids: np.ndarray, outcome: Outcome, rmse: np.ndarray | None, ssim: np.ndarray | None
) -> dict[str, Any]:
    """Columns of `predictions` for one batch: statistics of logits that are not finite are null."""
    host = {name: value.cpu().numpy() for name, value in outcome._asdict().items() if value is not None}
    broken = ~host["finite"]
    columns: dict[str, Any] = {"image_id": image_ids, "rmse": rmse, "ssim": ssim}
    for name, value in host.items():
        columns[name] = value if name in _ALWAYS or value.ndim > 1 else np.ma.masked_array(value, broken)
    return columns


def attention_columns(
    image_ids: np.ndarray,
    targets: torch.Tensor,
    known: torch.Tensor,
    statistics: MapStatistics,
    drifts: dict[str, Drift],
    mask_share: torch.Tensor | None,
) -> dict[str, Any]:
    """Columns of `attention` for one batch, image by image and target by target.

    Args:
        image_ids: (N,).
        targets: (N, T) class indices.
        known: (N, T) boolean: whether there is such a target (the clean prediction of an unpaired image is not).
        statistics: of the maps, (N, T).
        drifts: by column prefix ('', 'null_', 'null_class_').
        mask_share: (N, T), or None without masks.
    """
    count = targets.shape[1]
    values: dict[str, torch.Tensor] = statistics._asdict()
    for prefix, drift in drifts.items():
        values |= {f"{prefix}{name}": value for name, value in drift._asdict().items()}
    if mask_share is not None:
        values["mask_share"] = mask_share
    absent = ~known.reshape(-1).cpu().numpy()
    columns: dict[str, Any] = {
        "image_id": np.repeat(image_ids, count),
        "target": np.tile(np.array(TARGETS[:count]), len(image_ids)),
        "target_class": np.ma.masked_array(targets.reshape(-1).cpu().numpy(), absent),
        "empty": (values.pop("empty") & known).reshape(-1).cpu().numpy(),
    }
    for name, value in values.items():
        host = value.reshape(-1).cpu().numpy()
        columns[name] = np.ma.masked_array(host, absent | ~np.isfinite(host))
    return columns


def _to_arrow(column: Any, kind: pa.DataType, count: int) -> pa.Array:
    if column is None:
        return pa.nulls(count, kind)
    if pa.types.is_list(kind):
        offsets = np.arange(count + 1, dtype=np.int32) * column.shape[1]
        return pa.ListArray.from_arrays(offsets, pa.array(column.reshape(-1)).cast(kind.value_type))
    if isinstance(column, np.ma.MaskedArray):
        return pa.array(column.data, mask=np.ma.getmaskarray(column)).cast(kind, safe=False)
    return pa.array(column).cast(kind)
