"""What a gate found as text, JSON, JUnit XML and Markdown, whatever labels hold."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import failmodes
from failmodes.analysis.judging.gate_result import GateResult

RULES: list[dict[str, Any]] = [
    {"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.2},
    {"metric": "accuracy", "over": "each", "relation": "worse_by_at_most", "limit": 0.02},
    {"metric": "accuracy", "corruptions": ["none"], "relation": "worse_by_at_most", "limit": 0.002,
     "name": "clean as good"},
    {"metric": "augrc", "score": "margin", "corruptions": ["fog", "snow"], "relation": "at_most", "limit": 0.4},
]  # fmt: skip
MALICIOUS = 'A|B <script>"]]>&`@all` [x](http://x)\x1b[31m\u202e\ufffe\n# top'


@pytest.fixture(scope="module")
def result(gate_folder: Path) -> GateResult:
    gate = {"baseline": "Alpha", "candidate": "Noisier", "rules": RULES}
    return failmodes.gate({"gate": gate}, gate_folder / "both.duckdb")


@pytest.fixture
def malicious(result: GateResult) -> GateResult:
    return replace(result, candidate=replace(result.candidate, label=MALICIOUS), origin=MALICIOUS)


def test_the_text_has_a_line_a_rule_the_sum_and_what_to_do(result: GateResult) -> None:
    first, *rules, total, compare, missing, inconclusive = str(result).splitlines()
    assert first.startswith("Noisier against Alpha, by failmodes.gate: 95 % level; the same 400 images; about these")
    assert [line.split()[0] for line in rules] == ["pass", "FAIL", "inconclusive", "NOT"]
    estimate = result.rules[0].verdicts[0].estimate
    assert estimate is not None
    text = f"{100 * estimate.value:.2f} points, shown to be {100 * estimate.low:.2f} points or more"
    assert text.replace("-", "\u2212") in rules[0]
    assert " is at most 20 points worse than that of the baseline: " in rules[0]
    assert "fail in 3 of 6 cells, inconclusive in 3: fog 5: " in rules[1]
    assert f"about {result.rules[2].images_needed:,}"[:8] in rules[2]
    assert "clean as good: accuracy on clean images is at most 0.2 points worse" in rules[2]
    assert (
        "AUGRC by margin on average over fog and snow is at most 0.4: snow is not on record of the candidate"
        in rules[3]
    )
    assert total == "1 of 4 rules passes, 1 fails, 1 is inconclusive, 1 is not measurable: the gate stops (exit code 1)"
    assert all(line.startswith("next: ") for line in (compare, missing, inconclusive))


def test_json_holds_what_the_verdicts_rest_on(result: GateResult) -> None:
    content = json.loads(result.to_json())
    assert (content["passed"], content["exit_code"], content["level"], content["about"]) == (
        False, 1, 0.95, "checkpoints"
    )  # fmt: skip
    assert content["images_paired"] is True
    assert content["candidate"]["evaluations"] == list(result.candidate.evaluation_ids)
    assert [rule["verdict"] for rule in content["rules"]] == ["pass", "fail", "inconclusive", "not_measurable"]
    each = content["rules"][1]
    assert (each["relation"], each["limit"], each["over"], each["unit"], each["better"]) == (
        "worse_by_at_most", 0.02, "each", "share", "higher"
    )  # fmt: skip
    for decision in each["decisions"]:
        good = decision["low"] >= -0.02
        bad = decision["high"] < -0.02
        assert decision["verdict"] == ("pass" if good else "fail" if bad else "inconclusive")
    assert {tuple(d["cells"][0].values()) for d in each["decisions"]} == {
        (c, s) for c in ("fog", "contrast") for s in (1.0, 3.0, 5.0)
    }


def test_junit_has_a_case_a_rule_or_cell(result: GateResult) -> None:
    suites = ElementTree.fromstring(result.to_junit())
    (suite,) = suites
    assert (suites.tag, suite.tag) == ("testsuites", "testsuite")
    cases = list(suite)
    assert [case.tag for case in cases] == ["testcase"] * 9
    assert {(case.get("classname"), case.get("name")) for case in cases if case.find("system-out") is None} >= {
        ("failmodes.gate.clean as good", "mean"),
    }
    verdicts = [one.verdict for rule in result.rules for one in rule.verdicts]
    kinds = {"supported": "system-out", "contradicted": "failure", "inconclusive": "failure", "not_measurable": "error"}
    assert [[child.tag for child in case] for case in cases] == [[kinds[verdict]] for verdict in verdicts]
    counts = {name: int(suite.get(name, "")) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 9, "failures": verdicts.count("contradicted") + verdicts.count("inconclusive"),
                      "errors": 1, "skipped": 0}  # fmt: skip
    passing = ElementTree.fromstring(replace(result, inconclusive="pass").to_junit())[0]
    assert passing.get("skipped") == str(verdicts.count("inconclusive"))


def test_markdown_is_a_table_of_rules(result: GateResult) -> None:
    lines = result.to_markdown().splitlines()
    assert lines[0] == "### Gate stops: Noisier against Alpha"
    rows = [line for line in lines if line.startswith("|")]
    assert len(rows) == 2 + len(RULES)
    assert all(line.count("|") == 4 for line in rows)
    assert rows[3].startswith("| **fail** | accuracy under each corruption at each severity is at most 2 points worse")
    assert len(result.to_markdown()) < 3000


def test_labels_from_outside_are_only_shown(malicious: GateResult, gate_folder: Path) -> None:
    shown = 'A|B <script>"]]>&`@all` [x](http://x)\\x1b[31m\\u202e\\ufffe # top'
    assert str(malicious).startswith(f"{shown} against Alpha, by {shown}: ")
    suite = ElementTree.fromstring(malicious.to_junit())[0]
    name = suite.get("name")
    assert name is not None
    assert shown in name
    assert json.loads(malicious.to_json())["candidate"]["label"] == MALICIOUS
    heading = malicious.to_markdown().splitlines()[0]
    assert heading == f"### Gate stops: `` {shown} `` against Alpha"
    assert "\n# top" not in malicious.to_markdown()
    named = {"gate": {"candidate": "Alpha", "rules": [RULES[3] | {"name": "a|b `c`"}]}}
    row = failmodes.gate(named, gate_folder / "both.duckdb").to_markdown().splitlines()[6]
    assert row.startswith(
        "| **not measurable** | `` a\\|b `c` ``: AUGRC by margin on average over fog and snow is at most 0.4 | "
    )


@pytest.mark.slow
def test_decisions_of_shapes_kinds_and_largest_drops_are_named_by_what_they_are_of(gate_folder: Path) -> None:
    rules = [
        {"shape": "abrupt", "corruptions": ["fog"]},
        {"kind": "attention_drift"},
        {"metric": "accuracy", "relation": "largest_drop", "corruptions": ["contrast"]},
    ]
    found = failmodes.gate({"gate": {"candidate": "Alpha", "rules": rules}}, gate_folder / "both.duckdb")
    shape, kind, largest = json.loads(found.to_json())["rules"]
    assert (shape["shape"], kind["kind"], largest["relation"]) == ("abrupt", "attention_drift", "largest_drop")
    assert shape["decisions"][0]["cells"] == [{"corruption": "fog", "severity": None}]
    assert [one["cells"][0]["corruption"] for one in kind["decisions"]] == ["fog", "contrast"]
    cases = ElementTree.fromstring(found.to_junit())[0]
    assert [case.get("name") for case in cases] == ["mean", "fog", "contrast", "contrast", "fog"]
    assert (
        str(found).count(
            "accuracy drops most under contrast on average over severities: in all 2 cells; nearest to the limit is "
        )
        == 1
    )
