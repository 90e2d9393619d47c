"""Claims in the warehouse: stated by a load or a study, judged by whoever asks, and anew when something changes."""

import shutil
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.judging import stored
from failmodes.analysis.judging.stored import DERIVATION, change_settings, warehouse_claims
from failmodes.analysis.opened_warehouse import Warehouse
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.stated_claims import stored_claims
from failmodes.warehouse.errors import StudyError

STATED = ["fog costs less than 60 points at 5", "contrast is near-linear"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("claims"), images=60, corruptions=("fog", "contrast"),
                           severities=(2, 5))  # fmt: skip


@pytest.fixture(scope="module")
def judged_once(results: Synthetic) -> Path:
    path = results.output / "w.duckdb"
    load([results.output], path, claims=STATED, derivation=DERIVATION)
    return path


@pytest.fixture
def own(judged_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(judged_once, tmp_path / "w.duckdb"))


def counted(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The claims of every judgment from now on."""
    asked: list[list[str]] = []
    judge = stored.judge_stored
    monkeypatch.setattr(stored, "judge_stored", lambda con, claims: asked.append(list(claims)) or judge(con, claims))
    return asked


def test_they_are_stored_with_their_verdicts(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(own, monkeypatch)
    found = warehouse_claims(own)
    assert asked == []
    assert [row.claim for row in found] == [claim for claim in STATED for _ in range(2)]
    rows = run_query(own, "select claim_number, claim, verdict from claims order by position")
    assert rows["claim_number"].to_list() == [1, 1, 2, 2]
    assert rows["verdict"].to_list() == [row.verdict for row in found]


@pytest.mark.slow
def test_other_claims_are_judged_again(own: Path, results: Synthetic, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(own, monkeypatch)
    assert load([results.output], own, claims=STATED, derivation=DERIVATION).swapped is False
    assert load([results.output], own, claims=STATED[:1], derivation=DERIVATION).swapped is True
    assert len(warehouse_claims(own)) == 2
    content = own.read_bytes()
    assert len(warehouse_claims(own, stated=["fog is flat", "fog is flat"])) == 2
    assert asked == [STATED[:1], ["fog is flat"]]
    assert warehouse_claims(own, stated=[]) == []
    assert own.read_bytes() == content, "only a load stores them"
    load([results.output], own, claims=[], derivation=DERIVATION)
    assert warehouse_claims(own) == []
    assert run_query(own, "from claims").is_empty()


@pytest.mark.slow
def test_other_settings_and_other_rules_are_judged_again(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(own, monkeypatch)
    change_settings(own, {"resamples": 70})
    warehouse_claims(own)
    assert len(asked) == 1
    monkeypatch.setattr(stored, "source_hash", lambda *_: "another")
    warehouse_claims(own)
    assert len(asked) == 2


def test_a_load_without_a_study_keeps_them(own: Path, results: Synthetic) -> None:
    load([results.output], own)
    with open_warehouse(own) as con:
        assert stored_claims(con) == STATED


@pytest.mark.slow
def test_more_shards_are_judged_with_the_others(own: Path, tmp_path: Path) -> None:
    more = write_synthetic(tmp_path / "more", images=60, models=("Gamma",), corruptions=("fog", "contrast"),
                           severities=(2, 5))  # fmt: skip
    load([more.output], own, derivation=DERIVATION)
    assert set(run_query(own, "from claims")["model_label"]) == {"Alpha", "Beta", "Gamma"}


def test_claims_that_are_given_are_not_stored(own: Path) -> None:
    before = own.read_bytes()
    found = Warehouse(own).claims("fog is flat")
    assert {row.claim for row in found} == {"fog is flat"}
    assert own.read_bytes() == before
    assert [row.claim for row in Warehouse(own).claims()][::2] == STATED
    assert len(Warehouse(own).claims([])) == 0


@pytest.mark.slow
def test_a_stored_claim_that_is_not_understood_is_reported(own: Path, results: Synthetic) -> None:
    load([results.output], own, claims=["fog flies", "fog is flat for Nobody"])
    found = warehouse_claims(own)
    assert [row.verdict for row in found] == ["inconclusive", "inconclusive"]
    assert "is not understood" in str(found[0].reason)
    assert "no model 'Nobody' was evaluated" in str(found[1].reason)


def test_a_claim_of_a_study_that_is_not_understood_is_one_line(own: Path) -> None:
    with pytest.raises(StudyError, match="unknown corruption 'fogg'"):
        warehouse_claims(own, stated=["fogg is flat"])


@pytest.mark.slow
def test_rows_with_another_verdict_are_judged_again(own: Path) -> None:
    expected = warehouse_claims(own)
    with duckdb.connect(str(own)) as con:
        con.execute("update claims set verdict = 'proven' where position = 1")
    assert warehouse_claims(own) == expected
