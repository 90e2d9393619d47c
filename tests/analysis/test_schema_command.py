"""`failmodes schema` through its installed script: in an empty folder, beside a warehouse, in each format."""

import json
from pathlib import Path

import pytest
from installed_script import failmodes

from failmodes.warehouse.database.views import relation_names


def test_an_empty_folder_has_the_contract(tmp_path: Path) -> None:
    listed = json.loads(failmodes("schema", "--format", "json", folder=tmp_path).stdout)
    assert [row["name"] for row in listed] == relation_names()
    assert list(listed[0]) == ["name", "kind", "meaning"]
    assert all(row["meaning"].lower().startswith("one row") for row in listed)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_warehouse_says_how_many_rows_there_are(handed: Path, tmp_path: Path) -> None:
    for folder, where in ((handed, []), (tmp_path, [handed / "warehouse.duckdb"])):
        listed = json.loads(failmodes("schema", *where, "--format", "json", folder=folder).stdout)
        rows = {row["name"]: row["rows"] for row in listed}
        assert (rows["images"], rows["accuracy_by_severity"]) == (80, None)


@pytest.mark.parametrize("name", ["accuracy_by_severity"])
@pytest.mark.slow
def test_columns_have_type_and_meaning(handed: Path, tmp_path: Path, name: str) -> None:
    inside = json.loads(failmodes("schema", name, "--format", "json", folder=handed).stdout)
    assert inside == json.loads(failmodes("schema", name, "--format", "json", folder=tmp_path).stdout)
    assert {"column", "type", "unit", "range", "meaning"} == inside[0].keys()
    assert all(row["meaning"] for row in inside)


def test_an_unknown_name_gets_the_nearest(tmp_path: Path) -> None:
    done = failmodes("schema", "accuracy_by_severty", folder=tmp_path, expect=2)
    assert "did you mean 'accuracy_by_severity'?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
