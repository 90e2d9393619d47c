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

from failmodes.warehouse.metrics.cell_rows import OF_LOGITS, SCORES, CellRows, ComparedCell
from failmodes.warehouse.metrics.failure_prediction import (
    COVERAGE_PERCENT,
    NO_CORRECT,
    NO_FAILURE,
    NOT_STORED,
    rank,
    selective_risks,
)
from failmodes.warehouse.metrics.intervals import auroc_interval
from failmodes.warehouse.metrics.metric import all_metrics

Images = list[tuple[float, bool]]
OF_SCORE = ("auroc", "augrc", "aurc", "aupr", "fpr95")
IMAGES = st.lists(
    st.tuples(st.sampled_from([-np.inf, -2.5, -0.0, 0.0, 1e-30, 0.5, 1.0, np.inf, np.nan]), st.booleans()),
    min_size=1, max_size=7,
)  # fmt: skip


def rows_of(certainty: Sequence[float] | np.ndarray, failed: Sequence[bool] | np.ndarray) -> CellRows:
    """Images with this confidence; NaN where logits are not finite."""
    confidence = np.asarray(certainty, np.float32)
    return outcome_rows(~np.asarray(failed, np.bool_), confidence=confidence, finite=~np.isnan(confidence))


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


@pytest.mark.test_all
@settings(max_examples=80)
@given(IMAGES)
@example([(0.0, True), (-0.0, False)])
def test_areas_and_risks_are_the_mean_over_all_orders_of_ties(images: Images) -> None:
    risks, count, rows = risks_by_coverage(images), len(images), rows_of(*zip(*images, strict=True))
    uncertain, failed = order_of(images)
    assert value_of("aurc", rows, "confidence") == pytest.approx(risks.mean())
    # Traub et al. 2024: the mean over all images of the failures with a higher score, itself counted as a half
    joint = risks * np.arange(1, count + 1) / count
    expected = joint.mean() - sum(failed) / count / count / 2
    assert value_of("augrc", rows, "confidence") == pytest.approx(expected)
    found = selective_risks(rank(-np.array(uncertain), np.array(failed)))
    for percent, risk in zip(COVERAGE_PERCENT, found, strict=True):
        if (kept := percent * count / 100) == int(kept):
            assert risk == pytest.approx(risks[int(kept) - 1])


@pytest.mark.parametrize("failed", [True, False])
def test_of_one_kind_of_outcome_there_is_nothing_to_tell_apart(failed: bool) -> None:
    rows = rows_of([0.5, 0.5, 0.9], [failed] * 3)
    assert {reason_of(name, rows, "confidence") for name in ("auroc", "fpr95")} == {
        NO_CORRECT if failed else NO_FAILURE
    }
    if failed:
        assert value_of("aupr", rows, "confidence") == 1
    else:
        assert reason_of("aupr", rows, "confidence") == NO_FAILURE
    assert [value_of(name, rows, "confidence") for name in ("aurc", "augrc")] == [failed, failed / 2]


@settings(max_examples=80)
@given(IMAGES.filter(lambda images: len({failed for _, failed in images}) == 2))
def test_discrimination_agrees_with_scikit_learn(images: Images) -> None:
    uncertain, failed = order_of(images)
    rows = rows_of(*zip(*images, strict=True))
    false_rates, found_rates, _ = roc_curve(failed, uncertain, drop_intermediate=False)
    assert value_of("auroc", rows, "confidence") == pytest.approx(roc_auc_score(failed, uncertain))
    assert value_of("aupr", rows, "confidence") == pytest.approx(average_precision_score(failed, uncertain))
    assert value_of("fpr95", rows, "confidence") == pytest.approx(false_rates[np.argmax(found_rates >= 0.95)])


