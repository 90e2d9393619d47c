"""What corruption does to outcomes: counted image by image along the curve, from patterns that are written out."""

from collections.abc import Sequence

import numpy as np
import pytest
from given_cells import found_of, given_rows, outcome_rows, paired, random_cell, reason_of, value_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from failmodes.warehouse.metrics.cell_rows import Cell
from failmodes.warehouse.metrics.metric import NO_IMAGE, all_metrics, ends_of
from failmodes.warehouse.metrics.transitions import onsets

SEVERITIES = (0, 1, 2.5, 4)
PATTERNS = ("1111", "1101", "1001", "0111", "0000", "1110", "1100", "1111")  # an image each, by severity


def cell_of(patterns: Sequence[str], severities: Sequence[float] = SEVERITIES) -> Cell:
    """Images that are correct where their pattern has a 1; the margin is 0.1, 0.2 … by place."""
    correct = np.array([[letter == "1" for letter in pattern] for pattern in patterns])
    return paired(*(
        outcome_rows(correct[:, place], severity, margin=np.full(len(patterns), 0.1 * (place + 1)))
        for place, severity in enumerate(severities)
    ))  # fmt: skip


def test_outcomes_beside_the_clean_ones() -> None:
    cell = cell_of(PATTERNS)
    expected = {"stayed_correct": 4, "became_incorrect": 2, "became_correct": 1, "stayed_incorrect": 1}
    for name, count in expected.items():
        found = found_of(f"{name}_share", cell)
        assert (found.value, found.n) == (count / 8, 8), name
    assert value_of("changed_share", cell) == 3 / 8, "here each change is one between correct and incorrect"


def test_a_prediction_among_other_outputs_changes_too() -> None:
    clean = given_rows({"label": [0] * 4, "predicted": [1, -1, -1, 2], "predicted_output": [-1, 7, 7, 2]}, 0)
    here = given_rows({"label": [0] * 4, "predicted": [2, -1, -1, 2], "predicted_output": [-1, 7, 8, 2]}, 1)
    assert value_of("changed_share", paired(clean, here)) == 0.5


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text("01", min_size=4, max_size=4), min_size=1, max_size=30))
def test_onsets_are_where_the_pattern_has_its_first_zero(patterns: list[str]) -> None:
    cell = cell_of(patterns)
    first = [pattern.find("0") % 5 for pattern in patterns]  # 4: there is none
    assert cell.curve is not None
    assert onsets(cell.curve).tolist() == first
    restricted = [(*SEVERITIES, SEVERITIES[-1])[place] for place in first]
    assert value_of("onset_severity", cell) == pytest.approx(np.mean(restricted))
    surviving = [pattern == "1111" for pattern in patterns if pattern[0] == "1"]
    if not surviving:
        assert reason_of("surviving_share", cell) == NO_IMAGE
        return
    found = found_of("surviving_share", cell)
    assert (found.value, found.n) == (pytest.approx(np.mean(surviving)), len(surviving))
    interval = binomtest(sum(surviving), len(surviving)).proportion_ci(0.95, "exact")
    assert ends_of(all_metrics()["surviving_share"], cell, None, found) == pytest.approx(tuple(interval))


def test_severities_up_to_here_alone_count() -> None:
    cell = cell_of([pattern[:3] for pattern in PATTERNS], SEVERITIES[:3])
    assert value_of("onset_severity", cell) == pytest.approx((2.5 * 4 + 2.5 * 1 + 1 + 2 * 0) / 8)
    assert value_of("surviving_share", cell) == 3 / 6


def test_margins_one_severity_before() -> None:
    cell = cell_of(PATTERNS)
    found = found_of("failing_mean_margin_before", cell)
    assert (found.value, found.n) == (pytest.approx(0.3), 1), "the last severity is the first failure of one"
    found = found_of("surviving_mean_margin_before", cell)
    assert (found.value, found.n) == (pytest.approx(0.3), 2)
    rng = np.random.default_rng(0)
    correct, margin = rng.random((3, 200)) < 0.7, rng.random((3, 200)).astype(np.float32)
    cell = paired(*(outcome_rows(correct[place], place, margin=margin[place]) for place in range(3)))
    fails, survives = correct[0] & correct[1] & ~correct[2], correct.all(0)
    for name, chosen in (("failing", fails), ("surviving", survives)):
        found = found_of(f"{name}_mean_margin_before", cell)
        assert (found.value, found.n) == (pytest.approx(margin[1, chosen].mean()), chosen.sum())


def test_at_the_first_point_there_is_nothing_before() -> None:
    clean = outcome_rows([True, False], 0, margin=[0.5, 0.5], rmse=[0, 0])
    cell = paired(clean)
    for name in ("failing_mean_margin_before", "surviving_mean_margin_before"):
        assert reason_of(name, cell) == NO_IMAGE
    assert reason_of("rmse_change", cell) == "there is no severity before"


def test_distortion_is_averaged_and_has_quantiles() -> None:
    cell = random_cell(200)
    assert cell.curve is not None
    before, rows = cell.curve[-2:]
    for column in ("rmse", "ssim"):
        values = rows[column].astype(np.float64)
        assert value_of(f"mean_{column}", cell) == pytest.approx(values.mean())
        for share in (5, 95):
            found = found_of(f"{column}_q{share:02}", cell)
            assert (found.value, found.n) == (np.quantile(values, share / 100), 200)
            low, high = ends_of(all_metrics()[f"{column}_q{share:02}"], cell, None, found) or (0, 0)
            assert low <= found.value <= high
    assert value_of("rmse_change", cell) == pytest.approx((rows["rmse"] - before["rmse"]).mean())


@pytest.mark.parametrize(
    "name",
    ["changed_share", "stayed_correct_share", "became_incorrect_share", "became_correct_share",
     "stayed_incorrect_share"],
)  # fmt: skip
def test_shares_have_the_exact_interval(name: str) -> None:
    cell = random_cell(150, seed=8)
    found = found_of(name, cell)
    expected = binomtest(round(found.value * 150), 150).proportion_ci(0.95, "exact")
    assert ends_of(all_metrics()[name], cell, None, found) == pytest.approx(tuple(expected))


def test_unpaired_images_have_no_transitions() -> None:
    for name, metric in all_metrics().items():
        if metric.needs_pairs:
            assert reason_of(name, random_cell(20).rows) == "corrupted images do not pair with clean ones"
