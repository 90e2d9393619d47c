"""`failmodes corrupt`: one writer at a time."""

import fcntl
from pathlib import Path

import pytest
from corrupted_datasets import DIGITS, set_options

from failmodes.ingest.corrupted_datasets.command import locked_work_folder, write_corrupted_dataset
from failmodes.warehouse.errors import StorageError


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with locked_work_folder(tmp_path / "set") as work:
        with pytest.raises(StorageError, match="is being written by another process: wait for it"):
            write_corrupted_dataset(DIGITS, set_options(corruptions=["fog"]), tmp_path / "set")
        assert (work / "lock").exists()
        with (work / "lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (tmp_path / "set").exists(), "nothing was begun, nothing is left"
