"""Rules of a file against warehouses: what passes, fails, is inconclusive or missing."""

from pathlib import Path
from typing import Any

import pytest

import failmodes
from failmodes.analysis.gate.judging import Verdict


def gated(folder: Path, rule: dict[str, Any], where: str = "both.duckdb", **names: str) -> Any:
    named = {"baseline": "Alpha", "candidate": "Noisier"} | names
    rules = {"gate": {**{key: value for key, value in named.items() if value}, "rules": [rule]}}
    return failmodes.gate(rules, folder / where)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rule", "verdict", "code"),
    [
        ({"metric": "accuracy", "worse_by_at_most": 0.2}, "pass", 0),
        ({"metric": "accuracy", "worse_by_at_most": 0.0}, "fail", 1),
        ({"metric": "accuracy", "worse_by_at_most": 0.2, "over": "each"}, "pass", 0),
        ({"metric": "accuracy", "worse_by_at_most": 0.0, "over": "each"}, "fail", 1),
        ({"metric": "accuracy", "corruptions": ["none"], "worse_by_at_most": 0.002}, "inconclusive", 3),
        ({"metric": "accuracy", "at_least": 0.3}, "pass", 0),
        ({"metric": "accuracy", "at_least": 0.95}, "fail", 1),
        ({"metric": "augrc", "at_most": 0.4}, "pass", 0),
        ({"metric": "worst_class_accuracy", "at_least": 0.9, "over": "each", "severities": [5]}, "fail", 1),
        ({"metric": "accuracy", "corruptions": ["snow"], "worse_by_at_most": 0.2}, "missing", 3),
        ({"metric": "accuracy", "severities": [2], "worse_by_at_most": 0.2}, "missing", 3),
    ],
    ids=str,
)
def test_verdicts(gate_folder: Path, rule: dict[str, Any], verdict: Verdict, code: int) -> None:
    result = gated(gate_folder, rule)
    assert [one.verdict for one in result.rules] == [verdict]
    assert (result.exit_code, bool(result)) == (code, code == 0)


@pytest.mark.slow
def test_a_model_is_no_worse_than_itself(gate_folder: Path) -> None:
    """Read from an exported baseline, against the warehouse that it was exported from."""
    rules = {"gate": {"baseline": "alone.duckdb", "rules": [
        {"metric": "accuracy", "worse_by_at_most": 0.01}, {"metric": "ece", "worse_by_at_most": 0.01},
        {"metric": "accuracy", "over": "each", "worse_by_at_most": 0.02},
    ]}}  # fmt: skip
    (gate_folder / "rules").mkdir(exist_ok=True)
    path = gate_folder / "rules" / "gate.toml"
    path.write_text(
        '[gate]\nbaseline = "../alone.duckdb"\n[[gate.rules]]\nmetric = "accuracy"\nworse_by_at_most = 0.01\n'
    )
    result = failmodes.gate(path, gate_folder / "both.duckdb", candidate="Alpha")
    assert result
    assert result.pairing is not None
    assert result.pairing.kind == "same"
    assert result.rules[0].decisions[0].value == 0
    with pytest.raises(failmodes.WarehouseError, match=r"alone\.duckdb"):
        failmodes.gate(rules, gate_folder / "alone.duckdb")  # a mapping's files lie in the current folder


def test_the_names_of_the_call_replace_those_of_the_rules(gate_folder: Path) -> None:
    rules = {"gate": {"candidate": "nobody", "rules": [{"metric": "accuracy", "worse_by_at_most": 0.0}]}}
    result = failmodes.gate(
        rules, failmodes.open(gate_folder / "both.duckdb"), candidate="Alpha",
        baseline=f"{gate_folder / 'both.duckdb'}::Noisier",
    )  # fmt: skip
    assert result
    assert result.baseline is not None
    assert (result.candidate.label, result.baseline.label) == ("Alpha", "Noisier")


