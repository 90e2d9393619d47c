"""CIFAR in its three layouts: the same images whatever the layout, and clear errors for damaged ones."""

import os
from pathlib import Path

import pyarrow.parquet as pq
from cifar_files import write_parquet

from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec


def test_a_changed_source_is_decoded_anew(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "hf", "cifar10")
    spec = DatasetSpec(kind="cifar10", path=folder)
    before = open_dataset(spec, tmp_path / "cache").dataset_id
    file = sorted(folder.glob("*.parquet"))[0]
    table = pq.read_table(file)
    pq.write_table(table.take(list(range(len(table)))[::-1]), file)
    os.utime(file, ns=(1, 1))
    assert open_dataset(spec, tmp_path / "cache").dataset_id != before
