"""Judged claims as a table, JSON, JUnit and a frame."""

import json
from xml.etree import ElementTree

import duckdb
import pytest
from verdict_json import ClaimsJson

from failmodes.analysis.judging.claims import ClaimsResult, judge_claims, judge_stored
from failmodes.ingest.statements import check_claims

DROP = {"metric": "accuracy", "corruptions": ["fog"], "severities": [5], "relation": "drop_at_most", "limit": 0.1}
CLAIMS = [
    DROP, {"shape": "near_linear", "corruptions": ["contrast"]},
    {"metric": "accuracy", "corruptions": ["none"], "relation": "more_than", "limit": 0.9},
    {"shape": "flat", "corruptions": ["snow"], "name": "snow"},
]  # fmt: skip
MALICIOUS = '<img src=x onerror=alert(1)> | @all "q"'


@pytest.fixture(scope="module")
def found(con: duckdb.DuckDBPyConnection) -> ClaimsResult:
    return ClaimsResult(judge_claims(con, check_claims(CLAIMS, "claims")))


def test_every_row_is_in_every_format(found: ClaimsResult) -> None:
    numbers = [1, 1, 2, 2, 3, 3, 4, 4]
    verdicts = [row.verdict for row in found]
    rows = json.loads(found.to_json())["verdicts"]
    ClaimsJson.model_validate_json(found.to_json())
    assert [(row["claim_number"], row["verdict"]) for row in rows] == list(zip(numbers, verdicts, strict=True))
    assert rows[0]["decisions"][0]["value"] == pytest.approx(found[0].value)
    (suite,) = ElementTree.fromstring(found.to_junit())
    ended = {"supported": "system-out", "contradicted": "failure", "inconclusive": "skipped", "not_measurable": "error"}
    assert [[child.tag for child in case] for case in suite] == [[ended[verdict]] for verdict in verdicts]
    assert found.to_frame()["verdict"].to_list() == verdicts
    assert found.to_text().count("contradicted") >= verdicts.count("contradicted")


def test_malformed_claims_are_only_shown(con: duckdb.DuckDBPyConnection) -> None:
    result = ClaimsResult(judge_stored(con, [MALICIOUS, "\x1b[31mred", "y" * 5000]))
    assert [row.verdict for row in result] == ["not_measurable"] * 3
    assert "<img" not in result._repr_html_()
    assert "\x1b" not in result.to_text()
    assert len(result.to_text()) < 5000
