"""The commands shapes, chart and report."""

import json
import shutil
from pathlib import Path

import pytest
from run_commands import run
from synthetic_results import write_synthetic

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load


@pytest.mark.test_all
def test_command_draws_from_images_and_from_a_warehouse(sound_warehouse: Path, tmp_path: Path, striped: Path) -> None:
    shutil.copy(sound_warehouse, tmp_path)
    for arguments in (
        ["contact-sheet", "--image", str(striped), "--corruption", "fog", "--severity", "2.5", "-o", "sheet.json"],
        ["distortion", "--recipe", "cifar-c", "--image", str(striped), "--corruption", "fog", "-o", "made.json"],
        ["distortion", "--model", "Alpha", "--corruption", "fog", "-o", "stored.json"],
    ):
        assert run("chart", *arguments, folder=tmp_path).stdout == f"{arguments[-1]}\n"
    found = {path.stem: json.loads(path.read_text())["usermeta"]["source"] for path in tmp_path.glob("*.json")}
    assert ["striped.png" in found[name] for name in ("sheet", "made", "stored")] == [True, True, False]
    assert "Synthetic digits" in found["stored"]


@pytest.mark.test_all
def test_shapes_are_stored_and_listed(tmp_path: Path) -> None:
    write_synthetic(tmp_path, images=100, models=("Alpha",), corruptions=("fog",))
    load([tmp_path], tmp_path / "warehouse.duckdb", derivation=DERIVATION)
    listed = run("shapes", "warehouse.duckdb", "--resamples", "200", folder=tmp_path).stdout
    assert "fog" in listed.lower()
    assert "200 resamples" in listed
