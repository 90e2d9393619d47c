"""What a gate found: a table of rules, JSON, and JUnit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from verdict_json import GateJson

import failmodes
from failmodes.analysis.judging.gate import GateResult
from failmodes.analysis.render.blocks import Sentence, Table

RULES: list[dict[str, Any]] = [
    {"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.2},
    {"metric": "accuracy", "over": "each", "relation": "worse_by_at_most", "limit": 0.02},
    {"metric": "accuracy", "corruptions": ["none"], "relation": "worse_by_at_most", "limit": 0.002,
     "name": "clean as good"},
    {"metric": "augrc", "score": "margin", "corruptions": ["fog", "snow"], "relation": "at_most", "limit": 0.4},
]  # fmt: skip


@pytest.fixture(scope="module")
def result(gate_folder: Path) -> GateResult:
    gate = {"baseline": "Alpha", "candidate": "Noisier", "rules": RULES}
    return failmodes.gate({"gate": gate}, gate_folder / "both.duckdb")


def test_a_row_a_rule_with_its_verdict_and_result(result: GateResult) -> None:
    summary = next(block for block in result.document.blocks[1:] if isinstance(block, Sentence))
    (table,) = (block for block in result.document.blocks if isinstance(block, Table))
    assert "1 pass, 1 fail, 1 inconclusive and 1 not measurable (exit code 1)" in summary.text
    verdicts, rules, results = zip(*([cell.text for cell in row] for row in table.rows), strict=True)
    assert verdicts == ("✓ pass", "✗ fail", "? inconclusive", "– not measurable")
    assert rules[2].startswith("clean as good: ")
    value, low, _ = result.rules[0].decisions[0].estimate[:3]
    assert f"{100 * value:.2f}\u00a0points".replace("-", "\u2212") in results[0]
    assert f"{100 * low:.2f}\u00a0points".replace("-", "\u2212") in results[0]
    assert "fail in 3 of 6\u00a0cells" in results[1]
    assert "snow is missing" in results[3]


def test_json_holds_what_the_verdicts_rest_on(result: GateResult) -> None:
    content = json.loads(result.to_json())
    GateJson.model_validate(content)
    assert (content["passed"], content["exit_code"], content["level"], content["is_about_training"]) == (
        False, 1, 0.95, False
    )  # fmt: skip
    assert content["pairing"]["kind"] == "same"
    assert content["candidate"]["evaluation_ids"] == list(result.candidate.evaluation_ids)
    assert [rule["verdict"] for rule in content["verdicts"]] == [
        "supported", "contradicted", "inconclusive", "not_measurable"
    ]  # fmt: skip
    each = content["verdicts"][1]
    keys = each["keys"]
    assert (keys["relation"], keys["limit"], keys["over"]) == ("worse_by_at_most", 0.02, "each")
    for one in each["decisions"]:
        assert (one["verdict"] == "supported", one["verdict"] == "contradicted") == (
            one["low"] >= -0.02, one["high"] < -0.02
        )  # fmt: skip
        assert (one["unit"], one["n"], one["level"]) == ("difference of shares", 400, 0.95)
    assert {tuple(d["cells"][0].values()) for d in each["decisions"]} == {
        (c, s) for c in ("fog", "contrast") for s in (1.0, 3.0, 5.0)
    }


def test_junit_has_a_case_a_rule_or_cell(result: GateResult) -> None:
    suites = ElementTree.fromstring(result.to_junit())
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    cases = list(suite)
    assert ("failmodes.gate.clean as good", "mean") in {(case.get("classname"), case.get("name")) for case in cases}
    verdicts = [one.verdict for rule in result.rules for one in rule.decisions]
    kinds = {"supported": "system-out", "contradicted": "failure", "inconclusive": "failure", "not_measurable": "error"}
    assert [[child.tag for child in case] for case in cases] == [[kinds[verdict]] for verdict in verdicts]
    counts = {name: int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 9, "failures": verdicts.count("contradicted") + verdicts.count("inconclusive"),
                      "errors": 1, "skipped": 0}  # fmt: skip
    passing = ElementTree.fromstring(replace(result, inconclusive="pass").to_junit())[0]
    assert passing.get("skipped") == str(verdicts.count("inconclusive"))