def uncertainty_of(rows: CellRows, score: str) -> tuple[np.ndarray, np.ndarray]:
    """How uncertain images are by a score, without a number most of all; and which images it is told for."""
    if score == "logit_gap":
        ordered = np.sort(rows["logits"], axis=1)
        values, column = ordered[:, -2] - ordered[:, -1], score
    else:
        columns = {
            "entropy": "entropy_nats", "energy": "log_sum_exp", "attention_spread": "predicted.spread",
            "attention_drift": "clean.centroid_shift", "empty_map": "predicted.empty",
        }  # fmt: skip
        column = columns.get(score, score)
        sign = -1 if score in ("confidence", "margin", "energy") else 1
        values = sign * rows[column].astype(float)
    kept = np.ones(len(rows), np.bool_) if score in OF_LOGITS else rows[f"{column.partition('.')[0]}.has_map"]
    return np.where(np.isnan(values), 1e9, values), kept


@pytest.mark.parametrize("score", SCORES)
def test_every_score_of_a_cell_against_scikit_learn(score: str) -> None:
    cell = random_cell(400, non_finite=9, seed=6)
    uncertain, kept = uncertainty_of(cell.rows, score)
    uncertain, failed = uncertain[kept], ~cell.rows["correct"][kept]
    pairs = (uncertain[:, None] > uncertain) + (uncertain[:, None] == uncertain) / 2
    for name, expected in (
        ("auroc", roc_auc_score(failed, uncertain)),
        ("aupr", average_precision_score(failed, uncertain)),
        ("augrc", (pairs * failed).mean()),
    ):
        found = found_of(name, cell, score)
        assert (found.value, found.n) == (pytest.approx(expected), kept.sum()), name


def test_areas_are_those_of_torch_uncertainty_but_for_its_end_points() -> None:
    """Version 0.13 takes trapezia over coverages 1/n … 1 and divides by 1 - 1/n; no two images tie here."""
    rng = np.random.default_rng(0)
    certainty, failed = rng.permutation(500), rng.random(500) < 0.3
    rows, coverage = rows_of(certainty, failed), np.arange(1, 501) / 500
    risks = failed[np.argsort(-certainty)].cumsum() / np.arange(1, 501)
    theirs = np.trapezoid(risks, coverage) / (1 - 1 / 500)
    assert (value_of("aurc", rows, "confidence") * 500 - (risks[0] + risks[-1]) / 2) / 499 == pytest.approx(theirs)
    theirs = np.trapezoid(risks * coverage, coverage) / (1 - 1 / 500)
    assert (value_of("augrc", rows, "confidence") * 500 - risks[0] / 500 / 2) / 499 == pytest.approx(theirs)


def test_a_hundred_thousand_images_keep_their_precision() -> None:
    rng, places = np.random.default_rng(1), np.arange(1, 100_001)
    certainty = rng.permutation(100_000).astype(np.float32) / 100_000
    certainty[:20_000] = 1
    failed = rng.random(100_000) > certainty
    expected = failed[np.argsort(-certainty, kind="stable")].cumsum().astype(float)
    expected[:20_000] = places[:20_000] * failed[:20_000].mean()  # of those that tie, the mean
    rows = rows_of(certainty, failed)
    assert value_of("aurc", rows, "confidence") == pytest.approx((expected / places).mean(), rel=1e-9)
    assert value_of("auroc", rows, "confidence") == pytest.approx(roc_auc_score(failed, -certainty), rel=1e-12)


def test_contributions_to_the_auroc_are_delongs() -> None:
    rng = np.random.default_rng(2)
    failed = rng.random(400) < 0.2
    uncertain = rng.integers(0, 30, 400) + 8.0 * failed
    found = found_of("auroc", rows_of(-uncertain, failed), "confidence")
    assert contribution_error(np.asarray(found.images)) == pytest.approx(delong_error(uncertain, failed))


