"""Rankings of images by certainty: scikit-learn, all orders of ties, DeLong, torch-uncertainty's formulas, drawing."""

from collections.abc import Sequence
from itertools import pairwise, permutations

import numpy as np
import pytest
from given_cells import contribution_error, found_of, jackknife_error, outcome_rows, random_cell, reason_of, value_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from failmodes.warehouse.metrics.cell_rows import OF_LOGITS, SCORES, Cell, CellRows
from failmodes.warehouse.metrics.failure_prediction import (
    COVERAGE_PERCENT,
    NO_CORRECT,
    NO_FAILURE,
    NOT_ON_RECORD,
    auroc_contributions,
    rank,
    selective_risks,
)
from failmodes.warehouse.metrics.intervals import auroc_interval
from failmodes.warehouse.metrics.metric import all_metrics, ends_of

Images = list[tuple[float, bool]]
OF_SCORE = ("auroc", "augrc", "aurc", "aupr", "fpr95")
BEYOND = ("attention_spread", "attention_drift", "empty_map")
IMAGES = st.lists(
    st.tuples(st.sampled_from([-np.inf, -2.5, -0.0, 0.0, 1e-30, 0.5, 1.0, np.inf, np.nan]), st.booleans()),
    min_size=1, max_size=7,
)  # fmt: skip


def rows_of(certainty: Sequence[float] | np.ndarray, failed: Sequence[bool] | np.ndarray) -> CellRows:
    """Images with this confidence; NaN where logits are not finite."""
    confidence = np.asarray(certainty, np.float32)
    return outcome_rows(~np.asarray(failed, np.bool_), confidence=confidence, finite=~np.isnan(confidence))


def value(name: str, images: Images) -> float:
    return value_of(name, rows_of(*zip(*images, strict=True)), "confidence")


def order_of(images: Images) -> tuple[list[float], list[bool]]:
    """How uncertain each is, what is no finite number most of all, and whether it is a failure."""
    return [-s if np.isfinite(s) else 1e9 for s, _ in images], [f for _, f in images]


def risks_by_coverage(images: Images) -> np.ndarray:
    """Error rates at 1/n … n/n, the mean over all orders that rank by certainty."""
    uncertain, failed = order_of(images)
    orders = [o for o in permutations(range(len(images))) if all(uncertain[a] <= uncertain[b] for a, b in pairwise(o))]
    return np.mean([np.cumsum([failed[i] for i in o]) / np.arange(1, len(o) + 1) for o in orders], axis=0)


def delong_error(uncertain: np.ndarray, failed: np.ndarray) -> float:
    """DeLong's standard error by all pairs of a failure and a correct prediction, variances over n."""
    own, other = uncertain[failed][:, None], uncertain[~failed][None]
    wins = (own > other) + (own == other) / 2
    return float(np.sqrt(wins.mean(1).var() / failed.sum() + wins.mean(0).var() / (~failed).sum()))


@settings(max_examples=80, deadline=None)
@given(IMAGES)
@example([(0.0, True), (-0.0, False)])
def test_areas_are_the_mean_over_all_orders_of_ties(images: Images) -> None:
    risks, count = risks_by_coverage(images), len(images)
    failures = sum(failed for _, failed in images)
    assert value("aurc", images) == pytest.approx(risks.mean())
    # Traub et al. 2024: the mean over all images of the failures with a higher score, itself counted as a half
    joint = risks * np.arange(1, count + 1) / count
    assert value("augrc", images) == pytest.approx(joint.mean() - failures / count / count / 2)


