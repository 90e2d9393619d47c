"""Datasets and corruptions that several tests of this room share."""

from pathlib import Path

import numpy as np
import pytest
from custom_corruptions import CUSTOM_CORRUPTIONS

from failmodes.ingest.corruptions import catalog
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec


@pytest.fixture(autouse=True)
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "_registered", {})


@pytest.fixture
def corruption_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    name = f"own_{request.node.name.split('[')[0][-40:]}"
    (tmp_path / f"{name}.py").write_text(CUSTOM_CORRUPTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.fixture(scope="session")
def sixty_digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """60 digits: different images of a class resemble each other, which makes pairing hard."""
    whole = open_dataset(DatasetSpec(kind="digits"), tmp_path_factory.mktemp("cache"))
    return Dataset("digits", "Digits", "test", np.asarray(whole.images[:60]), whole.labels[:60], whole.class_names)
