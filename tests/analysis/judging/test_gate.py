"""Rules of a file against warehouses: what passes, fails, is inconclusive or not measurable."""

from pathlib import Path
from typing import Any

import pytest
from synthetic_results import Synthetic

import failmodes
from failmodes.analysis.statistics.estimate import Word

ACCURACY = {"metric": "accuracy"}
NO_WORSE = ACCURACY | {"relation": "worse_by_at_most"}
AT_LEAST = ACCURACY | {"relation": "at_least", "limit": 0.3}
INCONCLUSIVE = NO_WORSE | {"corruptions": ["none"], "limit": 0.002}
MISSING = NO_WORSE | {"corruptions": ["snow"], "limit": 0.2}


def gated(where: Path, *rules: dict[str, Any], **names: str) -> Any:
    named = {"baseline": "Alpha", "candidate": "Noisier"} | names
    return failmodes.gate({"gate": {**{key: value for key, value in named.items() if value}, "rules": rules}}, where)


@pytest.mark.parametrize(
    ("rule", "verdict", "code"),
    [
        (NO_WORSE | {"limit": 0.2}, "supported", 0),
        (NO_WORSE, "contradicted", 1),
        (NO_WORSE | {"over": "each"}, "contradicted", 1),
        (INCONCLUSIVE, "inconclusive", 3),
        (AT_LEAST | {"limit": 0.95}, "contradicted", 1),
        ({"metric": "worst_class_accuracy", "relation": "at_least", "limit": 0.9, "over": "each", "severities": [5]},
         "contradicted", 1),
        (MISSING, "not_measurable", 3),
        ({"shape": "abrupt", "corruptions": ["fog"]}, "supported", 0),
        pytest.param({"shape": "near_linear", "corruptions": ["fog"]}, "contradicted", 1, marks=pytest.mark.test_all),
        ({"kind": "attention_off_object", "corruptions": ["fog"], "negate": True}, "contradicted", 1),
    ],
    ids=str,
)  # fmt: skip
def test_verdicts(gate_folder: Path, rule: dict[str, Any], verdict: Word, code: int) -> None:
    result = gated(gate_folder / "both.duckdb", rule)
    assert [one.verdict for one in result.rules] == [verdict]
    assert (result.exit_code, bool(result)) == (code, code == 0)


def test_a_model_is_no_worse_than_itself(gate_folder: Path) -> None:
    """Read from an exported baseline, against the warehouse that it was exported from."""
    (gate_folder / "rules").mkdir(exist_ok=True)
    path = gate_folder / "rules" / "gate.toml"
    path.write_text(
        '[gate]\nbaseline = "../alone.duckdb"\n[[gate.rules]]\nmetric = "accuracy"\n'
        'relation = "worse_by_at_most"\nlimit = 0.01\n'
    )
    result = failmodes.gate(path, gate_folder / "both.duckdb", candidate="Alpha")
    assert result.pairing.kind == "same"
    assert result.rules[0].decisions[0].estimate.value == 0
    with pytest.raises(failmodes.WarehouseError, match=r"alone\.duckdb"):  # a mapping's files lie in the current folder
        gated(gate_folder / "alone.duckdb", NO_WORSE, baseline="alone.duckdb", candidate="Alpha")


@pytest.mark.test_all
def test_rules_without_a_baseline(gate_folder: Path) -> None:
    nobody = {"baseline": "", "candidate": ""}
    result = gated(gate_folder / "alone.duckdb", AT_LEAST, **nobody)
    assert result
    assert result.baseline is result.pairing is None
    with pytest.raises(failmodes.StudyError, match="requires a baseline"):
        gated(gate_folder / "alone.duckdb", NO_WORSE, **nobody)
    with pytest.raises(failmodes.StudyError, match="contains 2 models: name one"):
        gated(gate_folder / "both.duckdb", AT_LEAST, **nobody)


@pytest.mark.test_all
def test_a_candidate_of_several_seeds_is_judged_over_them(seeded_results: Synthetic, seeded_con: object) -> None:
    """Each training run must have the shape, and the mean over runs the accuracy."""
    path = seeded_results.output / "w.duckdb"
    shape = {"shape": "abrupt", "corruptions": ["fog"]}
    result = gated(path, AT_LEAST, shape, NO_WORSE | {"limit": 0.5}, baseline="Fir", candidate="Oak")
    assert result.is_about_training
    assert "over training seeds: 3 of Oak and 3 of Fir" in result.to_markdown()
    assert [len(one.decisions) for one in result.rules] == [1, 3, 1]
    assert not gated(path, NO_WORSE | {"limit": 0.5}, baseline="Loner", candidate="Oak").is_about_training
