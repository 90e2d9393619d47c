"""An analyst's way through the installed script, with nothing but a warehouse: what it prints, and how it fails."""

import json
from pathlib import Path

import pytest
from run_commands import run_script


@pytest.mark.test_all
def test_an_analyst_asks_and_draws(handed: Path, tmp_path: Path) -> None:
    warehouse = handed / "warehouse.duckdb"
    done = run_script("query", "select count(*) as n from prediction_facts", "--format", "csv", folder=handed)
    assert done.stdout.split() == ["n", str(2 * 26 * 400)]
    run_script("chart", "curves", warehouse, "--output", "curves.json", folder=tmp_path)
    assert json.loads((tmp_path / "curves.json").read_text())["datasets"]
    refused = run_script("query", "copy predictions to 'stolen.parquet'", folder=handed, expect=2)
    assert len(refused.stderr.strip().splitlines()) == 1
    assert not (handed / "stolen.parquet").exists()
