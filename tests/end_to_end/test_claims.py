"""`failmodes claims` as a user runs it: in an empty folder, on a file, a folder or a study, and what is refused."""

import json
from pathlib import Path

import pytest
from installed_script import failmodes
from synthetic_results import write_synthetic

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


@pytest.mark.slow
def test_from_a_study_to_a_table(folder: Path) -> None:
    failmodes("load", folder=folder)
    query = "select claim, statement from stated_claims order by position"
    stated = json.loads(failmodes("query", query, "--format", "json", folder=folder).stdout)
    assert stated[0]["claim"] == "accuracy drops by at least 10 points under fog at severity 5"
    assert json.loads(stated[0]["statement"])["relation"] == "drop_at_least"
    table = failmodes("claims", folder=folder).stdout
    assert "✓ supported" in table
    assert "Alpha and Beta" in table
    counts = failmodes("query", "select count(*) as n from claims", "--format", "json", folder=folder).stdout
    assert json.loads(counts) == [{"n": 3}]
    assert "2 stated claims" in " ".join(failmodes("status", "out", folder=folder).stdout.split())


@pytest.mark.slow
def test_a_claim_names_a_metric_of_its_own_file_or_study(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text(HALF)
    claim = '[[claims]]\nmetric = "half"\ncorruptions = ["none"]\nrelation = "at_most"\nlimit = 0.5\n'
    (tmp_path / "mine.toml").write_text('metrics = ["half.py"]\n' + claim)
    failmodes("load", str(folder / "out" / "results"), "--into", "w.duckdb", folder=tmp_path)
    found = failmodes("claims", "w.duckdb", "--claims", "mine.toml", "--json", "-", folder=tmp_path).stdout
    rows = json.loads(found)["claims"]
    query = "select accuracy from accuracy_by_severity where corruption = 'fog' and severity = 0 order by model_label"
    clean = json.loads(failmodes("query", query, "w.duckdb", "--format", "json", folder=tmp_path).stdout)
    assert [row["value"] for row in rows] == pytest.approx([row["accuracy"] / 2 for row in clean])
    study = STUDY.split("[[claims]]")[0].replace('"out', f'"{folder}/out')
    (tmp_path / "study.toml").write_text('metrics = ["half.py"]\n' + study + claim)
    failmodes("load", "study.toml", "--into", "of_study.duckdb", folder=tmp_path)
    stored = failmodes("claims", "of_study.duckdb", "--json", "-", folder=tmp_path)
    assert json.loads(stored.stdout)["claims"] == rows
    assert stored.stderr == ""


@pytest.mark.slow
def test_a_study_is_read_again_each_time(folder: Path) -> None:
    failmodes("load", folder=folder)
    (folder / "study.toml").write_text(STUDY.replace("0.10", "0.20"))
    assert "20 points" in " ".join(failmodes("claims", folder=folder).stdout.split())
    assert "10 points" in " ".join(failmodes("claims", "out", folder=folder).stdout.split())  # what the load stored
    failmodes("load", folder=folder)
    assert "20 points" in " ".join(failmodes("claims", "out", folder=folder).stdout.split())
    (folder / "study.toml").write_text(STUDY.replace('"fog"', '"fogg"'))
    for command in ("claims", "report"):
        refused = failmodes(command, folder=folder, expect=2)
        assert "unknown corruption 'fogg': did you mean 'fog'?" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    (folder / "study.toml").write_text(STUDY)


def test_a_load_refuses_what_a_run_refuses_and_leaves_the_warehouse(folder: Path, tmp_path: Path) -> None:
    failmodes("load", folder=folder)
    text = STUDY.replace('"out', f'"{folder}/out').replace("drop_at_least", "dropp_at_least")
    (tmp_path / "study.toml").write_text(text)
    refused = failmodes("load", "study.toml", "--into", "w.duckdb", folder=tmp_path, expect=2)
    assert "claims.0.relation: input should be 'at_least'" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]
    assert failmodes("claims", folder=tmp_path, expect=2).stderr == refused.stderr


def test_the_claims_of_a_file_are_judged_and_not_stored(folder: Path, tmp_path: Path) -> None:
    load([folder / "out" / "results"], tmp_path / "w.duckdb")
    assert failmodes("claims", "w.duckdb", folder=tmp_path).stdout == "No claims are stated.\n"
    (tmp_path / "mine.toml").write_text(FLAT + FLAT.replace("fog", "snow"))
    arguments = ("claims", "w.duckdb", "--claims", "mine.toml")
    rows = json.loads(failmodes(*arguments, "--json", "-", folder=tmp_path).stdout)["claims"]
    assert [row["claim"].split()[4] for row in rows] == ["fog"] * 2 + ["snow"] * 2
    assert rows[2]["reason"] == "snow was not evaluated"
    failmodes(*arguments, "--json", "a.json", "--markdown", "a.md", folder=tmp_path)
    assert json.loads((tmp_path / "a.json").read_text())["claims"] == rows
    assert "| the accuracy curve under fog is flat | Alpha |" in (tmp_path / "a.md").read_text()
    assert failmodes("claims", "w.duckdb", folder=tmp_path).stdout == "No claims are stated.\n"


@pytest.mark.slow
@pytest.mark.parametrize(("claims", "arguments", "says"), [
    (FLAT.replace("flat", "flatt"), (), "claims.0.shape: input should be 'flat'"),
    (f'{FLAT}model = "Alpah"\n', (), "no model 'Alpah' was evaluated: did you mean 'Alpha'?"),
    (FLAT.replace("fog", "fog \x1b[31m"), (), "is not valid TOML"),
    ("", (), "has no claims: write a [[claims]] table for each"),
    (FLAT, ("--json", "-", "--markdown", "-"), "print one, and name a file for the other"),
    (FLAT, ("--claims", "nowhere.toml"), "no study file at nowhere.toml"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(
    folder: Path, tmp_path: Path, claims: str, arguments: tuple[str, ...], says: str
) -> None:
    failmodes("load", str(folder / "out" / "results"), "--into", "w.duckdb", folder=tmp_path)
    (tmp_path / "mine.toml").write_text(claims)
    refused = failmodes("claims", "w.duckdb", "--claims", "mine.toml", *arguments, folder=tmp_path, expect=2)
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "\x1b" not in refused.stderr
