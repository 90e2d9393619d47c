"""Findings in the warehouse: stored by a load, of what has changed; read while they are of now, else judged anew."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from checkpoint_comparisons import of_kind
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.judging import stored
from failmodes.analysis.judging.findings.kind import Finding
from failmodes.analysis.judging.findings.registry import selection_findings
from failmodes.analysis.judging.stored import DERIVATION, change_settings, warehouse_claims, warehouse_findings
from failmodes.analysis.opened_warehouse import Warehouse
from failmodes.analysis.report import rendering
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.selection import select
from failmodes.analysis.statistics.shape_tables import open_current
from failmodes.ingest.statements import Statement, check_claims, statement_text, stored_form, stored_rows
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query
from failmodes.warehouse.database.tables import stored_claims
from failmodes.warehouse.errors import WarehouseError

SMALL = {"images": 40, "corruptions": ("fog",), "severities": (2, 5)}
MALICIOUS = "<script>alert('A')</script>"


@pytest.fixture(scope="module", autouse=True)
def _without_charts() -> Iterator[None]:
    """Charts are drawn elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "draw_charts", lambda *_: ([], []))
        yield


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of two models, one with a malicious name; copy it before you change it."""
    folder = tmp_path_factory.mktemp("loaded")
    write_synthetic(folder / "out", models=(MALICIOUS, "Beta"), **SMALL)
    load([folder / "out"], folder / "w.duckdb", derivation=DERIVATION)
    return folder / "w.duckdb"


@pytest.fixture
def own(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(loaded, tmp_path / "w.duckdb"))


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the evaluations whose findings were judged from now on, and 'pairs' for those of a selection."""
    calls: list[str] = []
    of_one, of_pairs = stored.evaluation_findings, stored.pair_findings
    monkeypatch.setattr(stored, "evaluation_findings", lambda c, s, e: calls.append(e.label) or of_one(c, s, e))
    monkeypatch.setattr(stored, "pair_findings", lambda *given: calls.append("pairs") or of_pairs(*given))
    return calls


def rows_of(path: Path) -> list[tuple]:
    with open_warehouse(path) as con:
        return con.execute(f"select {', '.join(Finding._fields)} from findings order by position").fetchall()


def judge_all(path: Path) -> list[tuple]:
    """What is judged of all selections at once, with nothing stored."""
    with open_current(path) as con:
        return [tuple(finding) for selection in select(con) for finding in selection_findings(con, selection)]


@pytest.mark.slow
def test_a_load_stores_every_finding_and_readers_judge_and_write_nothing(own: Path, judged: list[str]) -> None:
    content = own.read_bytes()
    found = warehouse_findings(own)
    first = write_report(own).read_bytes()
    assert write_report(own).read_bytes() == first
    assert judged == []
    assert own.read_bytes() == content
    assert rows_of(own) == [tuple(finding) for finding in found] == judge_all(own)


