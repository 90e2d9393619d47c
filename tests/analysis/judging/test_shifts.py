"""Claims and rules about natural shifts, against counts of correct images and statsmodels' intervals."""

from pathlib import Path
from typing import Any

import pytest
from synthetic_results import write_synthetic
from synthetic_shifts import write_shift

import failmodes
from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.analysis.statistics.shares import difference_of_groups
from failmodes.warehouse.database.load import load

V2 = {"metric": "accuracy", "shift": "V2"}
GAP = V2 | {"relation": "gap_at_most"}
NO_WORSE = V2 | {"relation": "worse_by_at_most"}


@pytest.fixture(scope="module")
def shifted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Alpha: 190 of 200 clean images (95%), 140 of 200 of V2 (70%); Beta: 94% and 60%, on the same images."""
    output = tmp_path_factory.mktemp("shifted")
    made = write_synthetic(output, images=200, corruptions=("fog",), severities=(1, 5))
    write_shift(output, "V2", {"Alpha": 140, "Beta": 120}, clean=made.evaluations)
    clean = {"clean_correct": {"Alpha": 90}, "clean_images": 100, "classes": 2}
    write_shift(output, "Hard", {"Alpha": 30}, images=60, order=2, **clean)
    load([output], output / "warehouse.duckdb", derivation=DERIVATION)
    return output / "warehouse.duckdb"


def test_a_gap_is_judged_by_newcombes_interval_of_independent_samples(shifted: Path) -> None:
    with failmodes.open(shifted) as warehouse:
        found = warehouse.claims([GAP | {"limit": 0.5, "model": "Alpha"}])[0]
        row = warehouse.table("accuracy_by_shift", shift="V2", model_label="Alpha")
    low, high = difference_of_groups((row["clean_accuracy"][0], 0.7), (200, 200))
    assert found.estimate[:3] == pytest.approx((row["clean_accuracy"][0] - 0.7, float(low), float(high)))
    assert row.select("gap", "gap_low", "gap_high").row(0) == pytest.approx(found.estimate[:3])
    assert found.verdict == "supported"
    assert found.sentence.endswith("(200\u00a0images and 200\u00a0clean images).")


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("rule", "verdict", "code"),
    [
        (GAP | {"limit": 0.5}, "supported", 0),
        (GAP | {"limit": 0.05}, "contradicted", 1),
        (GAP | {"limit": 0.26}, "inconclusive", 3),
        (V2 | {"relation": "gap_at_least", "limit": 0.1}, "supported", 0),
        (V2 | {"relation": "at_least", "limit": 0.6}, "supported", 0),
        (V2 | {"relation": "at_least", "limit": 0.9}, "contradicted", 1),
        (V2 | {"metric": "ece", "relation": "gap_at_most", "limit": 1.0}, "supported", 0),
        (NO_WORSE | {"limit": 0.01}, "supported", 0),
        (GAP | {"shift": "Hard", "limit": 0.1}, "contradicted", 1),
    ],
    ids=str,
)  # fmt: skip
def test_rules_about_shifts(shifted: Path, rule: dict[str, Any], verdict: str, code: int) -> None:
    rules = {"gate": {"candidate": "Alpha", "baseline": "Beta", "rules": [rule]}}
    result = failmodes.gate(rules, shifted)
    assert ([one.verdict for one in result.rules], result.exit_code) == ([verdict], code)


def test_candidate_and_baseline_are_compared_image_by_image(shifted: Path) -> None:
    """The first 140 images against the first 120: 20 differ, all in one direction."""
    rules = {"gate": {"candidate": "Beta", "baseline": "Alpha", "rules": [NO_WORSE | {"limit": 0.2}]}}
    result = failmodes.gate(rules, shifted)
    (decision,) = result.rules[0].decisions
    assert decision.estimate.value == pytest.approx(-0.1)
    assert decision.estimate.low > -0.15  # of two independent samples, the lower bound is below -0.17


@pytest.mark.test_all
def test_an_exported_baseline_has_its_shifts(shifted: Path, tmp_path: Path) -> None:
    with failmodes.open(shifted) as warehouse:
        warehouse.export(tmp_path / "alpha.duckdb", evaluation="Alpha")
    rules = {"candidate": "Beta", "baseline": "Alpha", "rules": [NO_WORSE | {"limit": 0.2}]}
    own, exported = (
        failmodes.gate({"gate": rules | {"baseline": name}}, shifted)
        for name in ("Alpha", str(tmp_path / "alpha.duckdb"))
    )
    assert exported.rules[0].decisions[0].estimate == own.rules[0].decisions[0].estimate


def test_what_was_not_evaluated_is_not_measurable_and_an_unknown_shift_is_an_error(shifted: Path) -> None:
    hard = V2 | {"shift": "Hard", "relation": "worse_by_at_most", "limit": 0.1}
    result = failmodes.gate({"gate": {"candidate": "Alpha", "baseline": "Beta", "rules": [hard]}}, shifted)
    assert (result.rules[0].verdict, result.exit_code) == ("not_measurable", 3)
    assert "shift Hard is missing for the baseline" in str(result).replace("\n", " ")
    with pytest.raises(failmodes.StudyError, match=r"gate\.rules\.0\.shift: unknown shift 'V3': expected Hard, V2"):
        failmodes.gate({"gate": {"candidate": "Alpha", "rules": [GAP | {"shift": "V3", "limit": 0.1}]}}, shifted)
    with failmodes.open(shifted) as warehouse:
        found = warehouse.claims([V2 | {"shift": "Hard", "relation": "at_least", "limit": 0.2}])
        assert {row.model_label: (row.verdict, row.reason) for row in found} == {
            "Alpha": ("supported", None), "Beta": ("not_measurable", "shift Hard was not evaluated"),
        }  # fmt: skip
        assert "2 of 4 classes, predictions among these only" in found[0].sentence


@pytest.mark.test_all
def test_statements_about_corruptions_do_not_see_shifts(shifted: Path) -> None:
    with failmodes.open(shifted) as warehouse:
        found = warehouse.claims(
            [{"metric": "accuracy", "corruptions": ["none"], "relation": "at_least", "limit": 0.5}]
        )
        assert [(row.model_label, row.n) for row in found] == [("Alpha", 200), ("Beta", 200)]
