"""The result of a query, printed or written to a file."""

import json
from pathlib import Path

import polars as pl
import pytest
import typer
from warehouse_files import run_query_command


def test_json_and_csv_carry_what_they_can_say(app: typer.Typer, query_here: Path) -> None:
    sql = """
        select 1.5::decimal(4, 3) as severity, 2::hugeint as many, 'nan'::float as missing, [1, 2] as list,
        'x'::blob as bytes, null as nothing, timestamptz '2026-01-02 03:04:05+00' as moment, true as flag,
        {'a': 1} as pair
    """
    row = json.loads(run_query_command(app, sql, "--format", "json")[0])[0]
    assert row == {
        "severity": 1.5, "many": 2, "missing": None, "list": [1, 2], "bytes": "eA==", "nothing": None,
        "moment": "2026-01-02T03:04:05+00:00", "flag": True, "pair": {"a": 1},
    }  # fmt: skip
    header, line = run_query_command(app, sql, "--format", "csv")[0].splitlines()
    assert header.split(",")[0] == "severity"
    assert '"[1, 2]",eA==' in line


def test_json_escapes_what_a_terminal_acts_on(app: typer.Typer, query_here: Path) -> None:
    text = run_query_command(app, "select 'é' || chr(8238) || chr(27) || '😀' as label", "--format", "json")[0]
    assert text == '[{"label": "é\\u202e\\u001b😀"}]\n'
    assert json.loads(text) == [{"label": "é\u202e\x1b😀"}]


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_output_file_is_written_whole(app: typer.Typer, query_folder: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    output, note = run_query_command(
        app, "select image_id, label from images order by all", str(query_folder), "--output", str(path)
    )
    assert (output, "400 rows" in note) == ("", True)
    rows = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[suffix](path)
    assert rows["image_id"].to_list() == list(range(400))
    assert list(tmp_path.iterdir()) == [path]