@settings(max_examples=80, deadline=None)
@given(IMAGES)
def test_discrimination_agrees_with_scikit_learn(images: Images) -> None:
    uncertain, failed = order_of(images)
    rows = rows_of(*zip(*images, strict=True))
    if all(failed) or not any(failed):
        for name in ("auroc", "fpr95"):
            assert reason_of(name, rows, "confidence") == (NO_CORRECT if all(failed) else NO_FAILURE)
        if all(failed):
            assert value_of("aupr", rows, "confidence") == 1
        else:
            assert reason_of("aupr", rows, "confidence") == NO_FAILURE
        assert value("aurc", images) == pytest.approx(float(all(failed)))
        assert value("augrc", images) == pytest.approx(0.5 if all(failed) else 0)
        return
    false_rates, found_rates, _ = roc_curve(failed, uncertain, drop_intermediate=False)
    assert value("auroc", images) == pytest.approx(roc_auc_score(failed, uncertain))
    assert value("aupr", images) == pytest.approx(average_precision_score(failed, uncertain))
    assert value("fpr95", images) == pytest.approx(false_rates[np.argmax(found_rates >= 0.95)])


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("name", OF_SCORE)
def test_every_score_of_a_cell_against_scikit_learn(name: str, score: str) -> None:
    cell = random_cell(400, non_finite=9, seed=6)
    rows = cell.rows
    column = {"entropy": "entropy_nats", "energy": "log_sum_exp", "attention_spread": "predicted.spread",
              "attention_drift": "clean.centroid_shift"}.get(score, score)  # fmt: skip
    sign = 1 if score in ("entropy", "attention_spread", "attention_drift") else -1
    if score == "logit_gap":
        ordered = np.sort(rows["logits"], axis=1)
        uncertain = -(ordered[:, -1] - ordered[:, -2])
    else:
        uncertain = sign * rows[column]
    takes_part = np.ones(400, np.bool_) if score in OF_LOGITS else rows[f"{column.partition('.')[0]}.has_map"]
    uncertain = rankdata(np.where(np.isnan(uncertain), np.inf, uncertain)[takes_part])
    failed = (rows["predicted"] != rows["label"])[takes_part]
    false_rates, found_rates, _ = roc_curve(failed, uncertain, drop_intermediate=False)
    pairs = (uncertain[:, None] > uncertain) + (uncertain[:, None] == uncertain) / 2
    ranks = np.argsort(uncertain, kind="stable")
    of_ties = np.array([failed[uncertain == one].mean() for one in uncertain[ranks]])
    expected = {
        "auroc": roc_auc_score(failed, uncertain),
        "aupr": average_precision_score(failed, uncertain),
        "fpr95": false_rates[np.argmax(found_rates >= 0.95)],
        "augrc": (pairs * failed).mean(),
        "aurc": (of_ties.cumsum() / np.arange(1, len(failed) + 1)).mean(),
    }
    found = found_of(name, cell, score)
    assert found.n == takes_part.sum()
    assert found.value == pytest.approx(expected[name])


def test_augrc_counts_pairs_by_hand() -> None:
    """Certain and incorrect is what it holds against a model: of 3 images the failure is first, then one of the tie."""
    assert value("augrc", [(0.9, True), (0.5, False), (0.4, False)]) == pytest.approx((2 + 1 / 2) / 9)
    assert value("augrc", [(0.5, True), (0.5, False), (0.4, False)]) == pytest.approx((1 + 2 / 2) / 9)


def test_areas_are_those_of_torch_uncertainty_but_for_its_end_points() -> None:
    """Version 0.13 takes trapezia over coverages 1/n … 1 and divides by 1 - 1/n; no two images tie here."""
    rng = np.random.default_rng(0)
    certainty = rng.permutation(500)
    failed = rng.random(500) < 0.3
    rows = rows_of(certainty, failed)
    coverage = np.arange(1, 501) / 500
    risks = failed[np.argsort(-certainty)].cumsum() / np.arange(1, 501)
    theirs = np.trapezoid(risks, coverage) / (1 - 1 / 500)
    assert (value_of("aurc", rows, "confidence") * 500 - (risks[0] + risks[-1]) / 2) / 499 == pytest.approx(theirs)
    theirs = np.trapezoid(risks * coverage, coverage) / (1 - 1 / 500)
    assert (value_of("augrc", rows, "confidence") * 500 - risks[0] / 500 / 2) / 499 == pytest.approx(theirs)


def test_a_hundred_thousand_images_keep_their_precision() -> None:
    rng = np.random.default_rng(1)
    certainty = rng.permutation(100_000).astype(np.float32) / 100_000
    certainty[:20_000] = 1
    failed = rng.random(100_000) > certainty
    order = np.argsort(-certainty, kind="stable")
    places = np.arange(1, 100_001)
    expected = failed[order].cumsum().astype(float)
    expected[:20_000] = places[:20_000] * failed[:20_000].mean()  # of those that tie, the mean
    rows = rows_of(certainty, failed)
    assert value_of("aurc", rows, "confidence") == pytest.approx((expected / places).mean(), rel=1e-9)
    assert value_of("auroc", rows, "confidence") == pytest.approx(roc_auc_score(failed, -certainty), rel=1e-12)


