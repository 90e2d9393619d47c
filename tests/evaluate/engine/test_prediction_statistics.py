"""Statistics of logits against scikit-learn and SciPy."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss

from failmodes.evaluate.engine.prediction_statistics import compute_prediction_statistics


def test_outcome_agrees_with_independent_libraries() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 4, (200, 10)).astype(np.float32)
    labels = rng.integers(0, 10, 200)
    found = {
        k: v.numpy()
        for k, v in compute_prediction_statistics(torch.from_numpy(logits), labels)._asdict().items()
        if v is not None
    }
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


def test_equal_logits_rank_by_class_index() -> None:
    found = compute_prediction_statistics(torch.tensor([[1.0, 1.0, 1.0]]), np.array([2]))
    assert (found.predicted.item(), found.runner_up.item(), found.label_rank.item()) == (0, 1, 3)


def test_extreme_logits_stay_finite() -> None:
    found = compute_prediction_statistics(torch.tensor([[1e4, -1e4, 0.0]]), np.array([1]))
    assert found.entropy_nats.item() == 0
    assert found.loss_nats.item() == pytest.approx(2e4)
    assert found.finite.item()


def test_many_classes_keep_the_five_largest_logits() -> None:
    logits = torch.randn(3, 50)
    found = compute_prediction_statistics(logits, np.array([1, 2, 3]))
    np.testing.assert_array_equal(found.logits, logits.topk(5).values)
    np.testing.assert_array_equal(found.logit_classes, logits.topk(5).indices)
