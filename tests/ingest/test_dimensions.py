"""The tables of the record that data sets and sources fill."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from corrupted_sets import dimension_rows

from failmodes.ingest.corruptions.catalogue import CORRUPTIONS
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.dimensions import record_corruptions, record_dataset, record_source
from failmodes.ingest.sources import GeneratedSource
from failmodes.warehouse import schema


def test_dimensions_are_recorded(tmp_path: Path, sixty_digits: Dataset) -> None:
    masks = np.zeros((60, 32, 32), bool)
    masks[:, :8] = True
    files = tuple(f"{i}.png" for i in range(60))
    dataset = replace(sixty_digits, files=files, note="a note", masks=masks)
    source = GeneratedSource(seed=3)
    record_dataset(tmp_path, dataset)
    record_source(tmp_path, source)
    record_corruptions(tmp_path)
    key = dataset.dataset_id
    (row,) = dimension_rows(tmp_path, schema.DATASETS, key)
    assert (row["image_count"], row["class_count"], row["height_px"], row["note"]) == (60, 10, 32, "a note")
    assert dimension_rows(tmp_path, schema.CLASSES, key)[9]["class_name"] == "nine"
    image = dimension_rows(tmp_path, schema.IMAGES, key)[7]
    assert image == {
        "dataset_id": key,
        "image_id": 7,
        "label": sixty_digits.labels[7],
        "file": "7.png",
        "mask_area": 0.25,
    }
    record_dataset(tmp_path, sixty_digits)  # without files and masks: the same data set, so the same rows replace them
    assert dimension_rows(tmp_path, schema.IMAGES, key)[7]["mask_area"] is None
    (row,) = dimension_rows(tmp_path, schema.SOURCES, source.source_id)
    assert (row["seed"], row["recipe"], row["source_kind"]) == (3, "cifar-c", "generated")
    for name in CORRUPTIONS:
        assert dimension_rows(tmp_path, schema.CORRUPTIONS, name)[0]["corruption_order"] == CORRUPTIONS[name].order
    assert dimension_rows(tmp_path, schema.CORRUPTIONS, schema.CLEAN)[0]["corruption_group"] == "clean"
