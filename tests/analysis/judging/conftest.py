"""Warehouses of models that a gate can judge: a checkpoint, its own noisier copy, a model that has other cells."""

from pathlib import Path

import pytest
from synthetic_results import write_synthetic

from failmodes.analysis.judging.stored import DERIVATION
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load

FALLS = {"Alpha": 1.0, "Noisier": 1.3}


@pytest.fixture(scope="session")
def gate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `both.duckdb` of two models, and `alone` (exported from it), `fewer` and `other` of one."""
    folder = tmp_path_factory.mktemp("gate")
    corruptions, shared = ("fog", "contrast"), {"images": 400, "severities": (1, 3, 5), "shared_difficulty": 0.95}
    records = {
        "both": {"models": tuple(FALLS), "falls": FALLS, "corruptions": corruptions, **shared},
        "fewer": {"models": ("Fewer",), "corruptions": corruptions[:1], **shared},
        "other": {"models": ("Other",), "corruptions": corruptions, **shared, "severities": (1,), "images": 300},
    }
    for name, options in records.items():
        made = write_synthetic(folder / name, **options)  # type: ignore[arg-type]
        load([made.output], folder / f"{name}.duckdb", derivation=DERIVATION)
        if name == "both":
            export_evaluations(folder / "both.duckdb", [made.evaluations["Alpha"]], folder / "alone.duckdb")
    return folder
