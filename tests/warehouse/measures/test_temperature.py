"""Temperature scaling: it finds the temperature that logits were multiplied by, and says nothing without all logits."""

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import logsumexp, softmax

from failmodes.warehouse.measures.temperature import (
    TEMPERATURES,
    CellLogits,
    fit_temperatures,
    measure_temperature,
    read_logits,
)


def drawn(images: int, sharpness: float = 1.0) -> CellLogits:
    """Labels drawn from the softmax of logits, which are then multiplied: their best temperature is the factor."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (images, 4))
    labels = np.array([rng.choice(4, p=p) for p in softmax(logits, axis=1)], np.int16)
    return of_logits(logits * sharpness, labels)


def of_logits(logits: np.ndarray, labels: np.ndarray) -> CellLogits:
    """What a cell with these logits (N, K) gives."""
    p = softmax(logits, axis=1)
    images = np.arange(len(labels))
    own = logits[images, labels]
    return CellLogits(
        images % 2 == 1, logits.argmax(1) == labels, p.max(1), -np.log(p[images, labels]), logits.max(1), own,
        logits.T, has_all=True,
    )  # fmt: skip


def with_stored_sums(cell: CellLogits) -> CellLogits:
    """The same, by the log-sum-exp at every temperature."""
    sums = [logsumexp(cell.values / temperature, axis=0) for temperature in TEMPERATURES]
    return cell._replace(values=np.stack(sums), has_all=False)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 4.0])
def test_the_factor_is_found_by_both_halves_and_corrects_calibration(sharpness: float) -> None:
    cell = drawn(20_000, sharpness)
    found = fit_temperatures(cell)
    assert found.keys() == {False, True}
    assert all(abs(np.log2(TEMPERATURES[t] / sharpness)) <= 1 / 8 for t in found.values()), "within a step of the grid"
    (row,) = measure_temperature(cell, found)
    assert row["scaled_ece"] < 0.02
    assert row["scaled_ece"] <= row["ece"] + 0.01
    assert row["scaled_nll_nats"] <= row["nll_nats"] + 1e-3
    assert sharpness == 1.0 or row["scaled_ece"] < row["ece"] / 3


def test_each_half_is_judged_by_the_temperature_of_the_other() -> None:
    cell = drawn(4_000)
    for part in (cell.values, cell.top, cell.own):
        part[..., cell.is_odd] *= 4  # the odd images alone are too sure
    found = fit_temperatures(cell)
    assert TEMPERATURES[found[False]] == pytest.approx(4, rel=0.2), "even images get what fits the odd ones"
    assert TEMPERATURES[found[True]] == pytest.approx(1, rel=0.2)


def test_sums_at_every_temperature_say_what_all_logits_say() -> None:
    cell = drawn(2_000, 3.0)
    found = fit_temperatures(cell)
    assert fit_temperatures(with_stored_sums(cell)) == found
    (whole,), (stored,) = measure_temperature(cell, found), measure_temperature(with_stored_sums(cell), found)
    assert stored == pytest.approx(whole)


def test_one_half_alone_has_no_temperature_of_its_own() -> None:
    cell = drawn(100)
    even = cell.where(~cell.is_odd)
    found = fit_temperatures(even)
    assert found.keys() == {True}
    assert measure_temperature(even, found) == []
    (row,) = measure_temperature(cell, found)
    assert (row["even_temperature"], row["odd_temperature"], row["image_count"]) == (
        None,
        TEMPERATURES[found[True]],
        50,
    )
    assert measure_temperature(cell, {}) == []


def test_correct_predictions_alone_stay_on_the_grid() -> None:
    cell = drawn(50)
    certain = of_logits(cell.values.T, cell.values.argmax(0))
    assert set(fit_temperatures(certain).values()) == {0}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, 2),
        ({"logits": [None] * 3, "scaled_log_sum_exp": [[1.0] * len(TEMPERATURES)] * 3}, 2),
        ({"logits": [None] * 3, "scaled_log_sum_exp": [[1.0]] * 3}, None),
        ({"logit_classes": [[0, 1]] * 3}, None),
        ({"logits": [None] * 3}, None),
        ({"label": [5, 5, 5]}, None),
        ({"finite": [False] * 3}, None),
        ({"logits": [[0, 1], [1, 0, 2], None]}, None),
    ],
    ids=[
        "whole", "sums", "sums at other temperatures", "the largest", "none", "a label beyond", "no numbers",
        "of several lengths",
    ],
)  # fmt: skip
def test_it_takes_all_logits_or_their_sums(change: dict, kept: int | None) -> None:
    columns = {
        "image_id": [0, 1, 2], "label": [0, 1, 0], "finite": [True, True, False],
        "logits": [[0.0, 1.0], [1.0, 0.0], None], "logit_classes": [None] * 3, "scaled_log_sum_exp": [None] * 3,
        **{name: [1.0, 1.0, None] for name in ("loss_nats", "confidence", "max_logit", "log_sum_exp")},
    }  # fmt: skip
    kinds = {
        "logits": pa.list_(pa.float32()), "logit_classes": pa.list_(pa.int16()), "label": pa.int16(),
        "scaled_log_sum_exp": pa.list_(pa.float32()),
    }  # fmt: skip
    rows = pa.table({name: pa.array(values, kinds.get(name)) for name, values in (columns | change).items()})
    found = read_logits(rows, np.ones(3, np.bool_))
    assert (found if found is None else found.values.shape[1]) == kept
    assert read_logits(rows.drop_columns(["logits", "scaled_log_sum_exp"]), np.ones(3, np.bool_)) is None
