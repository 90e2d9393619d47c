"""`failmodes schema` through its installed script: in an empty folder, beside a warehouse, in each format."""

import json
from pathlib import Path

import pytest
from installed_script import failmodes, failmodes_in_terminal

from failmodes.warehouse.database.views import relation_names


def test_an_empty_folder_has_the_contract(tmp_path: Path) -> None:
    listed = json.loads(failmodes("schema", "--format", "json", folder=tmp_path).stdout)
    assert [row["name"] for row in listed] == relation_names()
    assert list(listed[0]) == ["name", "kind", "meaning"]
    assert all(row["meaning"].lower().startswith("one row") for row in listed)
    assert list(tmp_path.iterdir()) == []


def test_a_warehouse_says_how_many_rows_there_are(handed: Path, tmp_path: Path) -> None:
    for folder, where in ((handed, []), (tmp_path, [handed / "warehouse.duckdb"])):
        listed = json.loads(failmodes("schema", *where, "--format", "json", folder=folder).stdout)
        rows = {row["name"]: row["rows"] for row in listed}
        assert (rows["images"], rows["accuracy_by_severity"]) == (80, None)


@pytest.mark.parametrize("name", ["accuracy_by_severity", "predictions"])
def test_columns_have_type_and_meaning(handed: Path, tmp_path: Path, name: str) -> None:
    inside = json.loads(failmodes("schema", name, "--format", "json", folder=handed).stdout)
    assert inside == json.loads(failmodes("schema", name, "--format", "json", folder=tmp_path).stdout)
    assert {"column", "type", "unit", "range", "meaning"} == inside[0].keys()
    assert all(row["meaning"] for row in inside)


@pytest.mark.parametrize("columns", [60, 100, 200])
def test_meanings_fit_the_terminal(tmp_path: Path, columns: int) -> None:
    shown = failmodes_in_terminal("schema", "attention_on_object", folder=tmp_path, columns=columns).splitlines()
    assert max(map(len, shown[:-1])) <= columns
    assert shown[-1] == 'next: failmodes query "from attention_on_object limit 10"'


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    done = failmodes("schema", "accuracy_by_severty", folder=tmp_path, expect=2)
    assert "did you mean 'accuracy_by_severity'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_warehouse_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert "gone.duckdb" in failmodes("schema", "gone.duckdb", folder=tmp_path, expect=2).stderr
    (tmp_path / "study.toml").write_text("output = [")
    assert "study.toml" in failmodes("schema", folder=tmp_path, expect=2).stderr


def test_a_schema_can_go_into_a_paper(tmp_path: Path) -> None:
    failmodes("schema", "shapes", "-o", "shapes.tex", folder=tmp_path)
    assert r"total\_drop\_low & DOUBLE" in (tmp_path / "shapes.tex").read_text()
