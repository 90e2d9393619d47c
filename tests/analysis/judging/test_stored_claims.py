"""Claims in the warehouse: stated by a load or a study, judged by whoever asks, and anew when something changes."""

import shutil
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.judging import stored
from failmodes.analysis.judging.stored import DERIVATION, warehouse_claims
from failmodes.analysis.opened_warehouse import Warehouse
from failmodes.ingest.statements import Statement, check_claims, statement_text, stored_form, stored_rows
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.stated_claims import stored_claims

STATED = check_claims([
    {"metric": "accuracy", "corruptions": ["fog"], "severities": [5], "relation": "drop_at_most", "limit": 0.6},
    {"shape": "near_linear", "corruptions": ["contrast"], "name": "a line"},
], "claims")  # fmt: skip
FLAT = Statement(shape="flat", corruptions=["fog"])


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    return write_synthetic(tmp_path_factory.mktemp("claims"), images=60, corruptions=("fog", "contrast"),
                           severities=(2, 5))  # fmt: skip


@pytest.fixture(scope="module")
def judged_once(results: Synthetic) -> Path:
    path = results.output / "w.duckdb"
    load([results.output], path, claims=stored_rows(STATED), derivation=DERIVATION)
    return path


@pytest.fixture
def own(judged_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(judged_once, tmp_path / "w.duckdb"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The claims of every judgment from now on."""
    found: list[list[str]] = []
    judge = stored.judge_stored
    monkeypatch.setattr(
        stored, "judge_stored", lambda con, claims, *more: found.append(list(claims)) or judge(con, claims, *more)
    )
    return found


def test_they_are_stored_with_their_verdicts(own: Path, results: Synthetic, asked: list[list[str]]) -> None:
    load([results.output], own)  # without a study, which keeps them
    with open_warehouse(own) as con:
        assert stored_claims(con) == stored_rows(STATED)
    found = warehouse_claims(own)
    assert asked == []
    assert [row.claim for row in found] == [claim.title for claim in STATED for _ in range(2)]
    rows = run_query(own, "select claim_number, verdict from claims order by position")
    assert rows.rows() == [(row.claim_number, row.verdict) for row in found]


def test_other_claims_are_judged_again(own: Path, results: Synthetic, asked: list[list[str]]) -> None:
    for claims, is_swapped in ((STATED, False), (STATED[:1], True)):
        assert load([results.output], own, claims=stored_rows(claims), derivation=DERIVATION).swapped is is_swapped
    content = own.read_bytes()
    assert len(warehouse_claims(own, stated=[FLAT])) == 2
    assert asked == [[stored_form(STATED[0])], [stored_form(FLAT)]]
    assert own.read_bytes() == content, "only a load stores them"
    load([results.output], own, claims=[], derivation=DERIVATION)
    assert run_query(own, "from claims").is_empty()


def test_claims_that_are_given_are_not_stored(own: Path) -> None:
    before = own.read_bytes()
    found = Warehouse(own).claims({"shape": "flat", "corruptions": ["fog"]})
    assert {row.claim for row in found} == {statement_text(FLAT)}
    assert own.read_bytes() == before
    assert len(Warehouse(own).claims([])) == 0


def test_a_stored_claim_that_is_not_understood_is_reported(own: Path, results: Synthetic) -> None:
    (nobody,) = stored_rows([FLAT.model_copy(update={"model": "Nobody"})])
    load([results.output], own, claims=[("fog flies", "fog flies"), nobody], derivation=DERIVATION)
    found = warehouse_claims(own)
    assert [row.verdict for row in found] == ["not_measurable", "not_measurable"]
    assert "no model 'Nobody'" in str(found[1].reason)


@pytest.mark.parametrize(
    "change", ["update claims set verdict = 'proven' where position = 1", "delete from claims where claim_number = 2"]
)
def test_rows_that_no_load_made_are_judged_again(own: Path, change: str) -> None:
    expected = warehouse_claims(own)
    with duckdb.connect(str(own)) as con:
        con.execute(change)
    assert warehouse_claims(own) == expected
