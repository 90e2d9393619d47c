"""Claims and gate rules as TOML: what each relation takes, what is refused with which hint, how a claim is kept."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from statement_forms import FLAT, FOG, FORMS, LIMITED, NOISE, SHIFTED

from failmodes.ingest.statements import (
    RELATIONS,
    CellsOf,
    as_statement,
    check_claims,
    check_gate,
    claims_file,
    claims_of_studies,
    from_stored,
    stored_form,
)
from failmodes.runtime.errors import StudyError
from failmodes.warehouse.curve_shapes import NO_SHAPE, SHAPE_NAMES

# What a claim gets wrong, and what its error says
WRONG: list[tuple[Any, str]] = [
    ("fog is flat", "a claim is a table, not a sentence"),
    (3, "claims.0: input should be"),
    ({}, r"give exactly one of metric, shape and kind \(given: none\)"),
    (LIMITED | {"shape": "flat"}, r"give exactly one of metric, shape and kind \(given: metric and shape\)"),
    ({"metrics": "accuracy"}, "claims.0.metrics: unknown key; did you mean 'metric'"),
    (FOG, "a metric needs a relation: one of at_least, at_most"),
    (FOG | {"relation": "atleast"}, "claims.0.relation: input should be 'at_least'"),
    (FOG | {"relation": "at_least"}, "at_least needs a limit, such as limit = 0.3"),
    (FOG | {"relation": "drop_at_most"}, "drop_at_most needs a limit"),
    (LIMITED | {"limit": 90}, "accuracy is a share, and shares are 0 to 1: write 0.9 for 90%"),
    (LIMITED | {"limit": "0.9"}, "claims.0.limit: input should be a valid number"),
    (LIMITED | {"limit": float("nan")}, "claims.0.limit: input should be a finite number"),
    (LIMITED | {"limit": True}, "claims.0.limit: input should be a valid number"),
    (FOG | {"relation": "drop_at_most", "limit": -0.1}, "drop_at_most takes a margin of 0 or more"),
    (FOG | {"relation": "worse_by_at_most", "limit": -0.1, "baseline": "B"}, "takes a margin of 0 or more"),
    (FOG | {"relation": "worse_by_at_most"}, 'compares with a model: write baseline = "LABEL"'),
    (LIMITED | {"baseline": "B"}, "baseline does not go with at_least: leave it out"),
    (FOG | {"relation": "better_by_at_least", "baseline": "B", "model": "B"}, "are both 'B': name two models"),
    (LIMITED | {"other": NOISE}, "other does not go with at_least"),
    (FOG | {"relation": "less_than", "other": {}}, "give corruptions or severities, as in"),
    (FOG | {"relation": "less_than", "other": {"corruptions": ["fog"]}}, "the cells of the statement itself"),
    (FOG | {"relation": "less_than", "other": {"corruption": ["fog"]}}, "other.corruption: unknown key; did you mean"),
    (FOG | {"relation": "largest_drop", "limit": 0.1}, "limit does not go with largest_drop"),
    (FOG | {"relation": "largest_drop", "severities": [5]}, 'of the mean over severities, or of severities = "last"'),
    (FOG | {"relation": "largest_drop", "over": "each"}, "over does not go with largest_drop"),
    ({"metric": "accuracy", "relation": "largest_drop"}, r'is of one corruption: write corruptions = \["fog"\]'),
    ({"metric": "accuracy", "corruptions": ["none"], "relation": "drop_at_most", "limit": 0.1}, 'leave "none" out'),
    (LIMITED | {"shift": "CIFAR-10.1"}, "corruptions does not go with at_least of a shift"),
    (
        SHIFTED | {"relation": "at_least", "limit": 0.5, "severities": [5]},
        "severities does not go with at_least of a",
    ),
    (SHIFTED | {"relation": "drop_at_most", "limit": 0.1}, "write gap_at_least or gap_at_most for a shift"),
    (SHIFTED | {"relation": "at_least", "limit": 0.1, "over": "each"}, "over does not go with at_least of a shift"),
    (SHIFTED | {"relation": "gap_at_most"}, "gap_at_most needs a limit"),
    (SHIFTED | {"relation": "gap_at_most", "limit": -0.1}, "gap_at_most takes a margin of 0 or more"),
    (FOG | {"relation": "gap_at_most", "limit": 0.1}, 'gap_at_most is of a natural shift: write shift = "LABEL"'),
    (FLAT | {"shift": "CIFAR-10.1"}, "shift does not go with a shape"),
    ({"shape": "flat"}, "a shape is of one corruption"),
    ({"shape": "flat", "corruptions": ["headline"]}, "a shape is of one corruption"),
    (FLAT | {"shape": "linear"}, "claims.0.shape: input should be 'flat', 'rise'"),
    (FLAT | {"severities": [5]}, "severities does not go with a shape"),
    (FLAT | {"limit": 0.1}, "limit does not go with a shape"),
    (FLAT | {"over": "each"}, "over does not go with a shape"),
    (FLAT | {"negate": True}, "negate does not go with a shape"),
    ({"kind": "early_warning", "corruptions": ["fog"]}, "early_warning is about all corruptions and severities"),
    ({"kind": "attention_drift", "score": "margin"}, "score is of a metric, or of kind = 'early_warning'"),
    (LIMITED | {"severities": [0]}, r'severity 0 is clean: write corruptions = \["none"\] instead'),
    (LIMITED | {"severities": [5, 5]}, "severity .* is named twice"),
    (LIMITED | {"severities": [1000]}, "severity 1000 is out of range"),
    (LIMITED | {"severities": []}, r'a list of severities such as \[3, 4, 5\], or "last"'),
    (LIMITED | {"severities": "all"}, r'a list of severities such as \[3, 4, 5\], or "last"'),
    (LIMITED | {"corruptions": ["none"], "severities": [5]}, "is clean, which has no severities: leave them out"),
    (LIMITED | {"corruptions": ["fog", "fog"]}, "corruption 'fog' is named twice"),
    (LIMITED | {"corruptions": []}, "claims.0.corruptions: list should have at least 1 item"),
    (LIMITED | {"corruptions": "fog"}, "claims.0.corruptions: input should be a valid list"),
    (LIMITED | {"name": "a\x1b[31m"}, "it must be printable"),
    (LIMITED | {"over": "all"}, "claims.0.over: input should be 'mean' or 'each'"),
]


@pytest.mark.parametrize("keys", [keys for keys, _ in FORMS])
def test_every_form_is_stored_and_read_back(keys: dict[str, Any]) -> None:
    (statement,) = check_claims([keys], "study.toml")
    stored = stored_form(statement)
    assert json.loads(stored) == keys
    assert from_stored(stored) == statement


def test_every_relation_and_every_shape_is_among_the_forms() -> None:
    assert {keys["relation"] for keys, _ in FORMS if "relation" in keys} == set(RELATIONS)
    shapes = [name for name in SHAPE_NAMES if name != NO_SHAPE]
    assert [check_claims([FLAT | {"shape": shape}], "study")[0].shape for shape in shapes] == shapes


@pytest.mark.parametrize(("keys", "says"), WRONG)
def test_what_is_wrong_is_one_line_with_a_hint(keys: Any, says: str) -> None:
    with pytest.raises(StudyError, match=f"^study.toml: .*{says}") as refused:
        check_claims([keys], "study.toml")
    assert "\n" not in str(refused.value)


def test_defaults_and_severities_to_thousandths() -> None:
    other = {"corruptions": ["snow"], "severities": [2]}
    (statement,) = check_claims([FOG | {"relation": "less_than", "severities": [1.5, 3], "other": other}], "study")
    assert statement.severities == [Decimal("1.5"), Decimal(3)]
    assert statement.other == CellsOf(corruptions=["snow"], severities=[Decimal(2)])
    assert (statement.limit, statement.over) == (0, "mean")
    assert statement.all_corruptions == ["fog", "snow"]


def test_a_claim_that_stands_twice_counts_once_whatever_the_order_of_its_keys() -> None:
    turned = dict(reversed(LIMITED.items()))
    assert len(check_claims([LIMITED, FLAT, turned, LIMITED | {"over": "mean"}], "study")) == 2
    assert len(check_claims([LIMITED | {"limit": step / 100} for step in range(100)], "study")) == 100
    with pytest.raises(StudyError, match="claims: list should have at most 100 items"):
        check_claims([LIMITED | {"limit": step / 1000} for step in range(101)], "study")


def test_what_is_stored_is_json() -> None:
    with pytest.raises(StudyError, match="a stored statement is not valid JSON"):
        from_stored("[" * 100_000)


@pytest.mark.parametrize("limit", [0, 0.0])
def test_a_limit_of_0_is_stored_where_one_is_needed(limit: float) -> None:
    (statement,) = check_claims([FOG | {"relation": "drop_at_most", "limit": limit}], "study")
    assert from_stored(stored_form(statement)) == statement


def test_rules_of_a_gate() -> None:
    rule = FOG | {"relation": "worse_by_at_most", "limit": 0.01}
    gate = check_gate({"gate": {"baseline": "A", "candidate": "B", "rules": [rule, LIMITED]}}, "gate.toml")
    assert gate.level == 0.95
    assert gate.rules == [as_statement(rule), as_statement(LIMITED)]
    study = {"output": "out", "name": "", "gate": {"rules": [LIMITED]}}
    assert check_gate(study, "study.toml").baseline is None  # its other keys are not looked at


@pytest.mark.parametrize(("gate", "says"), [
    ({}, r"gate.toml has no \[gate\] table"),
    ({"gate": {"rules": []}}, "gate.rules: list should have at least 1 item"),
    ({"gate": {"rules": [LIMITED | {"model": "A"}]}}, r"gate.rules.0: a gate names its models in \[gate\]"),
    ({"gate": {"rules": [LIMITED], "level": 0.5}}, "gate.level: input should be greater than 0.5"),
    ({"gate": {"rules": [LIMITED | {"at_least": 0.3}]}}, "gate.rules.0.at_least: unknown key"),
    ({"gate": {"rules": [LIMITED]}, "gates": 3}, "gates: unknown key; did you mean 'gate'"),
])  # fmt: skip
def test_a_gate_that_is_wrong_is_one_line(gate: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        check_gate(gate, "gate.toml")


def test_a_file_of_claims_alone_and_that_of_a_study(tmp_path: Path) -> None:
    claims = '[[claims]]\nshape = "flat"\ncorruptions = ["fog"]\n'
    path = tmp_path / "claims.toml"
    path.write_text(claims)
    assert claims_file(path) == check_claims([FLAT], "study")
    path.write_text(f'output = "out"\nunchecked = 3\n{claims}')
    assert claims_file(path) == check_claims([FLAT], "study")
    path.write_text("[[claim]]\n")
    with pytest.raises(StudyError, match=r"has no claims: write a \[\[claims\]\] table for each"):
        claims_file(path)


def test_claims_of_studies_know_corruptions_unless_the_study_brings_its_own(tmp_path: Path) -> None:
    path, claim = tmp_path / "study.toml", '[[claims]]\nshape = "flat"\ncorruptions = ["fogg"]\n'
    assert claims_of_studies([tmp_path, "memory://bucket/results"]) is None
    path.write_text(claim)
    with pytest.raises(StudyError, match="claims: unknown corruption 'fogg': did you mean 'fog'"):
        claims_of_studies([path])
    for corruptions in ('names = ["my_module:dirt"]', 'names = ["all"]\npublished = "CIFAR-10-C-bar"'):
        path.write_text(f"{claim}[corruptions]\n{corruptions}\n")
        (stated,) = claims_of_studies([tmp_path, path]) or ()
        assert stated.corruptions == ["fogg"]
