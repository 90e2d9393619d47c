"""Published sets as sources of pixels."""

from pathlib import Path

from corrupted_datasets import dimension_rows, open_set, write_set

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.sources import record_source
from failmodes.warehouse import schema


def test_a_published_source_is_recorded_without_recipe(tmp_path: Path, sixty_digits: Dataset) -> None:
    source = open_set(write_set(tmp_path / "CIFAR-10-C", sixty_digits.images[:], sixty_digits.labels), sixty_digits)
    record_source(tmp_path, source)
    (row,) = dimension_rows(tmp_path, schema.SOURCES, source.source_id)
    assert (row["source_label"], row["recipe"], row["seed"]) == ("CIFAR-10-C (published)", None, None)
