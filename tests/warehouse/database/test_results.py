"""The answer to a query, printed or written to a file."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
import typer
from warehouse_files import run_query_command

from failmodes.warehouse.database.query import FirstRows
from failmodes.warehouse.database.terminal_table import _folded, format_table
from failmodes.warehouse.errors import StudyError


def test_a_table_writes_every_kind_of_value(app: typer.Typer, query_here: Path) -> None:
    values = [None, True, 0.1 + 0.2, 1.0, 12345.678901, 1e-9, float("nan"), Decimal("2.500"), 7, "[bold]a[/]", b"x",
              list(range(12)), datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), "x" * 1001, "\x1b[2J", "霧"]  # fmt: skip
    lines = format_table(FirstRows(["a", "a"], [(value, "|") for value in values], 1), 2000).splitlines()
    assert [line.split("│")[1].strip() for line in lines[3:-1]] == [
        "null", "true", "0.3", "1.0", "12345.678901", "1.0000e-09", "nan", "2.5", "7", "[bold]a[/]", "b'x'",
        "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]", "2026-01-02 03:04:05+00:00", "x" * 1000 + "…", "\\x1b[2J", "霧",
    ]  # fmt: skip
    assert (lines[0][0], lines[2][0], lines[-1][0]) == ("┌", "╞", "└")


@pytest.mark.parametrize("text", ["fog", "霧の中", "e\u0301"])
def test_a_table_looks_the_same_folded_or_not(text: str) -> None:
    first = FirstRows(["corruption", "accuracy"], [(text, 0.5), ("contrast", 0.25)], 2)
    texts = [[text, "0.5"], ["contrast", "0.25"]]
    assert format_table(first, 80) == _folded(first.columns, texts, 80)


def test_lines_within_a_cell_stay_lines() -> None:
    lines = format_table(FirstRows(["plan"], [("one\ntwo",)], 1), 80).splitlines()
    assert lines[3:5] == ["│ one  │", "│ two  │"]


def test_a_table_keeps_within_its_width() -> None:
    table = format_table(FirstRows(["first", "second"], [("a" * 100, "b" * 100)], 1), 40)
    assert max(map(len, table.splitlines())) <= 40
    assert table.count("a") == 100


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


def test_output_of_another_kind_is_refused(app: typer.Typer, query_here: Path) -> None:
    with pytest.raises(StudyError, match=r"\.csv, \.json, \.md, \.parquet or \.tex"):
        run_query_command(app, "select 1", "--output", "rows.xlsx")
