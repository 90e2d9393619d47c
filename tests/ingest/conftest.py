"""Datasets and corruptions that several tests of this room share."""

from pathlib import Path

import numpy as np
import pytest

from failmodes.ingest.corruptions import catalog
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset

# A user's own corruptions, as the text of a module
CUSTOM_CORRUPTIONS = """
import numpy as np
from failmodes.ingest.corruptions.custom import CustomCorruption

def darken(images, parameters):
    (severity,) = parameters
    return (images * (1 - severity / 10)).astype(np.uint8)

DIM = CustomCorruption("dim", darken, levels=((1,), (2,), (3,), (4,), (5,)), label="Dim light", group="weather",
                       dose_ordered=True)
number = 3
"""


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
