"""Thresholds: the split, the sequence of tests, ties and duplicates; metrics at them, by hand and by SciPy."""

from typing import Any

import numpy as np
import pytest
from given_cells import in_choosing_half, outcome_rows, reason_of
from scipy import stats

from failmodes.warehouse.metrics.abstention import (
    NO_CLEAN,
    Aim,
    accepted_share,
    at_threshold,
    checked_aim,
    choose_threshold,
    choosing_half,
    chosen_on,
    error_accepted,
    least_accepted,
)
from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell
from failmodes.warehouse.metrics.metric import Evaluated, evaluate

RNG = np.random.default_rng


def upper_bound(errors: int, count: int) -> float:
    """SciPy's own Clopper-Pearson bound, one-sided at 95%."""
    return float(stats.binomtest(errors, count, alternative="less").proportion_ci(0.95, "exact").high)


def images(count: int, error: float = 0.3, seed: int = 0, ties: int = 0) -> CellRows:
    """Images whose chance of an error is that share times their uncertainty, squared."""
    rng = RNG(seed)
    confidence = rng.random(count)
    if ties:
        confidence = np.ceil(confidence * ties) / ties
    return outcome_rows(rng.random(count) >= 2 * error * (1 - confidence) ** 2, 0, confidence=confidence)


def test_halves_are_stable_even_and_independent_of_what_else_is_there() -> None:
    rows = outcome_rows(np.ones(20_000, bool), 0)
    half = choosing_half(rows)
    assert abs(half.mean() - 0.5) < 0.01
    assert abs(np.corrcoef(half[:-1], half[1:])[0, 1]) < 0.02, "neighbors are split at random"
    some = rows.taken(np.arange(5, 20_000, 7))
    assert choosing_half(some).tolist() == half[5::7].tolist()
    assert half[:50].tolist() == [in_choosing_half(number) for number in range(50)]


def test_149_images_without_an_error_show_two_percent() -> None:
    for error in (0.001, 0.02, 0.1, 0.5):
        count = least_accepted(error)
        assert upper_bound(0, count) <= error < upper_bound(0, count - 1)
    assert least_accepted(0.02) == 149


@pytest.mark.parametrize("ties", [0, 40])
def test_the_threshold_is_the_last_of_the_sequence_whose_bound_meets_the_target(ties: int) -> None:
    rows = images(6_000, ties=ties)
    found = choose_threshold(rows, Aim(target_value=0.05))
    kept = chosen_on(rows)
    confidence, failed = rows["confidence"][kept], ~rows["correct"][kept]
    assert found.threshold in confidence
    inside = confidence >= np.float32(found.threshold)
    assert (found.image_count, found.accepted_count, found.error_count) == (
        kept.sum(),
        inside.sum(),
        failed[inside].sum(),
    )
    assert found.error_high == pytest.approx(upper_bound(int(failed[inside].sum()), int(inside.sum())))
    assert found.error_high <= 0.05
    wider = np.sort(confidence)[::-1][min(kept.sum() - 1, inside.sum() + int(kept.sum() / 100))]
    beyond = confidence >= wider
    assert beyond.sum() > inside.sum()
    assert upper_bound(int(failed[beyond].sum()), int(beyond.sum())) > 0.05


def test_a_fixed_sequence_stops_at_the_first_threshold_that_fails() -> None:
    """The most certain tenth is wrong as often as not: what comes after it may be correct."""
    count = 4_000
    confidence = np.linspace(1, 0.01, count)
    rows = outcome_rows((confidence < 0.9) | (np.arange(count) % 2 == 0), 0, confidence=confidence)
    found = choose_threshold(rows, Aim(target_value=0.2))
    assert found.threshold is None
    assert "most certain images are incorrect" in str(found.reason)
    assert choose_threshold(rows, Aim(target="coverage", target_value=0.5)).threshold == pytest.approx(0.505, abs=0.02)


@pytest.mark.parametrize(("share", "count"), [(0.9, 2_000), (0.3, 500), (1.0, 100)])
def test_a_coverage_is_the_smallest_that_reaches_the_share(share: float, count: int) -> None:
    rows = images(count)
    found = choose_threshold(rows, Aim(target="coverage", target_value=share))
    assert found.accepted_count == np.ceil(share * chosen_on(rows).sum())
    assert found.images_needed is None


