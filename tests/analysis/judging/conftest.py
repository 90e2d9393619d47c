"""Warehouses that a gate can judge: a checkpoint and its own noisier copy."""

from pathlib import Path

import pytest
from synthetic_results import write_synthetic

from failmodes.analysis.judging.stored import DERIVATION
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load

FALLS = {"Alpha": 1.0, "Noisier": 1.3}


@pytest.fixture(scope="session")
def gate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `both.duckdb` of two models, and `alone.duckdb` of one, exported from it."""
    folder, options = tmp_path_factory.mktemp("gate"), {"corruptions": ("fog", "contrast"), "severities": (1, 3, 5)}
    made = write_synthetic(folder / "both", models=tuple(FALLS), falls=FALLS, shared_difficulty=0.95, **options)
    load([made.output], folder / "both.duckdb", derivation=DERIVATION)
    export_evaluations(folder / "both.duckdb", [made.evaluations["Alpha"]], folder / "alone.duckdb")
    return folder
