"""Rankings of images by certainty: against scikit-learn, all orders of ties, and torch-uncertainty's formulas."""

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from views_failure_prediction import Images, delong_error

from failmodes.warehouse.measures.ranking import (
    COVERAGE_PERCENT,
    NO_CORRECT_PREDICTION,
    NO_FAILURE,
    certainty_of,
    measure_ranking,
    rank,
    ranked,
    reranked,
    selective_risks,
    ties_of,
)

IMAGES = st.lists(
    st.tuples(st.sampled_from([-np.inf, -2.5, -0.0, 0.0, 1e-30, 0.5, 1.0, np.inf, np.nan]), st.booleans()),
    min_size=1, max_size=7,
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(IMAGES)
def test_keys_of_many_are_those_of_each_in_order(images: list[tuple[float, bool]]) -> None:
    certainty, failed = np.array([s for s, _ in images], np.float32), np.array([f for _, f in images])
    alone = [ranked(certainty[place : place + 1], failed[place : place + 1]) for place in range(len(images))]
    found = ranked(certainty, failed)
    assert found.tolist() == np.sort(np.concatenate(alone)).tolist()
    assert found.dtype == np.uint64
    finite_or_least = np.where(np.isfinite(certainty), certainty, -np.inf)
    assert certainty_of(found).tolist() == sorted(finite_or_least.tolist(), reverse=True)
    ranking = rank(certainty, failed)
    assert ranking.keys.tolist() == found.tolist()
    assert finite_or_least[ranking.order].tolist() == certainty_of(found).tolist()
    assert failed[ranking.order].tolist() == (found % 2 == 1).tolist()
    assert reranked(ranking.keys, ~failed[ranking.order]).tolist() == ranked(certainty, ~failed).tolist()


def measured(images: list[tuple[float, bool]], *, with_error: bool = True) -> dict:
    certainty, failed = np.array([s for s, _ in images], np.float32), np.array([f for _, f in images])
    return measure_ranking(ties_of(ranked(certainty, failed)), with_error=with_error)


def order_of(images: list[tuple[float, bool]]) -> tuple[list[float], list[bool]]:
    """How unsure each is, what is no finite number most of all, and whether it is a failure."""
    return [-s if np.isfinite(s) else 1e9 for s, _ in images], [f for _, f in images]


def risks_by_coverage(images: list[tuple[float, bool]]) -> np.ndarray:
    """Error rates at 1/n … n/n, the mean over all orders that rank by certainty."""
    uncertain, failed = order_of(images)
    orders = [o for o in permutations(range(len(images))) if all(uncertain[a] <= uncertain[b] for a, b in pairwise(o))]
    return np.mean([np.cumsum([failed[i] for i in o]) / np.arange(1, len(o) + 1) for o in orders], axis=0)


@settings(max_examples=150, deadline=None)
@given(IMAGES)
@example([(0.0, True), (-0.0, False)])
def test_areas_are_the_mean_over_all_orders_of_ties(images: list[tuple[float, bool]]) -> None:
    found, risks, count = measured(images), risks_by_coverage(images), len(images)
    failures = sum(failed for _, failed in images)
    best = (np.cumsum(sorted(failed for _, failed in images)) / np.arange(1, count + 1)).mean()
    assert found["aurc"] == pytest.approx(risks.mean())
    assert found["excess_aurc"] == pytest.approx(risks.mean() - best, abs=1e-12)
    # Traub et al. 2024: the mean over all images of the failures with a higher score, itself counted as a half
    joint = risks * np.arange(1, count + 1) / count
    assert found["augrc"] == pytest.approx(joint.mean() - failures / count / count / 2)
    assert (found["n"], found["failures"]) == (count, failures)


@settings(max_examples=150, deadline=None)
@given(IMAGES)
def test_discrimination_agrees_with_scikit_learn(images: list[tuple[float, bool]]) -> None:
    found, (uncertain, failed) = measured(images), order_of(images)
    if all(failed) or not any(failed):
        assert found["auroc"] is found["auroc_error"] is found["fpr95"] is None
        assert found["aupr"] == (1.0 if all(failed) else None)
        assert found["reason"] == (NO_CORRECT_PREDICTION if all(failed) else NO_FAILURE)
        assert found["aurc"] == pytest.approx(1.0 if all(failed) else 0.0)
        assert found["augrc"] == (0.5 if all(failed) else 0.0)
        assert found["excess_aurc"] == pytest.approx(0, abs=1e-12)
        return
    false_rates, found_rates, _ = roc_curve(failed, uncertain, drop_intermediate=False)
    assert found["reason"] is None
    assert found["auroc"] == pytest.approx(roc_auc_score(failed, uncertain))
    assert found["aupr"] == pytest.approx(average_precision_score(failed, uncertain))
    assert found["fpr95"] == pytest.approx(false_rates[np.argmax(found_rates >= 0.95)])
    expected = delong_error(Images(-np.array(uncertain), np.array(failed)))
    assert found["auroc_error"] == (None if expected is None else pytest.approx(expected))
    assert measured(images, with_error=False)["auroc_error"] is None


def test_areas_are_those_of_torch_uncertainty_but_for_its_end_points() -> None:
    """Version 0.13 takes trapezia over coverages 1/n … 1 and divides by 1 - 1/n; no two images tie here."""
    rng = np.random.default_rng(0)
    certainty = rng.permutation(500).astype(np.float32)
    failed = rng.random(500) < 0.3
    found = measured(list(zip(certainty, failed, strict=True)))
    coverage = np.arange(1, 501) / 500
    risks = failed[np.argsort(-certainty)].cumsum() / np.arange(1, 501)
    theirs = np.trapezoid(risks, coverage) / (1 - 1 / 500)
    assert (found["aurc"] * 500 - (risks[0] + risks[-1]) / 2) / 499 == pytest.approx(theirs)
    theirs = np.trapezoid(risks * coverage, coverage) / (1 - 1 / 500)
    assert (found["augrc"] * 500 - risks[0] / 500 / 2) / 499 == pytest.approx(theirs)


@settings(max_examples=50, deadline=None)
@given(IMAGES)
def test_selective_risk_at_whole_images_is_the_mean_over_orders(images: list[tuple[float, bool]]) -> None:
    certainty, failed = np.array([s for s, _ in images], np.float32), np.array([f for _, f in images])
    found, risks = selective_risks(ties_of(ranked(certainty, failed))), risks_by_coverage(images)
    for percent, risk in zip(COVERAGE_PERCENT, found, strict=True):
        kept = percent * len(images) / 100
        if kept == int(kept):
            assert risk == pytest.approx(risks[int(kept) - 1])
    assert found[-1] == pytest.approx(failed.mean())


def test_a_hundred_thousand_images_keep_their_precision() -> None:
    rng = np.random.default_rng(1)
    certainty = rng.permutation(100_000).astype(np.float32) / 100_000
    certainty[:20_000] = 1
    failed = rng.random(100_000) > certainty
    found = measure_ranking(ties_of(ranked(certainty, failed)))
    order = np.argsort(-certainty, kind="stable")
    places = np.arange(1, 100_001)
    expected = failed[order].cumsum().astype(float)
    expected[:20_000] = places[:20_000] * failed[:20_000].mean()  # of those that tie, the mean
    assert found["aurc"] == pytest.approx((expected / places).mean(), rel=1e-9)
    assert found["auroc"] == pytest.approx(roc_auc_score(failed, -certainty), rel=1e-12)