def test_too_few_images_give_the_number_that_would_do() -> None:
    found = choose_threshold(outcome_rows(np.ones(200, bool), 0, confidence=RNG(0).random(200)), Aim())
    assert (found.threshold, found.images_needed) == (None, 149)
    assert "149" in str(found.reason)
    assert choose_threshold(None, Aim()).reason == NO_CLEAN
    assert choose_threshold(outcome_rows([True] * 9, 0, confidence=[0.5] * 9), Aim(score="entropy")).threshold is None


def test_a_score_that_falls_with_certainty_accepts_what_is_at_most_the_threshold() -> None:
    entropy = RNG(0).random(3_000)
    rows = outcome_rows(RNG(1).random(3_000) > 0.3 * entropy**2, 0, entropy_nats=entropy)
    found = choose_threshold(rows, Aim("entropy", "coverage", 0.5))
    assert found.threshold == pytest.approx(0.5, abs=0.05)
    accepted = accepted_share(rows, "entropy", threshold=found.threshold)
    known = ~choosing_half(rows)
    assert accepted[known].tolist() == (entropy[known].astype(np.float32) <= np.float32(found.threshold)).tolist()


def with_copies(rows: CellRows, times: int) -> CellRows:
    """Every image, and copies of it with image_ids of their own."""
    count = len(rows)
    columns = {name: np.tile(rows[name], times) for name in ("label", "predicted", "finite", "confidence")}
    columns["image_id"] = np.arange(times * count)

    def read(name: str) -> Any:
        raise AssertionError(name)

    return CellRows("none", 0, times * count, read, columns, lambda: np.tile(np.arange(count), times))


def test_duplicates_stay_in_one_half_and_count_once() -> None:
    rows = images(1_000)
    doubled = with_copies(rows, 2)
    assert (choosing_half(doubled)[:1_000] == choosing_half(doubled)[1_000:]).all()
    aim = Aim(target_value=0.1)
    assert choose_threshold(doubled, aim) == choose_threshold(rows, aim)
    threshold = choose_threshold(rows, aim).by_score
    for metric in (accepted_share, error_accepted):
        alone, twice = (
            evaluate(metric, ComparedCell(one, thresholds=threshold), "confidence") for one in (rows, doubled)
        )
        assert isinstance(alone, Evaluated)
        assert isinstance(twice, Evaluated)
        assert twice.value == pytest.approx(alone.value)
        assert twice.ends() == pytest.approx(alone.ends())


def test_metrics_at_a_threshold_are_counts_of_the_other_half() -> None:
    rows = images(2_000, seed=3)
    kept = ~choosing_half(rows)
    inside = kept & (rows["confidence"] >= np.float32(0.6))
    expected = {
        accepted_share: (inside.sum(), kept.sum()),
        error_accepted: ((~rows["correct"])[inside].sum(), inside.sum()),
    }
    for metric, (hits, count) in expected.items():
        found = evaluate(at_threshold(metric, 0.6), ComparedCell(rows), "confidence")
        assert isinstance(found, Evaluated)
        assert (found.value, found.n) == (pytest.approx(hits / count), count)
        assert found.ends() == pytest.approx(tuple(stats.binomtest(int(hits), int(count)).proportion_ci(0.95, "exact")))
    assert "no image" in reason_of("error_accepted", ComparedCell(rows, thresholds={"confidence": 1.1}), "confidence")


def test_images_whose_logits_are_not_finite_are_not_accepted() -> None:
    confidence = np.where(np.arange(40) % 2, np.nan, 0.9)
    rows = outcome_rows(np.ones(40, bool), 0, confidence=confidence, finite=np.isfinite(confidence))
    accepted = accepted_share(rows, "confidence", threshold=-9.0)
    known = ~choosing_half(rows)
    assert accepted[known].tolist() == np.isfinite(confidence)[known].astype(float).tolist()
    assert choose_threshold(rows, Aim(target="coverage", target_value=0.9)).threshold is None


@pytest.mark.parametrize(
    ("score", "target", "value"),
    [("fog", "error", 0.02), ("confidence", "error", 0.0), ("confidence", "error", 1.0),
     ("confidence", "coverage", 1.1), ("confidence", "error", float("nan")), ("confidence", "loss", 0.5)],
)  # fmt: skip
def test_aims_that_cannot_be_met_are_refused(score: str, target: str, value: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        checked_aim(score, target, value)
