"""`failmodes query` and `failmodes schema`: widths, formats, files, parameters, and what they refuse."""

import json
from pathlib import Path

import polars as pl
import pytest
from run_commands import run, run_in_terminal

from failmodes.warehouse.database.views import relation_names

WORST = "@worst_cells"
IMAGES = "select image_id, label from images order by image_id"


@pytest.mark.test_all
@pytest.mark.parametrize("columns", [60, 200])
def test_a_result_fits_the_terminal(handed: Path, columns: int) -> None:
    shown = run_in_terminal("query", WORST, folder=handed, columns=columns).splitlines()
    assert max(map(len, shown[:-1])) <= columns
    assert (shown[0].startswith("┌"), shown[0].startswith("── row 1")) == (columns == 200, columns != 200)
    assert any("Gaussian noise" in line for line in shown), "no word is broken"
    assert any("image_count" in line for line in shown)


@pytest.mark.test_all
def test_columns_that_are_the_same_in_all_rows_are_one_line_where_the_table_is_too_wide(handed: Path) -> None:
    shown = run_in_terminal("query", WORST, folder=handed, columns=100)
    assert shown.startswith("┌")
    head, below = shown.splitlines()[1], shown[shown.rindex("┘") :]
    assert {"corruption_label", "severity", "accuracy", "low", "high", "accuracy_drop", "model_label"} <= {
        *head.split()
    }
    assert "image_count" not in head
    assert "in all rows: image_count 400" in below


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("sql", "options", "hint"),
    [
        (
            "from predictions where corruption = 'fgo'", (),
            "no row of predictions has corruption 'fgo': did you mean 'fog'?",
        ),
        ("from predictions where corruption in ('fog', 'contrat') and severity > 5", (), "did you mean 'contrast'?"),
        (
            "from accuracy_by_severity where model_label = $m", ("--param", "m=Alfa"),
            "no row of accuracy_by_severity has model_label 'Alfa': did you mean 'Alpha'?",
        ),
        ("from accuracy_by_severity where corruption = any($c)", ("--param", 'c=["fgo"]'), "did you mean 'fog'?"),
        (
            "select * from predictions p where p.label_name = 'x'' y'", ("--format", "csv"),
            "no row of predictions has label_name",
        ),
        ("from predictions where corruption = 'fog' and severity = 9", (), ""),
        ("from models where model_label = 'Alpha'", (), ""),
    ],
)  # fmt: skip
def test_a_result_without_rows_names_unknown_values(
    handed: Path, sql: str, options: tuple[str, ...], hint: str
) -> None:
    done = run("query", sql, *options, folder=handed)
    notes = [line for line in done.stderr.splitlines() if line.startswith("no row of ")]
    assert len(notes) == bool(hint)
    assert hint in "".join(notes)


@pytest.mark.test_all
def test_a_filter_of_images_without_rows_names_unknown_values(handed: Path) -> None:
    refused = run("images", "--filter", "corruption = 'fgo'", folder=handed, expect=2)
    assert "did you mean 'fog'?" in refused.stderr


@pytest.mark.test_all
def test_a_terminal_shows_the_first_rows_and_says_so(handed: Path) -> None:
    shown = run_in_terminal("query", IMAGES, folder=handed)
    assert shown.count("\n│") == 1 + 50
    assert "first 50 of 400 rows; --limit N for more, --format csv or --output FILE for all" in shown
    limited = run_in_terminal("query", IMAGES, "--limit", "70", folder=handed)
    assert limited.count("\n│") == 1 + 70
    assert "first 70 of 400 rows" in limited


@pytest.mark.parametrize("output_format", ["json", pytest.param("latex", marks=pytest.mark.test_all)])
def test_other_formats_have_every_row_and_nothing_else(handed: Path, output_format: str) -> None:
    done = run("query", IMAGES, "--format", output_format, folder=handed)
    lines = done.stdout.splitlines()
    count = len(json.loads(done.stdout)) if output_format == "json" else len(lines)
    assert (count, done.stderr) == ({"csv": 401, "json": 400, "markdown": 402, "latex": 400 + 7}[output_format], "")


def test_a_saved_query_takes_options(handed: Path) -> None:
    def rows(*options: str) -> list[dict[str, object]]:
        return json.loads(run("query", WORST, "--format", "json", *options, folder=handed).stdout)

    assert len(rows("--limit", "30")) == 30, "the query gives its first 20 unless told otherwise"
    mine = rows("--corruption", "fog", "--corruption", "contrast", "--model", "Alpha")
    assert {row["corruption_label"] for row in mine} == {"Fog", "Contrast"}
    assert {row["model_label"] for row in mine} == {"Alpha"}
    assert len(rows("--param", "rows=3")) == 3


def test_a_statement_of_ones_own_takes_values(handed: Path) -> None:
    sql = "select $floor as floor, $name as name, $few as few, $none as none"
    given = ["floor=0.5", "name=ResNet-18", "few=[1, 2]", "none=null"]
    options = [text for one in given for text in ("--param", one)]
    done = run("query", sql, *options, "--format", "json", folder=handed)
    assert json.loads(done.stdout) == [{"floor": 0.5, "name": "ResNet-18", "few": [1, 2], "none": None}]


