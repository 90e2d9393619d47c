"""Statistics of logits against scikit-learn and SciPy; of maps against SciPy and hand-computed cases."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import zoom
from scipy.special import logsumexp, softmax
from scipy.stats import entropy, wasserstein_distance
from sklearn.metrics import log_loss

from failmodes.evaluate.engine.statistics import drift_between, map_statistics, mask_shares, prediction_statistics
from failmodes.warehouse.schema import TEMPERATURES


@pytest.mark.test_all
def test_outcome_agrees_with_independent_libraries() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (200, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 200)
    found = {name: value.numpy() for name, value in prediction_statistics(torch.from_numpy(logits), labels).items()}
    p = softmax(logits.astype(np.float64), axis=1)
    ranks = np.argsort(-logits, axis=1)
    ordered = np.sort(p, axis=1)
    rows = np.arange(200)
    expected = {
        "predicted": p.argmax(1),
        "runner_up": ranks[:, 1],
        "label_rank": (ranks == labels[:, None]).argmax(1) + 1,
        "confidence": p.max(1),
        "label_probability": p[rows, labels],
        "margin": ordered[:, -1] - ordered[:, -2],
        "entropy_nats": entropy(p, axis=1),
        "loss_nats": [log_loss([c], q[None], labels=range(10)) for c, q in zip(labels, p, strict=True)],
        "sum_p2": (p**2).sum(1),
        "log_sum_exp": logsumexp(logits.astype(np.float64), axis=1),
        "max_logit": logits.max(1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=2e-4, atol=2e-6, err_msg=name)
    np.testing.assert_array_equal(found["logits"], logits)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_targets_are_predicted_as_rows_say_for_equal_logits_and_for_none(classes: int) -> None:
    logits = torch.from_numpy(np.random.default_rng(0).integers(-2, 3, (300, classes)).astype(np.float32))
    logits[1] = torch.nan
    logits[2, -1] = torch.nan
    logits[3, 1] = torch.inf
    logits[4] = -torch.inf
    predicted = prediction_statistics(logits, np.zeros(300, int))["predicted"]
    torch.testing.assert_close(logits.argmax(1), predicted, rtol=0, atol=0)


def test_of_many_classes_the_largest_logits_and_the_log_sum_exp_at_every_temperature_are_kept() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (50, 40)).astype(np.float32)
    logits[0] *= 1_000  # nothing overflows
    found = prediction_statistics(torch.from_numpy(logits), np.zeros(50, int))
    expected = [logsumexp(logits.astype(np.float64) / temperature, axis=1) for temperature in TEMPERATURES]
    np.testing.assert_allclose(found["scaled_log_sum_exp"], np.stack(expected, 1), rtol=1e-5, atol=1e-5)
    largest = torch.from_numpy(logits).topk(5)
    np.testing.assert_array_equal(found["logits"], largest.values)
    np.testing.assert_array_equal(found["logit_classes"], largest.indices)


def test_equal_logits_rank_by_class_index() -> None:
    found = prediction_statistics(torch.tensor([[1.0, 1.0, 1.0]]), np.array([2]))
    assert (found["predicted"].item(), found["runner_up"].item(), found["label_rank"].item()) == (0, 1, 3)


def test_extreme_logits_stay_finite() -> None:
    found = prediction_statistics(torch.tensor([[1e4, -1e4, 0.0]]), np.array([1]))
    assert found["entropy_nats"].item() == 0
    assert found["loss_nats"].item() == pytest.approx(2e4)
    assert found["finite"].item()


def test_statistics_of_a_map_worked_by_hand() -> None:
    heat = torch.zeros(1, 1, 2, 4)
    heat[0, 0, 0, 0], heat[0, 0, 1, 3] = 3.0, 1.0
    found = map_statistics(heat)
    assert found["mass"].item() == 4
    assert found["centroid_x"].item() == pytest.approx(0.75 * 0.125 + 0.25 * 0.875)
    assert found["centroid_y"].item() == pytest.approx(0.75 * 0.25 + 0.25 * 0.75)
    variance_x = 0.75 * 0.1875**2 + 0.25 * 0.5625**2
    variance_y = 0.75 * 0.125**2 + 0.25 * 0.375**2
    assert found["spread"].item() == pytest.approx(np.sqrt(variance_x + variance_y))
    assert found["attention_entropy_nats"].item() == pytest.approx(entropy([0.75, 0.25]))
    assert not found["empty"].item()


def test_an_empty_map_is_flagged_and_has_no_place() -> None:
    found = map_statistics(torch.zeros(1, 1, 4, 4))
    assert found["empty"].item()
    assert found["mass"].item() == 0
    assert found["centroid_x"].isnan().item()
    assert found["attention_entropy_nats"].isnan().item()


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(4, 4), (2, 7), (3, 1)]))
def test_drift_agrees_with_scipy_and_numpy(seed: int, shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    first, second = rng.exponential(1, (2, *shape)).astype(np.float32)
    first[0, 0] = 0
    second[-1, -1] += 1
    first[-1, 0] += 1
    found = drift_between(torch.from_numpy(first)[None, None], torch.from_numpy(second)[None, None])
    x, y = (np.arange(shape[1]) + 0.5) / shape[1], (np.arange(shape[0]) + 0.5) / shape[0]
    assert found["w1_x"].item() == pytest.approx(wasserstein_distance(x, x, first.sum(0), second.sum(0)), abs=1e-5)
    assert found["w1_y"].item() == pytest.approx(wasserstein_distance(y, y, first.sum(1), second.sum(1)), abs=1e-5)
    cosine = (first * second).sum() / np.linalg.norm(first) / np.linalg.norm(second)
    assert found["cosine"].item() == pytest.approx(cosine, abs=1e-5)
    centroids = [np.array([(m.sum(0) * x).sum(), (m.sum(1) * y).sum()]) / m.sum() for m in (first, second)]
    assert found["centroid_shift"].item() == pytest.approx(np.linalg.norm(centroids[0] - centroids[1]), abs=1e-5)


def test_drift_of_a_map_from_itself_is_none_and_from_nothing_unknown() -> None:
    heat = torch.rand(5, 2, 4, 4)
    same = drift_between(heat, heat)
    assert max(float(v.abs().max()) for v in (same["centroid_shift"], same["w1_x"], same["w1_y"])) < 1e-6
    assert float((same["cosine"] - 1).abs().max()) < 1e-6
    nothing = drift_between(heat, torch.full((5, 1, 4, 4), torch.nan))
    assert all(bool(value.isnan().all()) for value in nothing.values())


def test_share_inside_a_mask_is_that_of_the_enlarged_map() -> None:
    rng = np.random.default_rng(1)
    maps = torch.from_numpy(rng.random((3, 2, 4, 4), dtype=np.float32))
    masks = rng.random((3, 32, 32)) < 0.3
    found = mask_shares(maps, torch.from_numpy(masks)).numpy()
    for image in range(3):
        for target in range(2):
            enlarged = zoom(maps[image, target].numpy(), 8, order=1, grid_mode=True, mode="nearest")
            expected = enlarged[masks[image]].sum() / enlarged.sum()
            assert found[image, target] == pytest.approx(expected, abs=1e-5)