@settings(max_examples=40, deadline=None)
@given(IMAGES)
def test_selective_risk_at_whole_images_is_the_mean_over_orders(images: Images) -> None:
    uncertain, failed = order_of(images)
    found, risks = selective_risks(rank(-np.array(uncertain), np.array(failed))), risks_by_coverage(images)
    for percent, risk in zip(COVERAGE_PERCENT, found, strict=True):
        kept = percent * len(images) / 100
        if kept == int(kept):
            assert risk == pytest.approx(risks[int(kept) - 1])
    assert found[-1] == pytest.approx(np.mean(failed))


def test_contributions_to_the_auroc_are_delongs() -> None:
    rng = np.random.default_rng(2)
    uncertain, failed = rng.integers(0, 30, 400).astype(float), rng.random(400) < 0.2
    uncertain += 8 * failed
    images = auroc_contributions(rank(-uncertain, failed), 400)
    assert images.mean() == pytest.approx(roc_auc_score(failed, uncertain))
    assert contribution_error(images) == pytest.approx(delong_error(uncertain, failed))


@pytest.mark.parametrize("name", ["auroc", "augrc", "aurc"])
@pytest.mark.parametrize("ties", [5, 10_000])
def test_contributions_spread_as_the_jackknife_does(name: str, ties: int) -> None:
    rng = np.random.default_rng(3)
    certainty = np.floor(rng.random(250) * ties)
    failed = rng.random(250) * ties > certainty
    cell = Cell(rows_of(certainty, failed))
    found = found_of(name, cell, "confidence")
    assert found.images is not None
    expected = jackknife_error(all_metrics()[name], cell, "confidence")
    assert contribution_error(found.images) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("name", ["auroc", "augrc", "aurc"])
def test_errors_are_those_of_new_samples(name: str) -> None:
    rng = np.random.default_rng(4)
    values, errors = [], []
    for _ in range(400):
        certainty = np.floor(rng.random(200) * 40)
        found = found_of(name, rows_of(certainty, rng.random(200) * 50 > certainty), "confidence")
        values.append(found.value)
        errors.append(contribution_error(np.asarray(found.images)))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


def test_the_auroc_has_newcombes_interval() -> None:
    cell = random_cell(300)
    failures = int((~cell.rows["correct"]).sum())
    found = found_of("auroc", cell, "margin")
    ends = ends_of(all_metrics()["auroc"], cell, "margin", found, level=0.9, comparisons=4)
    assert ends == auroc_interval(found.value, failures, 300 - failures, level=0.9, comparisons=4)


def test_the_interval_of_fpr95_holds_the_truth() -> None:
    """Certainty is normal, of failures lower by 1.5: the threshold lies .95 of these below."""
    rng = np.random.default_rng(5)
    truth = 0.557  # 1 - Φ(1.5 - 1.6449)
    held, metric = 0, all_metrics()["fpr95"]
    for _ in range(200):
        failed = rng.random(400) < 0.3
        rows = rows_of(rng.normal(size=400) - 1.5 * failed, failed)
        low, high = ends_of(metric, Cell(rows), "confidence", found_of("fpr95", rows, "confidence")) or (0, 0)
        held += low <= truth <= high
    assert held >= 188


def test_of_nothing_there_is_no_ranking() -> None:
    for name in OF_SCORE:
        assert reason_of(name, outcome_rows([True, False]), "margin") == NOT_ON_RECORD
        assert reason_of(name, outcome_rows([True, False], margin=[np.nan] * 2), "margin") == NOT_ON_RECORD
    assert reason_of("auroc_within", outcome_rows([True], confidence=[0.5]), "attention_spread") == NOT_ON_RECORD
    assert "not on record" in reason_of("auroc_within", outcome_rows([True], confidence=[0.5]), "empty_map")


