"""Resampled images: multinomial counts, the same at every call, in chunks that change nothing."""

import numpy as np
import pytest

from failmodes.warehouse.metrics import resampling
from failmodes.warehouse.metrics.intervals import image_weights, kept_weights, weights_in_chunks


def test_each_resample_draws_as_many_images_as_there_are() -> None:
    weights = image_weights(50, 30, 0)
    assert weights.shape == (30, 50)
    assert weights.dtype == np.float32
    assert (weights.sum(1) == 50).all()
    assert (weights >= 0).all()
    assert weights.flags.f_contiguous, "draws of one image lie side by side"


def test_counts_are_multinomial() -> None:
    weights = image_weights(40, 20_000, 1)
    assert weights.mean(0) == pytest.approx(np.ones(40), abs=0.05)
    assert weights.var(0) == pytest.approx(np.full(40, 39 / 40), rel=0.08)
    assert np.cov(weights[:, 0], weights[:, 1])[0, 1] == pytest.approx(-1 / 40, abs=0.03)


def test_a_seed_gives_the_same_weights() -> None:
    assert (image_weights(20, 5, 3) == image_weights(20, 5, 3)).all()
    assert (image_weights(20, 5, 3) != image_weights(20, 5, 4)).any()
    assert (image_weights(20, 5, 3) == image_weights(20, 9, 3)[:5]).all()
    assert kept_weights(20, 5, 3) is kept_weights(20, 5, 3)
    assert (kept_weights(20, 5, 3) == image_weights(20, 5, 3)).all()


def test_groups_are_drawn_whole() -> None:
    groups = np.array([0, 1, 0, 2, 0])
    weights = kept_weights(5, 40, 3, groups)
    assert weights.flags.f_contiguous
    assert (weights == image_weights(3, 40, 3)[:, groups]).all()
    assert kept_weights(5, 40, 3, groups.copy()) is weights


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = image_weights(20, 10, 0)
    monkeypatch.setattr(resampling, "CHUNK_WEIGHTS", 60)
    chunks = [*weights_in_chunks(20, 10, np.random.default_rng(0))]
    assert [len(chunk) for chunk in chunks] == [3, 3, 3, 1]
    assert (np.concatenate(chunks) == whole).all()
