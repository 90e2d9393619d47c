"""What corruption does to outcomes: counted image by image along the curve, from patterns that are written out."""

from collections.abc import Sequence

import numpy as np
import pytest
from given_cells import found_of, outcome_rows, paired, random_cell, reason_of, value_of
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell
from failmodes.warehouse.metrics.metric import NO_IMAGE, all_metrics

SEVERITIES = (0, 1, 2.5, 4)
PATTERNS = ("1111", "1101", "1001", "0111", "0000", "1110", "1100", "1111")  # an image each, by severity


def cell_of(patterns: Sequence[str]) -> ComparedCell:
    """Images that are correct where their pattern has a 1; the margin is 0.1, 0.2 … by place."""
    correct = np.array([[letter == "1" for letter in pattern] for pattern in patterns])
    return paired(*(
        outcome_rows(of_cell, SEVERITIES[place], margin=np.full(len(patterns), 0.1 * (place + 1)))
        for place, of_cell in enumerate(correct.T)
    ))  # fmt: skip


@pytest.mark.parametrize(
    ("name", "count"),
    [("stayed_correct_share", 4), ("became_incorrect_share", 2), ("became_correct_share", 1),
     ("stayed_incorrect_share", 1), ("changed_share", 3)],
)  # fmt: skip
def test_outcomes_beside_the_clean_ones_have_the_exact_interval(name: str, count: int) -> None:
    cell = cell_of(PATTERNS)
    found = found_of(name, cell)
    assert (found.value, found.n) == (count / 8, 8)
    expected = binomtest(count, 8).proportion_ci(0.95, "exact")
    assert found.ends() == pytest.approx(tuple(expected))


def test_a_prediction_among_other_outputs_changes_too() -> None:
    clean = CellRows.of({"label": [0] * 4, "predicted": [1, -1, -1, 2], "predicted_output": [-1, 7, 7, 2]}, 0)
    here = CellRows.of({"label": [0] * 4, "predicted": [2, -1, -1, 2], "predicted_output": [-1, 7, 8, 2]}, 1)
    assert value_of("changed_share", paired(clean, here)) == 0.5


@settings(max_examples=60)
@given(st.lists(st.text("01", min_size=4, max_size=4), min_size=1, max_size=30))
def test_onsets_are_where_the_pattern_has_its_first_zero(patterns: list[str]) -> None:
    cell = cell_of(patterns)
    restricted = [(*SEVERITIES, SEVERITIES[-1])[pattern.find("0") % 5] for pattern in patterns]  # 4: there is none
    assert value_of("onset_severity", cell) == pytest.approx(np.mean(restricted))
    surviving = [pattern == "1111" for pattern in patterns if pattern[0] == "1"]
    if not surviving:
        assert reason_of("surviving_share", cell) == NO_IMAGE
        return
    found = found_of("surviving_share", cell)
    assert (found.value, found.n) == (pytest.approx(np.mean(surviving)), len(surviving))
    interval = binomtest(sum(surviving), len(surviving)).proportion_ci(0.95, "exact")
    assert found.ends() == pytest.approx(tuple(interval))


def test_margins_one_severity_before() -> None:
    cell = random_cell(200, severities=(0, 1, 2))
    correct = np.stack([rows["correct"] for rows in cell.curve or ()])
    chosen = {"failing": correct[0] & correct[1] & ~correct[2], "surviving": correct.all(0)}
    for name, images in chosen.items():
        found = found_of(f"{name}_mean_margin_before", cell)
        assert (found.value, found.n) == (pytest.approx((cell.curve or ())[1]["margin"][images].mean()), images.sum())


def test_at_the_first_point_there_is_nothing_before() -> None:
    cell = paired(outcome_rows([True, False], 0, margin=[0.5, 0.5], rmse=[0, 0]))
    for name in ("failing_mean_margin_before", "surviving_mean_margin_before"):
        assert reason_of(name, cell) == NO_IMAGE
    assert reason_of("rmse_change", cell) == "there is no severity before"


def test_distortion_is_averaged_and_has_quantiles() -> None:
    cell = random_cell(200)
    assert cell.curve is not None
    for column in ("rmse", "ssim"):
        values = cell.rows[column].astype(np.float64)
        assert value_of(f"mean_{column}", cell) == pytest.approx(values.mean())
        for share in (5, 95):
            found = found_of(f"{column}_q{share:02}", cell)
            assert (found.value, found.n) == (np.quantile(values, share / 100), 200)
    assert value_of("rmse_change", cell) == pytest.approx((cell.rows["rmse"] - cell.curve[-2]["rmse"]).mean())


def test_unpaired_images_have_no_transitions() -> None:
    rows = random_cell(20).rows
    reasons = {reason_of(name, rows) for name, metric in all_metrics().items() if metric.needs_pairs}
    assert reasons == {"corrupted images do not pair with clean ones"}