@pytest.mark.slow
def test_a_candidate_that_lacks_cells_of_the_baseline_does_not_pass(gate_folder: Path) -> None:
    result = gated(gate_folder, {"metric": "accuracy", "worse_by_at_most": 0.5}, "fewer.duckdb",
                   baseline=str(gate_folder / "alone.duckdb"), candidate="Fewer")  # fmt: skip
    assert [one.verdict for one in result.rules] == ["missing"]
    assert "contrast 1, contrast 3 and contrast 5 are not on record of the candidate" in str(result)
    result = gated(gate_folder, {"metric": "accuracy", "corruptions": ["fog"], "worse_by_at_most": 0.5},
                   "fewer.duckdb", baseline=str(gate_folder / "alone.duckdb"), candidate="Fewer")  # fmt: skip
    assert result


def test_other_images_are_independent_samples_and_said_to_be(gate_folder: Path) -> None:
    result = gated(gate_folder, {"metric": "accuracy", "worse_by_at_most": 0.2, "severities": [1]}, "other.duckdb",
                   baseline=str(gate_folder / "alone.duckdb"), candidate="Other")  # fmt: skip
    assert result.pairing is not None
    assert not result.pairing.is_paired
    assert (
        "300 images and 400 (different ones, compared as independent samples; they are of different data sets)"
        in str(result)
    )


@pytest.mark.slow
def test_rules_without_a_baseline(gate_folder: Path) -> None:
    result = gated(gate_folder, {"metric": "accuracy", "at_least": 0.3}, "alone.duckdb", baseline="", candidate="")
    assert result
    assert result.baseline is None
    assert result.pairing is None
    assert str(result).startswith("Alpha, by failmodes.gate: 95 % level; 400 images; about these checkpoints")
    with pytest.raises(failmodes.StudyError, match="compares with a baseline"):
        gated(gate_folder, {"metric": "accuracy", "worse_by_at_most": 0}, "alone.duckdb", baseline="", candidate="")
    with pytest.raises(failmodes.StudyError, match="holds 2 models: name one"):
        gated(gate_folder, {"metric": "accuracy", "at_least": 0.3}, baseline="", candidate="")


@pytest.mark.slow
def test_inconclusive_may_pass_but_what_is_missing_may_not(gate_folder: Path) -> None:
    inconclusive = {"metric": "accuracy", "corruptions": ["none"], "worse_by_at_most": 0.002}
    missing = {"metric": "accuracy", "corruptions": ["snow"], "worse_by_at_most": 0.2}
    for rules, code in (([inconclusive], 0), ([inconclusive, missing], 3)):
        gate = {"baseline": "Alpha", "candidate": "Noisier", "rules": rules}
        result = failmodes.gate({"gate": gate}, gate_folder / "both.duckdb", inconclusive="pass")
        assert result.exit_code == code
    with pytest.raises(failmodes.StudyError, match="inconclusive is 'maybe': expected 'stop' or 'pass'"):
        failmodes.gate({"gate": {"rules": [inconclusive]}}, gate_folder, inconclusive="maybe")  # type: ignore[arg-type]


def test_a_failed_assertion_says_what_does_not_hold(gate_folder: Path) -> None:
    with pytest.raises(AssertionError) as raised:
        assert gated(gate_folder, {"metric": "accuracy", "over": "each", "worse_by_at_most": 0.01})
    assert "assert <gate stops: FAIL accuracy, each of all corruptions (fog 5: −" in str(raised.value)
    assert "limit: at most 1 point worse)" in str(raised.value)


def test_rules_in_a_study_file_judge_its_own_warehouse(gate_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to(gate_folder)
    path = tmp_path / "study.toml"
    path.write_text('output = "out"\n[gate]\ncandidate = "Alpha"\n[[gate.rules]]\nmetric = "ece"\nat_most = 1\n')
    with pytest.raises(failmodes.WarehouseError, match="there is no warehouse"):
        failmodes.gate(path)
    assert failmodes.gate(path, gate_folder / "both.duckdb")
    with pytest.raises(failmodes.StudyError, match=r"no rules at .*gone\.toml"):
        failmodes.gate(tmp_path / "gone.toml")
