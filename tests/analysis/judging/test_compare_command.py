"""failmodes compare, and Warehouse.compare: they say the same, and refuse in one line what cannot be compared."""

import json
import re
import shutil
from pathlib import Path

import pytest
from synthetic_results import write_synthetic
from typer.testing import CliRunner, Result

from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.cli import build_app
from failmodes.runtime.errors import FailmodesError
from failmodes.warehouse.database.load import load


@pytest.fixture(scope="module")
def warehouse(sound_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(sound_warehouse, tmp_path_factory.mktemp("compared")))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of one model, under a corruption that the other has not."""
    folder = tmp_path_factory.mktemp("alone")
    write_synthetic(folder, images=60, models=("Gamma",), corruptions=("snow",))
    load([folder], folder / "alone.duckdb")
    return folder / "alone.duckdb"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build_app("compare"), ["compare", *map(str, arguments)])


def test_every_format_says_the_same_and_options_reach_the_comparison(warehouse: Path, tmp_path: Path) -> None:
    options = ("--margin", "0.02", "--level", "0.9", "--corruption", "fog")
    text = run("Alpha", "Beta", warehouse, *options).stdout
    document = json.loads(run("Alpha", "Beta", warehouse, *options, "--format", "json").stdout)
    run("Alpha", "Beta", warehouse, *options, "--format", "markdown", "-o", tmp_path / "c.md")
    sentence = document["sentences"][0]
    assert " ".join(sentence.split()) in " ".join(text.split())
    assert f"**{sentence}**" in (tmp_path / "c.md").read_text()
    assert (document["margin"], document["level"]) == (0.02, 0.9)
    assert [one["keys"]["corruptions"] for one in document["verdicts"] if one["scope"] == "corruption"] == [["fog"]]
    found = Warehouse(warehouse).compare("Alpha", "Beta", margin=0.02, level=0.9, corruption="fog").comparison
    overall = document["verdicts"][2]["decisions"][0]
    assert found.overall.estimate[:3] == pytest.approx([overall[key] for key in ("value", "low", "high")])


ERRORS = {
    "unknown name": (["Alpa", "Beta", "W"], "no model 'Alpa' in .*: did you mean 'Alpha'?"),
    "itself": (["Alpha", "Alpha", "W"], "name two different models"),
    "margin": (["Alpha", "Beta", "W", "--margin", "nan"], "margin nan"),
    "level": (["Alpha", "Beta", "W", "--level", "95"], "level 95.0"),
    "corruption": (["Alpha", "Beta", "W", "--corruption", "fogg"], "'fogg': did you mean 'fog'"),
    "no shared cell": (["W::Alpha", "ALONE"], "not comparable: they differ in images"),
    "unneeded warehouse": (["W::Alpha", "W::Beta", "W"], "remove the warehouse"),
    "which of two": (["W", "ALONE"], "contains 2 models"),
    "missing file": (["W::Alpha", "gone.duckdb"], "gone.duckdb"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_what_cannot_be_compared_is_said_in_a_line(warehouse: Path, alone: Path, tmp_path: Path, name: str) -> None:
    arguments, message = ERRORS[name]
    given = [re.sub("^(W|ALONE)(?=$|:)", str(alone if text == "ALONE" else warehouse), text) for text in arguments]
    done = run(*given, "-o", tmp_path / "c.txt")
    assert isinstance(done.exception, FailmodesError)
    assert re.search(message, str(done.exception))
    assert "\n" not in str(done.exception)
    assert not list(tmp_path.iterdir())
