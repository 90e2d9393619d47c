"""Corruptions of users' own: registered in code or by an import path, checked, and part of the identity."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from failmodes.ingest.corrupted_sets.opening import open_pixel_source
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalogue import registered
from failmodes.ingest.corruptions.custom import CustomCorruption, register
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.ingest.specification import CorruptionSpec, DatasetSpec
from failmodes.warehouse.errors import DataError


def test_its_code_and_levels_are_part_of_the_source(corruption_module: str, tmp_path: Path) -> None:
    digits = open_dataset(DatasetSpec(kind="digits"), tmp_path)
    plain, own = (
        open_pixel_source(CorruptionSpec(names=n), 0, digits) for n in (["fog"], ["fog", f"{corruption_module}:DIM"])
    )
    assert plain.source_id == GeneratedSource().source_id != own.source_id
    assert "corruption dim" in own.row()["versions"]
    held = registered()["dim"]
    register(CustomCorruption("dim", held.apply, levels=((2,), (3,), (4,), (5,), (6,))))
    assert open_pixel_source(CorruptionSpec(names=["fog", "dim"]), 0, digits).source_id != own.source_id


def test_a_generated_source_corrupts_by_its_own_settings(sixty_digits: Dataset) -> None:
    source = open_pixel_source(CorruptionSpec(draws="independent"), 7, sixty_digits)
    ids = np.array([5, 3])
    found = source.corrupted(sixty_digits.images[ids], "fog", Decimal("2.000"), ids)
    expected = corrupt(sixty_digits.images[ids], "fog", 2, seed=7, image_ids=ids, draws="independent")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(source.labels(sixty_digits), sixty_digits.labels)
    assert source.pairing == (True, None, None)
    assert source.row()["source_label"] == "cifar-c recipe, seed 7, independent draws"
    with pytest.raises(DataError, match="needs the clean images"):
        source.corrupted(None, "fog", 1, ids)


def test_all_that_shapes_pixels_is_in_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    def identities() -> set[str]:
        return {
            GeneratedSource(seed=seed, draws=draws).source_id for seed in (0, 1) for draws in ("paired", "independent")
        }

    before = identities()
    assert len(before) == 4
    assert identities() == before
    monkeypatch.setattr("PIL.__version__", "0.1")
    assert not identities() & before
