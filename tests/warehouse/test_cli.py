"""The commands load and query: data on stdout, remarks on stderr, and no torch."""

from pathlib import Path

import pytest
import typer
from synthetic_results import Synthetic
from typer.testing import CliRunner
from warehouse_files import run_query_command

from failmodes.runtime.errors import StudyError
from failmodes.warehouse.database.saved_queries import saved_queries, saved_query


def test_command_prints_data_to_stdout_and_notes_to_stderr(app: typer.Typer, query_here: Path) -> None:
    sql = "select image_id, label from images order by image_id"
    table, note = run_query_command(app, sql)
    assert ("image_id" in table, table.count("\n")) == (True, 50 + 4)
    assert "first 50 of 400 rows" in note
    content, silence = run_query_command(app, sql, "--format", "csv")
    assert content.splitlines()[:2] == ["image_id,label", "0,0"]
    assert (len(content.splitlines()), silence) == (401, "")


def test_saved_queries_are_listed_with_their_question(app: typer.Typer) -> None:
    lines = run_query_command(app, "--list")[0].splitlines()
    assert len(lines) == len(saved_queries()) >= 6
    assert any(line.startswith("@worst_cells\tWhich cells have the largest accuracy drop?") for line in lines)
    with pytest.raises(StudyError, match="--list"):
        run_query_command(app)
    assert saved_query("worst_cells").sql.startswith("-- Which cells have the largest")


@pytest.mark.slow
def test_load_command_loads_several_folders_into_one(app: typer.Typer, results: Synthetic, tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(f'output = "{results.output}"')
    arguments = ["load", str(tmp_path / "study.toml"), str(results.output), "--into", str(tmp_path / "w.duckdb")]
    first, second = (CliRunner().invoke(app, arguments, catch_exceptions=False) for _ in range(2))
    assert "shards 22 new, 0 replaced, 0 already present; 1,320 rows" in first.stderr
    assert "22 already present; nothing to do" in second.stderr
    assert first.stdout == second.stdout == ""
    assert (tmp_path / "w.duckdb").exists()
