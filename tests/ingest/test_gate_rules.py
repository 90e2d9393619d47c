"""Rules of a gate as a file says them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from failmodes.ingest.gate_rules import check_gate
from failmodes.warehouse.errors import StudyError

RULE = {"metric": "accuracy", "at_least": 0.7}


def gate_of(rule: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {"gate": {"rules": [rule], **keys}}


def test_a_rule_has_the_defaults_that_are_documented() -> None:
    gate = check_gate(gate_of(RULE), "rules.toml")
    (rule,) = gate.rules
    assert (gate.level, gate.baseline, gate.candidate) == (0.95, None, None)
    assert (rule.over, rule.corruptions, rule.severities, rule.score, rule.name) == ("mean", None, None, None, None)
    assert (rule.limit_key, rule.limit, rule.is_relative) == ("at_least", 0.7, False)


def test_numbers_are_taken_as_toml_writes_them() -> None:
    rule = {"metric": "accuracy", "worse_by_at_most": 0, "severities": [1, 2.5]}
    (rule,) = check_gate(gate_of(rule), "rules.toml").rules
    assert (rule.limit_key, rule.limit, rule.is_relative) == ("worse_by_at_most", 0.0, True)
    assert rule.severities == [Decimal("1.000"), Decimal("2.500")]


def test_other_keys_of_a_study_are_not_looked_at() -> None:
    study = {"name": "x", "output": "out", "dataset": {"kind": "nothing we know"}, **gate_of(RULE)}
    assert check_gate(study, "study.toml").rules[0].metric == "accuracy"


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ({}, "rules.toml has no [gate] table: write [gate]"),
        ({"rules": [RULE]}, "rules.toml has no [gate] table"),
        ({"gate": 3}, "rules.toml: gate: "),
        ({"gate": {}}, "rules.toml: gate.rules: this key is missing"),
        ({"gate": {"rules": []}}, "rules.toml: gate.rules: "),
        ({"gat": 1, **gate_of(RULE)}, "rules.toml: gat: unknown key; did you mean 'gate'?"),
        (gate_of(RULE, levle=0.9), "rules.toml: gate.levle: unknown key; did you mean 'level'?"),
        (gate_of(RULE, level=0.5), "rules.toml: gate.level: input should be greater than 0.5 (given: 0.5)"),
        (gate_of(RULE, level=1), "rules.toml: gate.level: input should be less than 1 (given: 1)"),
        (gate_of(RULE, level="0.9"), "rules.toml: gate.level: "),
        (gate_of(RULE, baseline=""), "rules.toml: gate.baseline: "),
        (gate_of({"metric": "accuracy"}), "needs exactly one of worse_by_at_most, at_least and at_most (given: none)"),
        (gate_of(RULE | {"at_most": 1}), "(given: at_least and at_most)"),
        (gate_of(RULE | {"at_lest": 1}), "gate.rules.0.at_lest: unknown key; did you mean 'at_least'?"),
        (gate_of(RULE | {"at_least": True}), "gate.rules.0.at_least: "),
        (gate_of(RULE | {"at_least": float("nan")}), "gate.rules.0.at_least: "),
        (gate_of({"metric": "ece", "worse_by_at_most": -0.1}), "gate.rules.0.worse_by_at_most: "),
        (gate_of(RULE | {"severities": [0]}), 'severity 0 is clean: write corruptions = ["none"] instead'),
        (gate_of(RULE | {"severities": [6]}), "severity 6 is out of range"),
        (gate_of(RULE | {"severities": ["3"]}), "severity '3' is no number"),
        (gate_of(RULE | {"severities": [1, 1.0]}), "is named twice"),
        (gate_of(RULE | {"severities": []}), "gate.rules.0.severities: "),
        (gate_of(RULE | {"severities": 3}), "gate.rules.0.severities: "),
        (gate_of(RULE | {"corruptions": []}), "gate.rules.0.corruptions: "),
        (gate_of(RULE | {"corruptions": "fog"}), "gate.rules.0.corruptions: "),
        (gate_of(RULE | {"corruptions": ["fog", "fog"]}), "corruption 'fog' is named twice"),
        (gate_of(RULE | {"corruptions": ["none"], "severities": [1]}), "is clean, which has no severities"),
        (gate_of(RULE | {"over": "all"}), "gate.rules.0.over: input should be 'mean' or 'each' (given: 'all')"),
        (gate_of(RULE | {"name": "a\nb"}), "gate.rules.0.name: it must be printable"),
        (gate_of(RULE | {"metric": ""}), "gate.rules.0.metric: "),
    ],
    ids=str,
)
def test_what_is_wrong_is_one_line(content: dict[str, Any], line: str) -> None:
    with pytest.raises(StudyError) as raised:
        check_gate(content, "rules.toml")
    assert line in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_study_file_holds_the_same_table(tmp_path: Path) -> None:
    from failmodes.evaluate.study.reading import read_study

    text = 'name = "x"\noutput = "out"\n[dataset]\nkind = "digits"\n'
    text += '[gate]\nbaseline = "A"\n[[gate.rules]]\nmetric = "ece"\n'
    (tmp_path / "study.toml").write_text(text + "worse_by_at_most = 0.01\n")
    study = read_study(tmp_path / "study.toml", require_models=False)
    assert study.gate is not None
    assert (study.gate.baseline, study.gate.rules[0].limit) == ("A", 0.01)
    (tmp_path / "study.toml").write_text(text + "worse_by_at_least = 0.01\n")
    with pytest.raises(StudyError, match=r"gate\.rules\.0\.worse_by_at_least: unknown key"):
        read_study(tmp_path / "study.toml", require_models=False)
