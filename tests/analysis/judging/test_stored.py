"""Findings and claims in the warehouse: a load stores them, readers show them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_comparisons import of_kind
from run_commands import run
from synthetic_results import write_synthetic
from warehouse_files import change_file

from failmodes.analysis.evaluations.selection import EvaluationInfo, Selection, select
from failmodes.analysis.judging import derivation, stored
from failmodes.analysis.judging.derivation import DERIVATION, change_settings, derive_again
from failmodes.analysis.judging.findings.correction import selection_findings
from failmodes.analysis.judging.findings.kind import Finding, Kind
from failmodes.analysis.judging.statement import stored_rows, title_of
from failmodes.analysis.judging.stored import open_current, warehouse_claims, warehouse_findings
from failmodes.analysis.report import rendering
from failmodes.analysis.report.rendering import write_report
from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.ingest.statements import as_statement, check_claims, stored_form
from failmodes.runtime.errors import WarehouseError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query

pytestmark = pytest.mark.test_all

SMALL = {"images": 60, "corruptions": ("fog", "contrast"), "severities": (2, 5)}
MALICIOUS = "<script>alert('A')</script>"
STATED = check_claims([
    {"metric": "accuracy", "corruptions": ["fog"], "severities": [5], "relation": "drop_at_most", "limit": 0.6},
    {"shape": "near_linear", "corruptions": ["contrast"], "name": "<img src=y>"},
], "claims")  # fmt: skip
FLAT = as_statement({"shape": "flat", "corruptions": ["fog"]})


@pytest.fixture(scope="module", autouse=True)
def _without_charts() -> Iterator[None]:
    """Charts are drawn elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "draw_charts", lambda *_: ([], []))
        yield


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of two models, one with a malicious name, and two claims; copy it before you change it."""
    folder = tmp_path_factory.mktemp("loaded")
    write_synthetic(folder / "out", models=(MALICIOUS, "Beta"), **SMALL)
    load([folder / "out"], folder / "w.duckdb", claims=stored_rows(STATED), derivation=DERIVATION)
    return folder / "w.duckdb"


@pytest.fixture
def own(loaded: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(loaded, tmp_path / "w.duckdb"))


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the evaluations whose findings were judged from now on, and claims."""
    calls: list[str] = []
    judge = derivation.selection_findings
    judge_claims = stored.judge_stored
    monkeypatch.setattr(
        derivation,
        "selection_findings",
        lambda con, own, known: calls.extend(own.labels.values()) or judge(con, own, known),
    )
    for module in (derivation, stored):
        monkeypatch.setattr(
            module, "judge_stored", lambda con, claims, *more: calls.extend(claims) or judge_claims(con, claims, *more)
        )
    return calls


def rows_of(path: Path) -> list[tuple]:
    with open_warehouse(path) as con:
        return con.execute(f"select {', '.join(Finding._fields)} from findings order by position").fetchall()


def judge_all(path: Path) -> list[tuple]:
    """What is judged of all selections at once, with nothing stored."""
    with open_current(path) as con:
        return [tuple(finding) for selection in select(con) for finding in selection_findings(con, selection)]


def test_a_load_stores_everything_and_readers_judge_and_write_nothing(own: Path, judged: list[str]) -> None:
    content = own.read_bytes()
    found = warehouse_findings(own)
    claims = warehouse_claims(own)
    first = write_report(own).read_bytes()
    assert write_report(own).read_bytes() == first
    assert len(Warehouse(own).claims({"shape": "flat", "corruptions": ["fog"]})) == 2, "given ones are not stored"
    assert len(Warehouse(own).claims([])) == 0
    assert judged == []
    assert own.read_bytes() == content
    assert rows_of(own) == [tuple(finding) for finding in found] == judge_all(own)
    assert [row.claim for row in claims] == [title_of(claim) for claim in STATED for _ in range(2)]
    rows = run_query(own, "select claim_number, verdict from claims order by position")
    assert rows.rows() == [(row.claim_number, row.verdict) for row in claims]


MISSING = [
    "delete from findings", "update findings set verdict = 'true'", "delete from claims where claim_number = 2",
    "update claims set verdict = 'proven' where position = 1", "delete from shapes",
    "update shapes set shape = 'round'",
]  # fmt: skip


def test_what_no_load_derived_is_refused_until_it_is_derived_again(loaded: Path, own: Path, tmp_path: Path) -> None:
    shutil.copytree(loaded.parent / "out", tmp_path, dirs_exist_ok=True)  # results beside it change nothing
    for change in MISSING:
        damaged = change_file(shutil.copy(loaded, tmp_path / "damaged.duckdb"), change)
        with pytest.raises(WarehouseError, match="`failmodes load .*damaged.duckdb --rebuild` derives them again"):
            warehouse_findings(damaged)
    change_file(own, *MISSING)
    run("load", own.name, "--rebuild", folder=tmp_path)
    assert (warehouse_findings(own), warehouse_claims(own)) == (warehouse_findings(loaded), warehouse_claims(loaded))


