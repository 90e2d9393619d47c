"""CIFAR in its three layouts: the same images whatever the layout, and clear errors for damaged ones."""

import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from cifar_files import write_parquet

from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.runtime.errors import StorageError


def test_a_changed_source_is_decoded_again(tmp_path: Path) -> None:
    folder = write_parquet(tmp_path / "hf", "cifar10")
    spec = DatasetSpec(kind="cifar10", path=folder)
    before = open_dataset(spec, tmp_path / "cache").dataset_id
    file = sorted(folder.glob("*.parquet"))[0]
    table = pq.read_table(file)
    pq.write_table(table.take(list(range(len(table)))[::-1]), file)
    os.utime(file, ns=(1, 1))
    assert open_dataset(spec, tmp_path / "cache").dataset_id != before


def test_a_disk_without_space_is_reported_before_anything_is_decoded(tmp_path: Path, monkeypatch) -> None:
    folder = write_parquet(tmp_path / "hf", "cifar10")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 8, 1))
    with pytest.raises(StorageError, match=r"decoded, need 0\.0 GB, and 0\.0 GB are free: free disk space, or set"):
        open_dataset(DatasetSpec(kind="cifar10", path=folder), tmp_path / "cache")
