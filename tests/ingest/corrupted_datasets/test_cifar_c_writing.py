"""A written set in the layout of CIFAR-10-C, and its manifest."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.dataset import Dataset, balanced_subset
from failmodes.ingest.sources import GeneratedSource

SCRIPT = Path(sys.executable).parent / "failmodes"


@pytest.mark.slow
def test_the_script_writes_arrays_as_published(tmp_path: Path, digits: Dataset) -> None:
    done = subprocess.run(
        [SCRIPT, "corrupt", "digits", "--to", "D-C", "--corruption", "fog", "--corruption", "gaussian_noise", "--seed",
         "3", "--images", "40"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout == "D-C\n"
    assert "seed 3" in done.stderr
    assert "10 corruptions × severities written, 0 already present" in done.stderr
    folder = tmp_path / "D-C"
    assert sorted(path.name for path in folder.iterdir()) == [
        "fog.npy", "gaussian_noise.npy", "labels.npy", "manifest.json"
    ]  # fmt: skip
    ids, description = balanced_subset(digits.labels, 40)
    for name in ("fog", "gaussian_noise"):
        rows = [corrupt(digits.images[ids], name, s, seed=3, image_ids=ids) for s in range(1, 6)]
        expected = folder / f"expected-{name}.npy"
        np.save(expected, np.concatenate(rows))
        assert (folder / f"{name}.npy").read_bytes() == expected.read_bytes(), "as numpy.save writes it"
    np.testing.assert_array_equal(np.load(folder / "labels.npy"), np.tile(digits.labels[ids], 5))
    manifest = json.loads((folder / "manifest.json").read_text())
    source = GeneratedSource(seed=3)
    assert manifest["source_id"] == source.source_id
    assert manifest["versions"] == json.loads(source.row()["versions"])
    assert (manifest["recipe"], manifest["seed"], manifest["noise"]) == ("cifar-c", 3, "shared")
    assert manifest["dataset"]["dataset_id"] == digits.dataset_id
    assert manifest["dataset"]["label"] == digits.label
    assert (manifest["images"], manifest["subset"]) == (40, description)
    assert {name: list(levels) for name, levels in manifest["corruptions"].items()} == {
        "fog": list("12345"), "gaussian_noise": list("12345")
    }  # fmt: skip
