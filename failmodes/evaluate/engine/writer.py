"""From tensors to rows of the fact tables, written in the background.

Rows of a cell are collected batch by batch, spill to disk beyond a limit, and become one Arrow table; a thread hashes,
compresses and writes finished cells while the model computes the next.
"""

import mmap
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from failmodes.evaluate.engine.image_statistics import PredictionStatistics
from failmodes.warehouse.schema import PARTITIONS, PREDICTED_OUTPUT, TARGETS, Table
from failmodes.warehouse.storage.files import make_folder, storage_errors

IN_MEMORY_BYTES = 4 << 20  # beyond it rows wait on disk, so that memory does not grow with the images of a cell
MAX_PENDING = 2  # cells whose rows wait in memory at most
_ALWAYS = ("label", "finite")  # known whatever the logits are


class RowBuffer:
    """Columns of a fact table, batch by batch; `table()` joins them.

    Many rows wait in an anonymous file in the folder `scratch`, which goes with the process however that ends.
    """

    def __init__(self, table: Table, scratch: Path, without: Sequence[str] = ()) -> None:
        """No rows yet; the columns in `without`, which must be nullable, are left out of the shard."""
        self.schema, self.scratch = table.arrow(without=(*PARTITIONS, *without)), scratch
        self.batches: list[pa.RecordBatch] = []
        self.waiting_bytes = 0
        self.spool: pa.ipc.RecordBatchStreamWriter | None = None

    def add(self, columns: dict[str, Any]) -> None:
        """Add some rows: a NumPy array a column (masked entries are null), or None for a column of nulls."""
        count = len(columns["image_id"])
        arrays = [_to_arrow(columns.get(field.name), field.type, count) for field in self.schema]
        self.batches.append(pa.record_batch(arrays, schema=self.schema))
        self.waiting_bytes += self.batches[-1].nbytes
        if self.waiting_bytes > IN_MEMORY_BYTES:
            self._to_disk()

    def table(self) -> pa.Table:
        """All rows; none can be added afterwards."""
        if self.spool is None:
            return pa.Table.from_batches(self.batches, schema=self.schema)
        self._to_disk()
        with storage_errors(self.scratch):
            self.spool.close()
            self.file.flush()
            mapped = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        return pa.ipc.open_stream(pa.py_buffer(mapped)).read_all()

    def _to_disk(self) -> None:
        with storage_errors(self.scratch):
            if self.spool is None:
                self.file = tempfile.TemporaryFile(dir=make_folder(self.scratch))  # noqa: SIM115  # closed when the rows go
                self.spool = pa.ipc.new_stream(self.file, self.schema)
            for batch in self.batches:
                self.spool.write_batch(batch)
        self.batches, self.waiting_bytes = [], 0


class BackgroundWriter:
    """Runs jobs in a thread, one by one in their order; an error is raised at the next `submit`, or at the end.

    A context manager: at its end everything submitted is written; after an exception what has not begun is dropped.
    """

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(1)
        self.waiting: deque[Future[None]] = deque()

    def submit(self, job: Callable[[], None]) -> None:
        """Queue a job; waits while MAX_PENDING others are not done."""
        self.waiting.append(self.pool.submit(job))
        while len(self.waiting) > MAX_PENDING or self.waiting and self.waiting[0].done():
            self.waiting.popleft().result()

    def __enter__(self) -> "BackgroundWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self.pool.shutdown(wait=True, cancel_futures=kind is not None)
        if kind is None:
            for future in self.waiting:
                future.result()


def prediction_columns(
    image_ids: np.ndarray,
    statistics: PredictionStatistics,
    rmse: np.ndarray | None,
    ssim: np.ndarray | None,
    outputs: np.ndarray | None = None,
    class_count: int = 0,
) -> dict[str, Any]:
    """Columns of `predictions` for some images: statistics of logits that are not finite are null.

    Args:
        image_ids: (N,).
        statistics: of their logits.
        rmse: (N,), or None where images do not pair.
        ssim: the same.
        outputs: which output of the model each logit is, where others than classes take part: their numbers as
            classes, which begin at `class_count`, become null.
        class_count: how many classes the data set has.
    """
    host = _to_host({name: value for name, value in statistics._asdict().items() if value is not None})
    broken = ~host["finite"]
    columns: dict[str, Any] = {"image_id": image_ids, "rmse": rmse, "ssim": ssim}
    for name, value in host.items():
        columns[name] = value if name in _ALWAYS or value.ndim > 1 else np.ma.masked_array(value, broken)
    if outputs is not None:
        columns[PREDICTED_OUTPUT] = np.ma.masked_array(outputs[host["predicted"]], broken)
        for name in ("predicted", "runner_up"):
            columns[name] = np.ma.masked_array(host[name], broken | (host[name] >= class_count))
        if "logit_classes" in host:
            columns["logit_classes"] = np.ma.masked_array(host["logit_classes"], host["logit_classes"] >= class_count)
    return columns


def attention_columns(
    image_ids: np.ndarray, values: dict[str, torch.Tensor], known: np.ndarray, class_count: int
) -> dict[str, Any]:
    """Columns of `attention` for some images, image by image and target by target.

    Args:
        image_ids: (N,).
        values: by column, each (N, T): target_class, the statistics of the maps, drifts by their prefix.
        known: (N, T) boolean: whether there is such a target. There is none where the logits that it would be predicted
            by are not finite, and no clean one for an unpaired image: its row is null.
        class_count: how many classes the data set has; a target beyond is another output, and null.
    """
    host = {name: value.reshape(-1) for name, value in _to_host(values).items()}
    count = len(TARGETS)
    absent = ~known.reshape(-1)
    columns: dict[str, Any] = {
        "image_id": np.repeat(image_ids, count),
        "target": np.tile(np.array(TARGETS), len(image_ids)),
        "target_class": np.ma.masked_array(target := host.pop("target_class"), absent | (target >= class_count)),
        "empty": host.pop("empty") & ~absent,
    }
    for name, value in host.items():
        columns[name] = np.ma.masked_array(value, absent | ~np.isfinite(value))
    return columns


def _to_host(values: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Bring tensors to the host, those of one type and shape in one copy: each copy has the device wait."""
    alike: dict[Any, list[str]] = {}
    for name, value in values.items():
        alike.setdefault((value.dtype, value.shape), []).append(name)
    found: dict[str, np.ndarray] = {}
    for names in alike.values():
        if values[names[0]].device.type == "cpu":
            found |= {name: values[name].numpy() for name in names}
        else:
            found |= dict(zip(names, torch.stack([values[name] for name in names]).cpu().numpy(), strict=True))
    return {name: found[name] for name in values}


def _to_arrow(column: Any, kind: pa.DataType, count: int) -> pa.Array:
    if column is None:
        return pa.nulls(count, kind)
    if pa.types.is_list(kind):
        offsets = np.arange(count + 1, dtype=np.int32) * column.shape[1]
        values = _to_arrow(column.reshape(-1), kind.value_type, column.size)
        return pa.ListArray.from_arrays(offsets, values)
    if isinstance(column, np.ma.MaskedArray):
        return pa.array(column.data, mask=np.ma.getmaskarray(column)).cast(kind, safe=pa.types.is_integer(kind))
    return pa.array(column).cast(kind)