def test_clean_images_have_not_drifted() -> None:
    clean = random_cell(50).clean
    assert clean is not None
    assert reason_of("auroc", clean, "attention_drift") == NOT_ON_RECORD
    assert found_of("auroc", clean, "attention_spread").n == clean["predicted.has_map"].sum()


def within_of(uncertain: np.ndarray, failed: np.ndarray, tenths: np.ndarray) -> tuple[float, float]:
    """AUROC within tenths by scikit-learn, and its standard error by DeLong."""
    parts = []
    for tenth in np.unique(tenths):
        own, bad = uncertain[tenths == tenth], failed[tenths == tenth]
        if min(bad.sum(), (~bad).sum()) > 1:
            parts.append((bad.sum() * (~bad).sum(), roc_auc_score(bad, own), delong_error(own, bad)))
    pairs, areas, errors = np.array(parts).T
    return float((pairs * areas).sum() / pairs.sum()), float(np.sqrt(np.square(pairs * errors).sum()) / pairs.sum())


@pytest.mark.parametrize("score", BEYOND)
def test_within_tenths_against_scikit_learn_and_delong(score: str) -> None:
    cell = random_cell(600, non_finite=20, seed=7)
    rows = cell.rows
    target = "clean" if score == "attention_drift" else "predicted"
    values = {"attention_spread": rows["predicted.spread"], "attention_drift": rows["clean.centroid_shift"],
              "empty_map": rows["predicted.empty"].astype(float)}[score]  # fmt: skip
    ranks = rankdata(np.nan_to_num(rows["confidence"], nan=-1))
    tenths = np.floor(10 * (ranks - 0.5) / 600)
    kept = rows[f"{target}.has_map"]
    uncertain, failed = np.where(np.isnan(values), 9, values)[kept], (~rows["correct"])[kept]
    area, error = within_of(uncertain, failed, tenths[kept])
    found = found_of("auroc_within", cell, score)
    assert (found.value, found.n) == (pytest.approx(area), kept.sum())
    assert found.images is not None
    assert found.images.mean() == pytest.approx(area)
    assert contribution_error(found.images) == pytest.approx(error)


def within_rows(confidence: np.ndarray, failed: np.ndarray, certainty: np.ndarray) -> CellRows:
    everywhere = np.ones(len(failed), np.bool_)
    maps = {"predicted.spread": -certainty, "predicted.has_map": everywhere}
    return outcome_rows(~failed, confidence=confidence, **maps)


def test_a_score_that_confidence_explains_knows_nothing_beyond_it() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.random(20_000)
    failed = rng.random(20_000) > confidence
    echo = confidence + rng.normal(0, 0.3, 20_000)
    assert roc_auc_score(failed, -echo) > 0.7
    found = found_of("auroc_within", within_rows(confidence, failed, echo), "attention_spread")
    assert found.value - 0.5 < 0.03, "what is left lies within a tenth"
    helpful = np.where(failed, -1, 1) + rng.normal(0, 2, 20_000)
    found = found_of("auroc_within", within_rows(confidence, failed, helpful), "attention_spread")
    expected = roc_auc_score(failed, -helpful)
    assert found.value == pytest.approx(expected, abs=0.02)
    assert abs(found.value - expected) < 4 * contribution_error(np.asarray(found.images))


def test_the_error_within_tenths_is_that_of_new_samples() -> None:
    rng = np.random.default_rng(1)
    values, errors = [], []
    for _ in range(200):
        confidence = rng.random(600)
        failed = rng.random(600) > confidence
        found = found_of("auroc_within", within_rows(confidence, failed, rng.normal(size=600) - failed),
                         "attention_spread")  # fmt: skip
        values.append(found.value)
        errors.append(contribution_error(np.asarray(found.images)))
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.15)


def test_tenths_without_both_kinds_compare_nothing() -> None:
    reason = "no tenth by confidence holds two failures and two correct predictions"
    rows = within_rows(np.ones(50), np.zeros(50, np.bool_), np.arange(50.0))
    assert reason_of("auroc_within", rows, "attention_spread") == reason
    no_empty = outcome_rows([True, False], confidence=[0.5, 0.5], **{
        "predicted.has_map": [True, True], "predicted.empty": [False, False]})  # fmt: skip
    assert reason_of("auroc_within", no_empty, "empty_map") == "no map is empty"
