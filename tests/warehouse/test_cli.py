"""The commands load and query: data on stdout, remarks on stderr, and no torch."""

from pathlib import Path

import pytest
from run_commands import run
from synthetic_results import Synthetic

from failmodes.warehouse.database.saved_queries import saved_queries, saved_query


def test_command_prints_data_to_stdout_and_notes_to_stderr(handed: Path) -> None:
    sql = "select image_id, label from images order by image_id"
    shown = run("query", sql, folder=handed)
    assert ("image_id" in shown.stdout, shown.stdout.count("\n")) == (True, 50 + 4)
    assert "first 50 of 400 rows" in shown.stderr
    whole = run("query", sql, "--format", "csv", folder=handed)
    lines = whole.stdout.splitlines()
    assert lines[:2] == ["image_id,label", "0,0"]
    assert (len(lines), whole.stderr) == (401, "")


def test_saved_queries_are_listed_with_their_question(tmp_path: Path) -> None:
    lines = run("query", "--list", folder=tmp_path).stdout.splitlines()
    assert len(lines) == len(saved_queries()) >= 6
    assert any(line.startswith("@worst_cells\tWhich cells have the largest accuracy drop?") for line in lines)
    assert "--list" in run("query", folder=tmp_path, expect=2).stderr
    assert saved_query("worst_cells").sql.startswith("-- Which cells have the largest")


@pytest.mark.test_all
def test_load_command_loads_several_folders_into_one(results: Synthetic, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(f'output = "{results.output}"')
    arguments = ("load", "study.toml", results.output, "--into", "w.duckdb")
    first, second = (run(*arguments, folder=tmp_path) for _ in range(2))
    assert "shards 22 new, 0 replaced, 0 already present; 1,320 rows" in first.stderr
    assert "22 already present; nothing to do" in second.stderr
    assert first.stdout == second.stdout == ""
    assert (tmp_path / "w.duckdb").exists()
