"""`failmodes claims` as a user runs it: on a study, on a file, and with a metric of its own."""

import json
from pathlib import Path

import pytest
from run_commands import run
from synthetic_results import write_synthetic

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.warehouse.database.load import load

HALF = """
import failmodes

@failmodes.metric(unit="share", higher_is_better=True, range=(0, 1))
def half(preds, target):
    return (preds == target).mean() / 2
"""
STUDY = """
name = "mine"
output = "out"
results = "out/results"
[dataset]
kind = "digits"
[[claims]]
metric = "accuracy"
corruptions = ["fog"]
severities = [5]
relation = "drop_at_least"
limit = 0.10
[[claims]]
metric = "accuracy"
model = "Alpha"
baseline = "Beta"
relation = "better_by_at_least"
"""
FLAT = '[[claims]]\nshape = "flat"\ncorruptions = ["fog"]\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and the results that it has made, not yet loaded."""
    here = tmp_path_factory.mktemp("claims")
    write_synthetic(here / "out" / "results", images=60, corruptions=("fog", "contrast"), severities=(2, 5))
    (here / "study.toml").write_text(STUDY)
    (here / "flat.toml").write_text(FLAT)
    return here


@pytest.mark.test_all
def test_from_a_study_to_a_table(folder: Path) -> None:
    run("load", folder=folder)
    query = "select claim, statement from stated_claims order by position"
    stated = json.loads(run("query", query, "--format", "json", folder=folder).stdout)
    assert stated[0]["claim"] == "accuracy drops by at least 10 points under fog at severity 5"
    assert json.loads(stated[0]["statement"])["relation"] == "drop_at_least"
    table = run("claims", folder=folder).stdout
    assert "✓ supported" in table
    assert "Alpha and Beta" in table
    (folder / "study.toml").write_text(STUDY.replace("0.10", "0.20"))
    assert "20 points" in " ".join(run("claims", folder=folder).stdout.split())
    assert "10 points" in " ".join(run("claims", "out", folder=folder).stdout.split())  # what the load stored
    (folder / "study.toml").write_text(STUDY.replace("drop_at_least", "dropp_at_least"))
    assert "claims.0.relation: input should be" in run("load", folder=folder, expect=2).stderr
    (folder / "study.toml").write_text(STUDY)


@pytest.mark.test_all
def test_a_claim_names_a_metric_of_its_own_file_or_study(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(HALF)
    claim = '[[claims]]\nmetric = "half"\ncorruptions = ["none"]\nrelation = "at_most"\nlimit = 0.5\n'
    (tmp_path / "mine.toml").write_text('metrics = ["half.py"]\n' + claim)
    run("load", str(folder / "out" / "results"), "--into", "w.duckdb", folder=tmp_path)
    found = run("claims", "w.duckdb", "--claims", "mine.toml", "--json", "-", folder=tmp_path).stdout
    rows = json.loads(found)["verdicts"]
    query = "select accuracy from accuracy_by_severity where corruption = 'fog' and severity = 0 order by model_label"
    clean = json.loads(run("query", query, "w.duckdb", "--format", "json", folder=tmp_path).stdout)
    assert [row["decisions"][0]["value"] for row in rows] == pytest.approx([row["accuracy"] / 2 for row in clean])


@pytest.mark.test_all
def test_the_claims_of_a_file_are_judged_and_not_stored(folder: Path, tmp_path: Path) -> None:
    load([folder / "out" / "results"], tmp_path / "w.duckdb", derivation=DERIVATION)
    assert run("claims", "w.duckdb", folder=tmp_path).stdout == "No claims.\n"
    (tmp_path / "mine.toml").write_text(FLAT + FLAT.replace("fog", "snow"))
    arguments = ("claims", "w.duckdb", "--claims", "mine.toml")
    rows = json.loads(run(*arguments, "--json", "-", folder=tmp_path).stdout)["verdicts"]
    assert [row["statement"].split()[4] for row in rows] == ["fog"] * 2 + ["snow"] * 2
    assert rows[2]["decisions"][0]["reason"] == "snow was not evaluated"
    run(*arguments, "--json", "a.json", "--markdown", "a.md", folder=tmp_path)
    assert json.loads((tmp_path / "a.json").read_text())["verdicts"] == rows
    assert "| the accuracy curve under fog is flat | Alpha |" in (tmp_path / "a.md").read_text()
    assert run("claims", "w.duckdb", folder=tmp_path).stdout == "No claims.\n"
