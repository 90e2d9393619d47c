"""Warehouses that a gate can judge: a checkpoint and its own noisier copy."""

from pathlib import Path

import pytest
from built_once import built_once
from synthetic_results import write_synthetic

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load

FALLS = {"Alpha": 1.0, "Noisier": 1.3}


@pytest.fixture(scope="session")
def gate_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `both.duckdb` of two models, and `alone.duckdb` of one, exported from it."""

    def build(folder: Path) -> None:
        options = {"corruptions": ("fog", "contrast"), "severities": (1, 3, 5), "shared_difficulty": 0.95}
        made = write_synthetic(folder / "both", models=tuple(FALLS), falls=FALLS, **options)
        load([made.output], folder / "both.duckdb", derivation=DERIVATION)
        export_evaluations(folder / "both.duckdb", [made.evaluations["Alpha"]], folder / "alone.duckdb")

    return built_once(tmp_path_factory, "gate", build)[0]
