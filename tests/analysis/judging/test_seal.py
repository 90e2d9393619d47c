"""Seals: the first version stays, changes are counted, and results say what nobody attests."""

import hashlib
import json
import shutil
from pathlib import Path

import duckdb
import pytest
from run_commands import run
from synthetic_results import Synthetic

import failmodes
from failmodes.analysis.judging.seal import SEALS, Seal, read_seals, seal_file
from failmodes.runtime.errors import DamagedShardError, StudyError
from failmodes.warehouse.shards.format import read_verified, write_dimension

CLAIM = '[[claims]]\nmetric = "accuracy"\ncorruptions = ["fog"]\nrelation = "at_least"\nlimit = {}\n'
STUDY = 'name = "Mine"\noutput = "out"\n[dataset]\nkind = "digits"\n'
RULES = '[gate]\nbaseline = "Alpha"\n[[gate.rules]]\nmetric = "accuracy"\nrelation = "worse_by_at_most"\nlimit = {}\n'


@pytest.fixture
def study(handed: Path, tmp_path: Path) -> Path:
    """A study with one claim whose folder has a warehouse and no results."""
    (tmp_path / "out").mkdir()
    shutil.copy(handed / "warehouse.duckdb", tmp_path / "out" / "warehouse.duckdb")
    (tmp_path / "study.toml").write_text(STUDY + CLAIM.format(0.1))
    return tmp_path / "study.toml"


def changes(study: Path, *arguments: str) -> list[tuple[int, int]]:
    """How many statements were added and removed since each seal, as a command's JSON has it."""
    done = run(*arguments, "--json", study.parent / "out.json", folder=study.parent, expect=None)
    assert done.returncode in (0, 1, 3), done.stderr
    seals = json.loads((study.parent / "out.json").read_text())["seals"]
    return [(len(seal["added"]), len(seal["removed"])) for seal in seals]


def sealed(file: Path) -> list[Seal]:
    """Seals of a file in the results folder beside it."""
    return seal_file(file, file.parent / "out", file.parent / "out" / "warehouse.duckdb")


def test_claims_are_unchanged_until_one_is_changed(study: Path, synthetic: Synthetic) -> None:
    (first,) = sealed(study)
    assert (first.cell_count, first.seen) == (2 * 26, ("warehouse",))
    assert first.sha256 == hashlib.sha256("\n".join(first.statements).encode()).hexdigest()
    assert sealed(study) == [first]
    assert changes(study, "claims", str(study)) == [(0, 0)]
    study.write_text(STUDY + CLAIM.format(0.1) + CLAIM.format(0.2))
    assert changes(study, "claims", str(study)) == [(1, 0)]
    study.write_text(STUDY + CLAIM.format(0.2))
    assert changes(study, "claims", str(study)) == [(1, 1)]
    shutil.copytree(synthetic.output / "results", study.parent / "out" / "results", dirs_exist_ok=True)
    (second,) = sealed(study)
    assert (second.cell_count, second.seen) == (2 * 26, ("results", "warehouse"))
    assert {seal.sha256 for seal in read_seals(study.parent / "out")} == {first.sha256, second.sha256}
    text = run("claims", study, folder=study.parent, expect=None).stdout
    assert "nobody attests" in " ".join(text.split())
    assert first.sha256 in text
    assert len(failmodes.open(study.parent / "out").claims().seals) == 2


@pytest.mark.test_all
def test_a_report_ends_with_what_was_tested(study: Path) -> None:
    (seal,) = sealed(study)
    run("report", study, "--appendix", folder=study.parent)
    page = (study.parent / "out" / "report.html").read_text()
    tested = page[page.index('id="appendix-1"') :]
    assert "no proof of conformity" in tested
    assert seal.sha256 in tested
    assert "unchanged since" in tested
    with duckdb.connect(str(study.parent / "out" / "warehouse.duckdb"), read_only=True) as con:
        identities = con.execute("select evaluation_id, model_id, dataset_id from evaluations").fetchall()
        (accuracy,) = con.execute(
            "select 100 * accuracy from accuracy_by_severity where severity = 0 order by accuracy desc limit 1"
        ).fetchone() or (None,)
    assert all(text in tested for row in identities for text in row)
    assert f"{accuracy:.1f}" in tested


@pytest.mark.test_all
def test_a_gate_is_sealed_with_its_models_and_level(study: Path) -> None:
    rules = study.parent / "gate.toml"
    rules.write_text(RULES.format(0.9))
    (seal,) = sealed(rules)
    assert seal.subject == "gate"
    gate = ("gate", str(rules), str(study.parent / "out"), "--candidate", "Beta")
    assert changes(study, *gate) == [(1, 0)]  # the candidate was not in the file
    rules.write_text(RULES.format(0.9).replace("[gate]", '[gate]\ncandidate = "Beta"'))
    sealed(rules)
    assert changes(study, *gate)[-1] == (0, 0)
    rules.write_text(RULES.format(0.8).replace("[gate]", '[gate]\ncandidate = "Beta"\nlevel = 0.9'))
    assert changes(study, *gate)[-1] == (2, 2)


@pytest.mark.test_all
def test_a_command_seals_in_the_results_of_a_study_or_of_where(study: Path) -> None:
    run("seal", study, folder=study.parent)
    (study.parent / "gate.toml").write_text(RULES.format(0.1))
    run("seal", "gate.toml", "out", folder=study.parent)
    assert {seal.subject for seal in read_seals(study.parent / "out")} == {"claims", "gate"}
    study.write_text(STUDY)
    with pytest.raises(StudyError, match="nothing to seal"):
        sealed(study)


def test_a_forged_seal_is_damaged(study: Path) -> None:
    sealed(study)
    (path,) = (study.parent / "out").rglob("seals/*.parquet")
    content, stored = path.read_bytes(), read_verified(path).rows
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedShardError, match="damaged"):
        read_seals(study.parent / "out")
    other = path.with_name("claims-0000000000000000.parquet")
    path.unlink()
    other.write_bytes(content)
    with pytest.raises(DamagedShardError, match="does not belong here"):
        read_seals(study.parent / "out")
    other.unlink()
    (row,) = stored.to_pylist()
    write_dimension(study.parent / "out", SEALS, path.stem, [row | {"statements": ["{}"]}])
    with pytest.raises(DamagedShardError, match="SHA-256"):
        read_seals(study.parent / "out")
