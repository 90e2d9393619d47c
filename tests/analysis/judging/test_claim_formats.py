"""Judged claims as a table, JSON, JUnit, a frame, and a part of the report."""

import json
from pathlib import Path
from xml.etree import ElementTree

import duckdb
import pytest
from synthetic_results import write_synthetic

from failmodes.analysis.judging.claims import judge_claims, judge_stored
from failmodes.analysis.judging.claims_result import ClaimsResult, number_text
from failmodes.analysis.judging.stored import DERIVATION
from failmodes.analysis.report import rendering
from failmodes.analysis.report.rendering import write_report
from failmodes.ingest.statements import check_claims, stored_rows
from failmodes.warehouse.database.load import load

DROP = {"metric": "accuracy", "corruptions": ["fog"], "severities": [5], "relation": "drop_at_most", "limit": 0.1}
CLAIMS = [
    DROP, {"shape": "near_linear", "corruptions": ["contrast"]},
    {"metric": "accuracy", "corruptions": ["none"], "relation": "more_than", "limit": 0.9},
    {"kind": "attention_drift", "corruptions": ["fog"]}, {"shape": "flat", "corruptions": ["snow"], "name": "snow"},
]  # fmt: skip
MALICIOUS = '<img src=x onerror=alert(1)> | @all "q"'


@pytest.fixture(scope="module")
def found(con: duckdb.DuckDBPyConnection) -> ClaimsResult:
    return ClaimsResult(judge_claims(con, check_claims(CLAIMS, "claims")))


def test_numbers_are_in_their_unit(found: ClaimsResult) -> None:
    texts = [number_text(row).replace("\u00a0", " ") for row in found[::2]]
    assert texts[0].startswith("50.2 points [")
    assert texts[1].startswith("49.8 points [")
    assert texts[2].startswith("95.0% [")
    assert "% [" in texts[3]
    assert texts[4] == "\u2013"


def test_a_test_case_a_row(found: ClaimsResult) -> None:
    (suite,) = ElementTree.fromstring(found.to_junit())
    ended = {"supported": "system-out", "contradicted": "failure", "inconclusive": "skipped", "not_measurable": "error"}
    assert [[child.tag for child in case] for case in suite] == [[ended[row.verdict]] for row in found]


def test_json_has_every_row(found: ClaimsResult) -> None:
    document = json.loads(found.to_json())
    assert [row["claim_number"] for row in document["claims"]] == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert [row["verdict"] for row in document["claims"][:2]] == ["contradicted"] * 2
    assert document["claims"][0]["value"] == pytest.approx(found[0].value)


def test_a_frame_has_the_columns_of_the_table(found: ClaimsResult) -> None:
    frame = found.to_frame()
    assert frame.height == len(found) == 10
    assert frame.filter(claim="snow")["n"].null_count() == 2
    assert found[1:3] == (found[1], found[2])


def test_malformed_claims_are_only_shown(con: duckdb.DuckDBPyConnection) -> None:
    result = ClaimsResult(judge_stored(con, [MALICIOUS, "\x1b[31mred", "y" * 5000]))
    assert [row.verdict for row in result] == ["not_measurable"] * 3
    assert "<img" not in result._repr_html_()
    assert "\x1b" not in result.to_text()
    assert len(result.to_text()) < 5000


@pytest.mark.slow
def test_a_report_has_the_claims_behind_the_charts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "draw_charts", lambda *_: ([], []))  # drawn elsewhere
    made = write_synthetic(tmp_path / "out", images=60, corruptions=("fog", "contrast"), severities=(2, 5))
    path = tmp_path / "w.duckdb"
    claims = stored_rows(check_claims([DROP, DROP | {"name": MALICIOUS}], "claims"))
    load([made.output], path, claims=claims, derivation=DERIVATION)
    page = write_report(path).read_text(encoding="utf-8")
    assert page.index('id="verdict-1"') < page.index('id="claims-1"') < page.index('id="details-1"')
    assert '<a href="#claims-1">' in page
    assert "<img src=x" not in page
    assert "<code>from cell_metrics where metric = " in page
    load([made.output], path, claims=[], derivation=DERIVATION)
    assert 'id="claims-1"' not in write_report(path).read_text(encoding="utf-8")
