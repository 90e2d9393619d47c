"""Levels that a study states."""

from pathlib import Path

from tiny_study import run_and_read

from failmodes.warehouse.schema import LEVELS
from failmodes.warehouse.shards.format import list_results_files
from failmodes.warehouse.shards.inventory import read_rows


def test_a_run_stores_the_values_of_the_evaluated_levels(trained_model: tuple[Path, Path]) -> None:
    path, _ = trained_model
    axes = '\n[corruptions.axes]\ncontrast = "factor,,1..0.4..0.3..0.2..0.1..0.05,log"\n'
    path.write_text(
        path.read_text().replace("\n[[models]]", f"{axes}[[models]]", 1) + "[evaluation]\nattention = false"
    )
    _, study = run_and_read(path)
    (file,) = list_results_files(study.results_folder, LEVELS)
    rows = read_rows(file, LEVELS).to_pylist()
    assert [(row["corruption"], int(row["severity"]), row["level_value"]) for row in rows] == [
        ("contrast", 0, 1.0), ("contrast", 1, 0.4), ("contrast", 5, 0.05)
    ]  # fmt: skip
    assert {(row["level_name"], row["level_unit"], row["level_scale"]) for row in rows} == {("factor", "", "log")}