def test_a_warehouse_alone_is_derived_again_and_says_who_derived_it(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = warehouse_findings(own), warehouse_claims(own)
    change_file(own, "update warehouse_info set failmodes_version = '0.0.1'")
    assert (warehouse_findings(own), warehouse_claims(own))[1] == expected[1]
    assert capsys.readouterr().err.count("failmodes 0.0.1 derived the results") == 2
    derive_again(own)
    assert (warehouse_findings(own), warehouse_claims(own)) == expected
    assert capsys.readouterr().err == ""


def test_a_load_judges_only_if_something_changed(loaded: Path, own: Path, judged: list[str], tmp_path: Path) -> None:
    write_synthetic(tmp_path / "more", models=("Gamma",), **SMALL)
    load([tmp_path / "more"], own, derivation=DERIVATION)
    forms = [stored_form(claim) for claim in STATED]
    assert judged == [MALICIOUS, "Beta", "Gamma", *forms]
    assert {row[Finding._fields.index("model_label")] for row in rows_of(own)} == {MALICIOUS, "Beta", "Gamma"}
    assert rows_of(own) == judge_all(own)
    del judged[:]
    load([tmp_path / "more"], own)  # who does not know the analysis, and keeps the claims of the study
    for claims, is_swapped in ((STATED, False), (STATED[:1], True)):
        again = load([tmp_path / "more"], own, claims=stored_rows(claims), derivation=DERIVATION)
        assert again.swapped is is_swapped
    content = own.read_bytes()
    assert len(warehouse_claims(own, stated=[FLAT])) == 3
    assert judged == [forms[0], stored_form(FLAT)]
    assert own.read_bytes() == content, "only a load stores them"
    load([tmp_path / "more"], own, claims=[], derivation=DERIVATION)
    assert run_query(own, "from claims").is_empty()


def test_adding_a_model_measures_that_model_alone(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = set[str]()
    of_evaluation = Kind.of_evaluation

    def noted(kind: Kind, con: Any, selection: Selection, evaluation: EvaluationInfo) -> list[Finding]:
        measured.update([] if kind.is_condition else [evaluation.label])
        return of_evaluation(kind, con, selection, evaluation)

    write_synthetic(tmp_path / "more", models=("Gamma",), **SMALL)
    monkeypatch.setattr(Kind, "of_evaluation", noted)
    load([tmp_path / "more"], own, claims=[], derivation=DERIVATION)  # which would be judged of all
    assert measured == {"Gamma"}
    assert rows_of(own) == judge_all(own)


def test_other_code_and_other_settings_make_all_be_derived_again(
    loaded: Path, own: Path, judged: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows_of(own)
    monkeypatch.setattr(derivation, "source_hash", lambda *_: "another")
    report = load([loaded.parent / "out"], own, derivation=DERIVATION)
    assert (report.new_shards, report.replaced_shards, report.swapped) == (0, 0, True)
    assert judged[:2] == [MALICIOUS, "Beta"]
    assert rows_of(own) == before
    change_settings(own, {"flat_below": 0.9, "resamples": 50})
    shapes = of_kind(warehouse_findings(own), "shape")
    assert {(finding.claim, finding.verdict) for finding in shapes} == {("flat", "supported")}


def test_an_evaluation_that_is_not_whole_is_loaded_without(loaded: Path, tmp_path: Path) -> None:
    results = Path(shutil.copytree(loaded.parent / "out", tmp_path / "out"))
    path = tmp_path / "w.duckdb"
    with open_warehouse(loaded) as con:
        query = "select evaluation_id from evaluation_labels where model_label = ?"
        ((evaluation_id,),) = con.execute(query, [MALICIOUS]).fetchall()
    shutil.rmtree(results / f"results/prediction_facts/evaluation_id={evaluation_id}/corruption=none")
    load([results], path, derivation=DERIVATION)
    with open_warehouse(path) as con:
        assert con.execute("select distinct model_label from findings").fetchall() == [("Beta",)]
    with pytest.raises(WarehouseError, match="has no clean cell"):
        warehouse_findings(path)


def test_text_from_an_untrusted_warehouse_is_escaped_in_a_notebook(loaded: Path) -> None:
    w = Warehouse(loaded)
    for page in (w.findings()._repr_html_(), w._repr_html_()):
        assert MALICIOUS not in page
        assert "&lt;script&gt;" in page
    assert w.table("models", model_label=MALICIOUS).height == 1


def test_text_from_an_untrusted_warehouse_is_escaped_in_a_report(own: Path) -> None:
    change_file(
        own,
        "update findings set sentence = '<img src=x>', query = '<b>' where kind = 'prediction_collapse'",
        "update findings set verdict = 'supported' where kind = 'prediction_collapse'",
    )
    page = write_report(own).read_text()
    assert "&lt;script&gt;alert(&#39;A&#39;)&lt;/script&gt;" in page
    for markup in (MALICIOUS, "<script>alert", "<img src=x>", "<img src=y>", "<code><b></code>"):
        assert markup not in page
    assert page.count('id="claims-1"') == page.count('<a href="#claims-1">') == 1


def test_a_stored_claim_that_is_not_understood_is_reported(loaded: Path, own: Path) -> None:
    (nobody,) = stored_rows([FLAT.model_copy(update={"model": "Nobody"})])
    load([loaded.parent / "out"], own, claims=[("fog flies", "fog flies"), nobody], derivation=DERIVATION)
    found = warehouse_claims(own)
    assert [row.verdict for row in found] == ["not_measurable", "not_measurable"]
    assert "no model 'Nobody'" in str(found[1].reason)