@pytest.mark.parametrize("name", ["auroc", "augrc", "aurc"])
def test_contributions_of_ties_spread_as_the_jackknife_does(name: str) -> None:
    rng = np.random.default_rng(3)
    certainty = np.floor(rng.random(250) * 5)
    cell = ComparedCell(rows_of(certainty, rng.random(250) * 5 > certainty))
    expected = jackknife_error(all_metrics()[name], cell, "confidence")
    found = found_of(name, cell, "confidence")
    assert contribution_error(np.asarray(found.images)) == pytest.approx(expected, rel=0.02)


def test_the_auroc_has_newcombes_interval() -> None:
    cell = random_cell(300)
    failures = int((~cell.rows["correct"]).sum())
    found = found_of("auroc", cell, "margin")
    ends = found.ends(level=0.9, comparisons=4)
    assert ends == auroc_interval(found.value, failures, 300 - failures, level=0.9, comparisons=4)


def test_the_interval_of_fpr95_holds_the_truth() -> None:
    """Certainty is normal, of failures lower by 1.5: the threshold lies .95 of these below."""
    rng, held = np.random.default_rng(5), 0
    for _ in range(200):
        failed = rng.random(400) < 0.3
        rows = rows_of(rng.normal(size=400) - 1.5 * failed, failed)
        found = found_of("fpr95", rows, "confidence")
        low, high = found.ends() or (0, 0)
        held += low <= 0.557 <= high  # 1 - Φ(1.5 - 1.6449)
    assert held >= 188


def test_of_nothing_there_is_no_ranking() -> None:
    rows, clean = outcome_rows([True, False], margin=[np.nan] * 2), random_cell(50).clean
    assert {reason_of(name, rows, score) for name in OF_SCORE for score in ("margin", "energy")} == {NOT_STORED}
    assert reason_of("auroc_within", outcome_rows([True], confidence=[0.5]), "attention_spread") == NOT_STORED
    assert clean is not None
    assert reason_of("auroc", clean, "attention_drift") == NOT_STORED, "clean images have not drifted"
    assert found_of("auroc", clean, "attention_spread").n == clean["predicted.has_map"].sum()


@pytest.mark.parametrize("score", ["attention_spread", "attention_drift", "empty_map"])
def test_within_tenths_against_scikit_learn_and_delong(score: str) -> None:
    cell = random_cell(600, non_finite=20, seed=7)
    tenths = np.floor(10 * (rankdata(np.nan_to_num(cell.rows["confidence"], nan=-1)) - 0.5) / 600)
    uncertain, kept = uncertainty_of(cell.rows, score)
    parts = []
    for tenth in np.unique(tenths):
        chosen = kept & (tenths == tenth)
        own, bad = uncertain[chosen], ~cell.rows["correct"][chosen]
        if min(bad.sum(), (~bad).sum()) > 1:
            parts.append((bad.sum() * (~bad).sum(), roc_auc_score(bad, own), delong_error(own, bad)))
    pairs, areas, errors = np.array(parts).T
    found = found_of("auroc_within", cell, score)
    assert (found.value, found.n) == (pytest.approx(np.average(areas, weights=pairs)), kept.sum())
    error = np.sqrt(np.square(pairs * errors).sum()) / pairs.sum()
    assert contribution_error(np.asarray(found.images)) == pytest.approx(error)


def within_rows(confidence: np.ndarray, failed: np.ndarray, certainty: np.ndarray) -> CellRows:
    maps = {"predicted.spread": -certainty, "predicted.has_map": np.ones(len(failed), np.bool_)}
    return outcome_rows(~failed, confidence=confidence, **maps)


def test_tenths_without_both_kinds_and_maps_none_of_which_is_empty_compare_nothing() -> None:
    rows = within_rows(np.ones(50), np.arange(50) == 7, np.arange(50.0))  # one failure is too few
    assert "no tenth" in reason_of("auroc_within", rows, "attention_spread")
    maps = {"predicted.has_map": [True, True], "predicted.empty": [False, False]}
    rows = outcome_rows([True, False], confidence=[0.5, 0.5], **maps)
    assert reason_of("auroc_within", rows, "empty_map") == "no map is empty"
