"""The memory of hashes of large files."""

from pathlib import Path

from corrupted_datasets import open_set, write_set

from failmodes.ingest.datasets.dataset import Dataset


def test_a_damaged_cache_of_hashes_is_recomputed(tmp_path: Path, sixty_digits: Dataset) -> None:
    folder = write_set(tmp_path / "set", sixty_digits.images[:], sixty_digits.labels)
    identity = open_set(folder, sixty_digits, cache=tmp_path / "cache").source_id
    (memory,) = (tmp_path / "cache").rglob("*.json")
    memory.write_text("{")
    assert open_set(folder, sixty_digits, cache=tmp_path / "cache").source_id == identity
