"""A record at a URL is the record of a local folder: same files, same hashes, same rows, and no half file."""

from pathlib import Path

import pytest
from run_commands import run

from failmodes.evaluate.study.study_file import read_study
from failmodes.runtime.storage.locations import find_results, find_warehouse
from failmodes.warehouse.database.connection import open_warehouse

STUDY = """
name = "x"
output = "out"
{results}
[dataset]
kind = "digits"
[[models]]
label = "A"
architecture = "resnet18"
training = {{ epochs = 1 }}
"""


def study_file(folder: Path, results: str | None) -> Path:
    path = folder / "study.toml"
    path.write_text(STUDY.format(results="" if results is None else f'results = "{results}"'))
    return path


@pytest.mark.parametrize(
    ("results", "expected"),
    [(None, "{folder}/out"), ("shared", "{folder}/shared"), ("memory://b/x", "memory://b/x"), ("/a/b", "/a/b")],
    ids=["not given", "relative", "URL", "absolute"],
)
def test_a_study_says_where_its_results_lie_and_the_rest_stays_local(tmp_path, results, expected: str) -> None:
    path = study_file(tmp_path, results)
    study = read_study(path)
    assert str(study.results_folder) == str(find_results(path)) == expected.format(folder=tmp_path)
    assert (study.cache, find_warehouse(path)) == (tmp_path / "out" / "cache", tmp_path / "out" / "warehouse.duckdb")


@pytest.mark.test_all
def test_load_takes_a_url_or_a_study_that_names_one(memory_results, memory_url: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    study_file(tmp_path, memory_url)
    assert "22 new" in run("load", memory_url, "--into", "w.duckdb", folder=tmp_path).stderr
    assert "22 new" in run("load", folder=tmp_path).stderr
    for warehouse_file in (tmp_path / "w.duckdb", tmp_path / "out" / "warehouse.duckdb"):
        with open_warehouse(warehouse_file) as con:
            assert con.sql("select count(*) from prediction_facts").pl().item() == 11 * 40