@pytest.mark.slow
@pytest.mark.parametrize("change", ["delete from findings", "update findings set verdict = 'true'"])
def test_what_is_missing_or_not_of_now_is_judged_for_one_call(
    own: Path, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    found = warehouse_findings(own)
    with duckdb.connect(str(own)) as writer:
        writer.execute(change)
    content = own.read_bytes()
    assert warehouse_findings(own) == found
    assert capsys.readouterr().err.count("\n") == 1
    assert own.read_bytes() == content


@pytest.mark.slow
def test_a_load_judges_only_what_it_changed(own: Path, judged: list[str], tmp_path: Path) -> None:
    write_synthetic(tmp_path / "more", models=("Gamma",), **SMALL)
    load([tmp_path / "more"], own, derivation=DERIVATION)
    assert judged == ["Gamma", "pairs"]
    assert {row[Finding._fields.index("model_label")] for row in rows_of(own)} == {MALICIOUS, "Beta", "Gamma"}
    assert rows_of(own) == judge_all(own)
    del judged[:]
    load([tmp_path / "more"], own)  # who does not know the analysis
    assert load([tmp_path / "more"], own, derivation=DERIVATION).swapped is False
    assert judged == []


@pytest.mark.slow
def test_other_code_and_other_settings_make_all_be_derived_again(
    loaded: Path, own: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(own)
    monkeypatch.setattr(stored, "source_hash", lambda *_: "another")
    report = load([loaded.parent / "out"], own, derivation=DERIVATION)
    assert (report.new_shards, report.replaced_shards, report.swapped) == (0, 0, True)
    assert judged == [MALICIOUS, "Beta", "pairs"]
    assert rows_of(own) == before
    change_settings(own, {"flat_below": 0.9, "resamples": 50})
    shapes = of_kind(warehouse_findings(own), "shape")
    assert {(finding.claim, finding.verdict) for finding in shapes} == {("flat", "supported")}


@pytest.fixture
def small(tmp_path: Path) -> tuple[Synthetic, Path]:
    """A record of one model with a warehouse."""
    made = write_synthetic(tmp_path / "out", images=40, models=("Alpha",), corruptions=("fog",), severities=(2, 5))
    load([made.output], tmp_path / "w.duckdb", derivation=DERIVATION)
    return made, tmp_path / "w.duckdb"


@pytest.mark.slow
def test_an_evaluation_that_is_not_whole_is_loaded_without(small: tuple[Synthetic, Path]) -> None:
    made, path = small
    write_synthetic(made.output, images=40, models=("Beta",), corruptions=("fog",), severities=(2, 5))
    predictions = made.output / "results/prediction_facts"
    shutil.rmtree(predictions / f"evaluation_id={made.evaluations['Alpha']}/corruption=none")
    load([made.output], path, rebuild=True, derivation=DERIVATION)
    with open_warehouse(path) as con:
        assert con.execute("select distinct model_label from findings").fetchall() == [("Beta",)]
    with pytest.raises(WarehouseError, match="has no clean cell"):
        warehouse_findings(path)


def test_text_from_an_untrusted_warehouse_is_escaped(own: Path) -> None:
    with duckdb.connect(str(own)) as writer:
        writer.execute("update findings set sentence = '<img src=x>', query = '<b>' where kind = 'prediction_collapse'")
        writer.execute("update findings set verdict = 'supported' where kind = 'prediction_collapse'")
    page = write_report(own).read_text()
    assert "&lt;script&gt;alert(&#39;A&#39;)&lt;/script&gt;" in page
    for markup in (MALICIOUS, "<script>alert", "<img src=x>", "<code><b></code>"):
        assert markup not in page
    assert MALICIOUS not in Warehouse(own).findings()._repr_html_()


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
def claimed(judged_once: Path, tmp_path: Path) -> Path:
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


def test_they_are_stored_with_their_verdicts(claimed: Path, results: Synthetic, asked: list[list[str]]) -> None:
    load([results.output], claimed)  # without a study, which keeps them
    with open_warehouse(claimed) as con:
        assert stored_claims(con) == stored_rows(STATED)
    found = warehouse_claims(claimed)
    assert asked == []
    assert [row.claim for row in found] == [claim.title for claim in STATED for _ in range(2)]
    rows = run_query(claimed, "select claim_number, verdict from claims order by position")
    assert rows.rows() == [(row.claim_number, row.verdict) for row in found]


@pytest.mark.slow
def test_other_claims_are_judged_again(claimed: Path, results: Synthetic, asked: list[list[str]]) -> None:
    for claims, is_swapped in ((STATED, False), (STATED[:1], True)):
        assert load([results.output], claimed, claims=stored_rows(claims), derivation=DERIVATION).swapped is is_swapped
    content = claimed.read_bytes()
    assert len(warehouse_claims(claimed, stated=[FLAT])) == 2
    assert asked == [[stored_form(STATED[0])], [stored_form(FLAT)]]
    assert claimed.read_bytes() == content, "only a load stores them"
    load([results.output], claimed, claims=[], derivation=DERIVATION)
    assert run_query(claimed, "from claims").is_empty()


def test_claims_that_are_given_are_not_stored(claimed: Path) -> None:
    before = claimed.read_bytes()
    found = Warehouse(claimed).claims({"shape": "flat", "corruptions": ["fog"]})
    assert {row.claim for row in found} == {statement_text(FLAT)}
    assert claimed.read_bytes() == before
    assert len(Warehouse(claimed).claims([])) == 0


@pytest.mark.slow
def test_a_stored_claim_that_is_not_understood_is_reported(claimed: Path, results: Synthetic) -> None:
    (nobody,) = stored_rows([FLAT.model_copy(update={"model": "Nobody"})])
    load([results.output], claimed, claims=[("fog flies", "fog flies"), nobody], derivation=DERIVATION)
    found = warehouse_claims(claimed)
    assert [row.verdict for row in found] == ["not_measurable", "not_measurable"]
    assert "no model 'Nobody'" in str(found[1].reason)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", ["update claims set verdict = 'proven' where position = 1", "delete from claims where claim_number = 2"]
)
def test_rows_that_no_load_made_are_judged_again(claimed: Path, change: str) -> None:
    expected = warehouse_claims(claimed)
    with duckdb.connect(str(claimed)) as con:
        con.execute(change)
    assert warehouse_claims(claimed) == expected