def test_the_list_says_what_a_query_takes(handed: Path) -> None:
    lines = run("query", "--list", folder=handed).stdout.splitlines()
    (worst,) = (line.split("\t") for line in lines if line.startswith(f"{WORST}\t"))
    assert worst[2] == "--model --corruption --limit"
    listed = json.loads(run("query", "--list", "--format", "json", folder=handed).stdout)
    assert [row["query"] for row in listed] == [line.split("\t")[0] for line in lines]


def test_a_table_without_rows_says_so_and_csv_and_json_do_not(handed: Path) -> None:
    empty = "select model_label from models where false"
    for layout in ("--horizontal", "--vertical"):
        assert "no rows" in run("query", empty, layout, folder=handed).stdout
    assert run("query", empty, "--format", "csv", folder=handed).stdout.split() == ["model_label"]
    assert json.loads(run("query", empty, "--format", "json", folder=handed).stdout) == []


REFUSED = {
    "unknown query": ([WORST[:-1]], "unknown saved query @worst_cell: did you mean 'worst_cells'?"),
    "unknown corruption": ([WORST, "--corruption", "fgo"], "no corruption 'fgo' here: did you mean 'fog'?"),
    "value missing": (["select $floor"], "--param floor="),
    "parquet in a terminal": ([IMAGES, "--format", "parquet"], "name a file with --output FILE.parquet"),
    "two formats": (
        [IMAGES, "--format", "csv", "-o", "a.json"],
        "a.json: it ends in .json, expected a file name that ends in .csv",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_one_line(handed: Path, name: str) -> None:
    arguments, message = REFUSED[name]
    done = run("query", *arguments, folder=handed, expect=2)
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert done.stdout == ""
    assert not list(handed.glob("a.*"))


def test_json_and_csv_carry_what_they_can_say(handed: Path) -> None:
    sql = """
        select 1.5::decimal(4, 3) as severity, 2::hugeint as many, 'nan'::float as missing, [1, 2] as list,
        'x'::blob as bytes, null as nothing, timestamptz '2026-01-02 03:04:05+00' as moment, true as flag,
        {'a': 1} as pair
    """
    row = json.loads(run("query", sql, "--format", "json", folder=handed).stdout)[0]
    assert row == {
        "severity": 1.5, "many": 2, "missing": None, "list": [1, 2], "bytes": "eA==", "nothing": None,
        "moment": "2026-01-02T03:04:05+00:00", "flag": True, "pair": {"a": 1},
    }  # fmt: skip
    header, line = run("query", sql, "--format", "csv", folder=handed).stdout.splitlines()
    assert header.split(",")[0] == "severity"
    assert '"[1, 2]",eA==' in line


def test_json_escapes_what_a_terminal_acts_on(handed: Path) -> None:
    sql = "select 'é' || chr(8238) || chr(27) || '😀' as label"
    text = run("query", sql, "--format", "json", folder=handed).stdout
    assert text == '[{"label": "é\\u202e\\u001b😀"}]\n'
    assert json.loads(text) == [{"label": "é\u202e\x1b😀"}]


@pytest.mark.parametrize(
    "suffix", ["parquet", *(pytest.param(name, marks=pytest.mark.test_all) for name in ("csv", "json"))]
)
def test_output_file_is_written_whole(handed: Path, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"rows.{suffix}"
    done = run("query", IMAGES, handed, "--output", path, folder=tmp_path)
    assert (done.stdout, "400 rows" in done.stderr) == ("", True)
    rows = {"csv": pl.read_csv, "json": pl.read_json, "parquet": pl.read_parquet}[suffix](path)
    assert rows["image_id"].to_list() == list(range(400))
    assert list(tmp_path.iterdir()) == [path]


def test_schema_of_an_empty_folder_is_the_contract(tmp_path: Path) -> None:
    listed = json.loads(run("schema", "--format", "json", folder=tmp_path).stdout)
    assert [row["name"] for row in listed] == relation_names()
    assert list(listed[0]) == ["name", "kind", "meaning"]
    assert all(row["meaning"].lower().startswith("one row") for row in listed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.test_all
def test_a_warehouse_says_how_many_rows_there_are(handed: Path, tmp_path: Path) -> None:
    for folder, where in ((handed, []), (tmp_path, [handed / "warehouse.duckdb"])):
        listed = json.loads(run("schema", *where, "--format", "json", folder=folder).stdout)
        rows = {row["name"]: row["rows"] for row in listed}
        assert (rows["images"], rows["accuracy_by_severity"]) == (400, None)


@pytest.mark.parametrize("name", ["accuracy_by_severity"])
@pytest.mark.test_all
def test_columns_have_type_and_meaning(handed: Path, tmp_path: Path, name: str) -> None:
    inside = json.loads(run("schema", name, "--format", "json", folder=handed).stdout)
    assert inside == json.loads(run("schema", name, "--format", "json", folder=tmp_path).stdout)
    assert {"column", "type", "unit", "range", "meaning"} == inside[0].keys()
    assert all(row["meaning"] for row in inside)


def test_an_unknown_table_gets_the_nearest(tmp_path: Path) -> None:
    done = run("schema", "accuracy_by_severty", folder=tmp_path, expect=2)
    assert "did you mean 'accuracy_by_severity'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
