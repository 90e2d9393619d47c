"""failmodes compare, and Warehouse.compare: they say the same, and refuse in one line what cannot be compared."""

import json
import re
from pathlib import Path

import pytest
from opened_results import Opened
from run_commands import run

from failmodes.analysis.results.opened_warehouse import Warehouse


@pytest.mark.test_all
def test_every_format_says_the_same_and_options_reach_the_comparison(shaped_warehouse: Path, tmp_path: Path) -> None:
    command = (
        "compare",
        "Alpha",
        "Beta",
        shaped_warehouse,
        "--margin",
        "0.02",
        "--level",
        "0.9",
        "--corruption",
        "fog",
    )
    text = run(*command, folder=tmp_path).stdout
    document = json.loads(run(*command, "--format", "json", folder=tmp_path).stdout)
    run(*command, "--format", "markdown", "-o", "c.md", folder=tmp_path)
    sentence = document["sentences"][0]
    assert " ".join(sentence.split()) in " ".join(text.split())
    assert f"**{sentence}**" in (tmp_path / "c.md").read_text()
    assert (document["margin"], document["level"]) == (0.02, 0.9)
    assert [one["keys"]["corruptions"] for one in document["verdicts"] if one["scope"] == "corruption"] == [["fog"]]
    found = Warehouse(shaped_warehouse).compare("Alpha", "Beta", margin=0.02, level=0.9, corruption="fog").comparison
    overall = document["verdicts"][2]["decisions"][0]
    assert found.overall.estimate[:3] == pytest.approx([overall[key] for key in ("value", "low", "high")])


ERRORS = {
    "unknown name": (["Alpa", "Beta", "w.duckdb"], "no model 'Alpa' in .*: did you mean 'Alpha'?"),
    "itself": (["Alpha", "Alpha", "w.duckdb"], "name two different models"),
    "margin": (["Alpha", "Beta", "w.duckdb", "--margin", "nan"], "margin nan"),
    "level": (["Alpha", "Beta", "w.duckdb", "--level", "95"], "level 95.0"),
    "corruption": (["Alpha", "Beta", "w.duckdb", "--corruption", "fogg"], "'fogg': did you mean 'fog'"),
    "no shared cell": (["w.duckdb::Alpha", "other.duckdb::Alpha"], "not comparable: they differ in images"),
    "unneeded warehouse": (["w.duckdb::Alpha", "w.duckdb::Beta", "w.duckdb"], "remove the warehouse"),
    "which of two": (["w.duckdb", "other.duckdb::Alpha"], "contains 2 models"),
    "missing file": (["w.duckdb::Alpha", "gone.duckdb"], "gone.duckdb"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_compared_is_said_in_a_line(
    shaped_warehouse: Path, with_metadata: Opened, tmp_path: Path, name: str
) -> None:
    arguments, message = ERRORS[name]
    (tmp_path / "w.duckdb").symlink_to(shaped_warehouse)
    (tmp_path / "other.duckdb").symlink_to(with_metadata.made.output / "w.duckdb")  # of other images
    said = run("compare", *arguments, "-o", "c.txt", folder=tmp_path, expect=2).stderr
    assert re.search(message, said)
    assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"w.duckdb", "other.duckdb"}
