"""Ad hoc SQL: it answers, fails in one line and stops in time; its answer is printed or written to a file."""

import json
from pathlib import Path

import polars as pl
import pytest
import typer
from warehouse_files import run_query_command

from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.errors import QueryError


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from predictions",
        "from accuracy_by_severity",
        "with x as (select 1 as a) select * from x;",
        "describe predictions",
        "summarize corruptions",
        "show tables",
        "explain select 1",
        "values (1, 2)",
        "pragma table_info('predictions')",
        "pivot (select corruption, severity from shards) on severity using count(*)",
        "-- a comment\nselect 1 as a",
    ],
)
def test_query_answers(query_here: Path, sql: str) -> None:
    assert run_query(query_here / "warehouse.duckdb", sql).height > 0


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "syntax error"),
        ("select nothing from predictions", 'nothing" not found'),
        ("select * from nowhere", "nowhere does not exist"),
        ("select 1; select 2", "2 statements"),
        ("select 1; drop table predictions", "2 statements"),
        ("", "0 statements"),
        ("-- nothing", "0 statements"),
        ("select cast('a' as integer)", "Could not convert"),
        ("select interval 1 day", "cast it to varchar"),
        ("@nothing", "no saved query @nothing: there are .*@worst_cells"),
    ],
)
def test_bad_query_is_one_clear_line(query_here: Path, sql: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        run_query(query_here / "warehouse.duckdb", sql)
    assert "\n" not in str(caught.value)


def test_query_is_stopped_in_time(query_here: Path) -> None:
    with pytest.raises(QueryError, match=r"stopped after 0\.3 s"):
        run_query(
            query_here / "warehouse.duckdb",
            "select count(*) from range(1e9::bigint) a, range(1e9::bigint) b",
            timeout_s=0.3,
        )


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


@pytest.mark.parametrize("suffix", ["csv", "json", "parquet"])
def test_output_file_is_written_whole(app: typer.Typer, query_folder: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    output, remark = run_query_command(
        app, "select image_id, label from images order by all", str(query_folder), "--output", str(path)
    )
    assert (output, "400 rows" in remark) == ("", True)
    rows = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[suffix](path)
    assert rows["image_id"].to_list() == list(range(400))
    assert list(tmp_path.iterdir()) == [path]


def test_output_of_another_kind_is_refused(app: typer.Typer, query_here: Path) -> None:
    with pytest.raises(QueryError, match=r"\.csv, \.json or \.parquet"):
        run_query_command(app, "select 1", "--output", "rows.xlsx")
