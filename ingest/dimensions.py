"""Ingest's own tables of the record: data sets, classes, images, sources, corruptions."""

import numpy as np
import pyarrow as pa

from failmodes.ingest.corruptions.catalogue import CORRUPTIONS, registered
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.sources import Source
from failmodes.warehouse import schema
from failmodes.warehouse.shards.format import write_dimension
from failmodes.warehouse.storage.files import StorePath

CORRUPTION_COLUMNS = (
    "corruption", "corruption_label", "corruption_group", "corruption_order", "headline", "dose_ordered",
    "interpolable",
)  # fmt: skip


def record_dataset(output: StorePath, dataset: Dataset) -> None:
    """Write the data set's rows of `datasets`, `classes` and `images` to the output folder's record."""
    dataset_id = dataset.dataset_id
    count, height, width = dataset.images.shape[:3]
    row = {
        "dataset_id": dataset_id,
        "dataset_name": dataset.name,
        "dataset_label": dataset.label,
        "split": dataset.split,
        "image_count": count,
        "class_count": len(dataset.class_names),
        "height_px": height,
        "width_px": width,
        "note": dataset.note,
    }
    classes = [
        {"dataset_id": dataset_id, "class_index": index, "class_name": name}
        for index, name in enumerate(dataset.class_names)
    ]
    write_dimension(output, schema.CLASSES, dataset_id, classes)
    write_dimension(output, schema.IMAGES, dataset_id, _images(dataset))
    write_dimension(output, schema.DATASETS, dataset_id, [row])


def record_source(output: StorePath, source: Source) -> None:
    """Write the source's row of `sources`."""
    write_dimension(output, schema.SOURCES, source.source_id, [source.row()])


def record_corruptions(output: StorePath) -> None:
    """Write `corruptions`: the clean row, all published ones and those registered in this process, a file each."""
    known = (*CORRUPTIONS.values(), *registered().values())
    rows = [(schema.CLEAN, "Clean", "clean", 0, False, True, True)]
    rows += [(c.name, c.label, c.group, c.order, c.headline, c.dose_ordered, c.interpolable) for c in known]
    for row in rows:
        write_dimension(output, schema.CORRUPTIONS, row[0], [dict(zip(CORRUPTION_COLUMNS, row, strict=True))])


def _images(dataset: Dataset) -> pa.Table:
    count = len(dataset.labels)
    areas = None if dataset.masks is None else dataset.masks.mean(axis=(1, 2)).astype(np.float32)
    columns = {
        "dataset_id": pa.array([dataset.dataset_id] * count, pa.string()),
        "image_id": pa.array(np.arange(count, dtype=np.int32)),
        "label": pa.array(dataset.labels.astype(np.int16)),
        "file": pa.nulls(count, pa.string()) if dataset.files is None else pa.array(dataset.files, pa.string()),
        "mask_area": pa.nulls(count, pa.float32()) if areas is None else pa.array(areas),
    }
    return pa.table(columns, schema=schema.IMAGES.arrow())
