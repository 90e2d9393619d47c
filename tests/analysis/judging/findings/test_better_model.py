"""Findings on pairs of models: each pair judged once, told of the better one, and who leads."""

from itertools import combinations

import pytest
from checkpoint_comparisons import decided_pairs, of_kind
from synthetic_results import Synthetic

from failmodes.analysis.judging.findings.kind import Finding


def test_a_pair_that_is_close_is_inconclusive(all_findings: list[Finding], synthetic: Synthetic) -> None:
    (found,) = of_kind(all_findings, "better_model")
    means = [
        sum(float(correct[1:].mean()) for (label, _), correct in synthetic.correct.items() if label == name) / 5
        for name in ("Alpha", "Beta")
    ]
    assert (found.verdict, found.model_label) == ("inconclusive", "Alpha")
    assert found.value == pytest.approx(means[0] - means[1])
    assert found.other_evaluation_id == synthetic.evaluations["Beta"]


def test_pairs_are_reported_of_the_better_one(many_findings: list[Finding], many_results: Synthetic) -> None:
    found = of_kind(many_findings, "better_model")
    labels = {evaluation_id: label for label, evaluation_id in many_results.evaluations.items()}
    assert {frozenset((f.evaluation_id, f.other_evaluation_id)) for f in found} == {
        frozenset(pair) for pair in combinations(many_results.evaluations.values(), 2)
    }
    decided = [(f.model_label, labels[f.other_evaluation_id]) for f in found if f.verdict == "supported"]
    assert sorted(decided) == sorted(decided_pairs(many_results))
    assert all(0 < f.value < f.high for f in found if f.verdict == "supported")
