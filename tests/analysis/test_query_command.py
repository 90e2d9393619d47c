"""`failmodes query` through its installed script: widths, formats, limits, parameters, and how it refuses."""

import json
from pathlib import Path

import pytest
from installed_script import failmodes, failmodes_in_terminal

WORST = "@worst_cells"
IMAGES = "select image_id, label from images order by image_id"


@pytest.mark.parametrize("columns", [60, 200])
def test_a_result_fits_the_terminal(handed: Path, columns: int) -> None:
    shown = failmodes_in_terminal("query", WORST, folder=handed, columns=columns).splitlines()
    assert max(map(len, shown[:-1])) <= columns
    assert (shown[0].startswith("┌"), shown[0].startswith("── row 1")) == (columns == 200, columns != 200)
    assert any("Gaussian noise" in line for line in shown), "no word is broken"


def test_a_terminal_shows_the_first_rows_and_says_so(handed: Path) -> None:
    shown = failmodes_in_terminal("query", IMAGES, folder=handed)
    assert shown.count("\n│") == 1 + 50
    assert "first 50 of 80 rows: --limit N shows N, --format csv or --output FILE gives all" in shown
    assert failmodes_in_terminal("query", IMAGES, "--limit", "70", folder=handed).count("\n│") == 1 + 70


@pytest.mark.parametrize("output_format", ["json", "latex"])
def test_other_formats_have_every_row_and_nothing_else(handed: Path, output_format: str) -> None:
    done = failmodes("query", IMAGES, "--format", output_format, folder=handed)
    lines = done.stdout.splitlines()
    count = len(json.loads(done.stdout)) if output_format == "json" else len(lines)
    assert (count, done.stderr) == ({"csv": 81, "json": 80, "markdown": 82, "latex": 80 + 7}[output_format], "")


def test_a_saved_query_takes_options(handed: Path) -> None:
    def rows(*options: str) -> list[dict[str, object]]:
        return json.loads(failmodes("query", WORST, "--format", "json", *options, folder=handed).stdout)

    assert len(rows("--limit", "30")) == 30, "the query gives its first 20 unless told otherwise"
    mine = rows("--corruption", "fog", "--corruption", "contrast", "--model", "Alpha")
    assert {row["corruption_label"] for row in mine} == {"Fog", "Contrast"}
    assert {row["model_label"] for row in mine} == {"Alpha"}
    assert len(rows("--param", "rows=3")) == 3


def test_a_statement_of_ones_own_takes_values(handed: Path) -> None:
    sql = "select $floor as floor, $name as name, $few as few, $none as none"
    given = ["floor=0.5", "name=ResNet-18", "few=[1, 2]", "none=null"]
    options = [text for one in given for text in ("--param", one)]
    done = failmodes("query", sql, *options, "--format", "json", folder=handed)
    assert json.loads(done.stdout) == [{"floor": 0.5, "name": "ResNet-18", "few": [1, 2], "none": None}]


def test_the_list_says_what_a_query_takes(handed: Path) -> None:
    lines = failmodes("query", "--list", folder=handed).stdout.splitlines()
    (worst,) = (line.split("\t") for line in lines if line.startswith(f"{WORST}\t"))
    assert worst[2] == "--model --corruption --limit"
    listed = json.loads(failmodes("query", "--list", "--format", "json", folder=handed).stdout)
    assert [row["query"] for row in listed] == [line.split("\t")[0] for line in lines]


REFUSED = {
    "unknown query": ([WORST[:-1]], "no saved query @worst_cell: did you mean 'worst_cells'?"),
    "unknown corruption": ([WORST, "--corruption", "fgo"], "no corruption 'fgo' here: did you mean 'fog'?"),
    "value missing": (["select $floor"], "no value for $floor"),
    "parquet in a terminal": ([IMAGES, "--format", "parquet"], "name a file with --output FILE.parquet"),
    "two formats": (
        [IMAGES, "--format", "csv", "-o", "a.json"],
        "a.json: it ends in .json, expected a file name that ends in .csv",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_done_is_one_line(handed: Path, name: str) -> None:
    arguments, message = REFUSED[name]
    done = failmodes("query", *arguments, folder=handed, expect=2)
    assert len(done.stderr.splitlines()) == 1
    assert message in done.stderr
    assert done.stdout == ""
    assert not list(handed.glob("a.*"))
