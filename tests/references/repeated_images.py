"""A record in which images stand several times: the same rows again, under other image_ids, with equal pixel hashes."""

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
from synthetic_results import Synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    list_results_files,
    read_verified,
    write_dimension,
    write_shard,
)

COPIED = (schema.MODELS, schema.CLASSES, schema.CORRUPTIONS, schema.SOURCES)


def write_repeated(results: Synthetic, output: Path, copies: Sequence[int] | None = None) -> Path:
    """Write a record with some images of another one repeated, and hashes of their pixels.

    Args:
        results: the record, whose images are distinct.
        output: the folder to write to.
        copies: images that stand twice; all if not given.
    """
    for table in COPIED:
        for path in list_results_files(results.output, table):
            write_dimension(output, table, path.stem, read_verified(path).rows)
    for path in list_results_files(results.output, schema.IMAGES):
        images = read_verified(path).rows
        again = np.arange(images.num_rows) if copies is None else np.asarray(copies, np.int64)
        sources = np.concatenate([np.arange(images.num_rows), again])
        rows = _with(_with(images.take(sources), "image_id", np.arange(len(sources))), "pixel_hash", _hashes(sources))
        write_dimension(output, schema.IMAGES, path.stem, rows)
    for table in (schema.DATASETS, schema.EVALUATIONS):
        for path in list_results_files(results.output, table):
            rows = _with(read_verified(path).rows, "image_count", [len(sources)])
            write_dimension(output, table, path.stem, rows)
    for table in schema.FACTS:
        for path in list_results_files(results.output, table):
            stored = read_verified(path)
            cell = Cell(stored.identity["corruption"], Decimal(stored.identity["severity"]))
            key = ShardKey(stored.identity["evaluation_id"], cell)
            write_shard(output, table, key, _repeated(stored.rows, sources), stored.facts)
    return output


def _repeated(rows: pa.Table, sources: np.ndarray) -> pa.Table:
    """Rows of all images, each under its own image_id, target by target where there are several."""
    ids = np.asarray(rows["image_id"])
    targets = np.asarray(rows["target"]) if "target" in rows.column_names else np.zeros(len(ids))
    parts = []
    for target in dict.fromkeys(targets.tolist()):
        own = np.flatnonzero(targets == target)
        parts.append(_with(rows.take(own[np.searchsorted(ids[own], sources)]), "image_id", np.arange(len(sources))))
    return pa.concat_tables(parts)


def _hashes(sources: np.ndarray) -> list[str]:
    return [f"{source:016x}" for source in sources.tolist()]


def _with(rows: pa.Table, name: str, values: object) -> pa.Table:
    place = rows.schema.get_field_index(name)
    return rows.set_column(place, name, pa.array(values, rows.schema.field(name).type))
