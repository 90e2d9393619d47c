"""Statistics of logits against scikit-learn and SciPy."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from sklearn.metrics import log_loss
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from failmodes.evaluate.engine.fact_rows import prediction_buffer, prediction_columns
from failmodes.evaluate.engine.prediction_statistics import compute_prediction_statistics
from failmodes.evaluate.models.network import prepare_network
from failmodes.evaluate.study.study_schema import Normalisation
from failmodes.warehouse.hashing import content_hash


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


def test_broken_logits_are_recorded_and_not_averaged(tmp_path) -> None:
    logits = torch.tensor([[1.0, 2.0], [torch.nan, 1.0], [torch.inf, 1.0]])
    rows = prediction_buffer(tmp_path)
    rows.add(
        prediction_columns(np.array([4, 5, 6]), compute_prediction_statistics(logits, np.array([0, 1, 0])), None, None)
    )
    table = rows.table().to_pydict()
    assert table["finite"] == [True, False, False]
    assert table["predicted"] == [1, None, None]
    assert table["confidence"][1:] == [None, None]
    assert table["label"] == [0, 1, 0]
    assert table["rmse"] == [None] * 3


def test_a_network_resizes_images_to_its_own_side() -> None:
    module = torch.nn.Sequential(torch.nn.Identity())
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 28, 3), dtype=np.uint8)
    normalisation = Normalisation(mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
    network = prepare_network(module, "resnet18", normalisation, torch.device("cpu"), "float32", input_side_px=12)
    found = network.inputs(images)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    resized = resize(pixels, [12, 12], interpolation=InterpolationMode.BILINEAR, antialias=True)
    mean = torch.tensor([0.5, 0.4, 0.3]).view(1, 3, 1, 1)
    torch.testing.assert_close(found, (resized / 255 - mean) / 0.2, atol=1e-5, rtol=0)


def test_rows_that_wait_on_disk_are_the_same_rows(monkeypatch, tmp_path) -> None:
    logits = torch.randn(300, 10, generator=torch.Generator().manual_seed(0))
    logits[7] = torch.nan
    labels = np.arange(300) % 10
    tables = []
    for limit in (1 << 30, 1 << 10):
        monkeypatch.setattr("failmodes.evaluate.engine.fact_rows.IN_MEMORY_BYTES", limit)
        rows = prediction_buffer(tmp_path)
        for start in range(0, 300, 50):
            part = slice(start, start + 50)
            rows.add(
                prediction_columns(
                    np.arange(300)[part], compute_prediction_statistics(logits[part], labels[part]), None, None
                )
            )
        tables.append(rows.table())
        assert (rows.spool is None) == (limit == 1 << 30)
    assert tables[0]["logits"].slice(8) == tables[1]["logits"].slice(8)
    assert content_hash(tables[0]) == content_hash(tables[1])
