"""The engine: models that raise, out of memory, non-finite logits, prefetched batches, background writes."""

import shutil
from decimal import Decimal

import numpy as np
import torch

from failmodes.evaluate.engine.batches import (
    BatchSlice,
    images_per_batch,
    limit_workers,
    make_batch,
)
from failmodes.evaluate.evaluation_data import open_evaluation_data
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.warehouse.shards.format import Cell


def test_a_batch_depends_on_its_slice_alone(two_models) -> None:
    study = read_study(two_models[0])
    data = next(open_evaluation_data(study, open_dataset(study.dataset, study.cache)))
    whole_slice = BatchSlice(0, Cell("gaussian_noise", Decimal("2.000")), 0, 40)
    whole, threaded = make_batch(data, whole_slice), make_batch(data, whole_slice, threads=3)
    assert torch.equal(whole.images, threaded.images)
    part = make_batch(data, whole_slice._replace(start=17, stop=23))
    assert torch.equal(whole.images[17:23], part.images)
    np.testing.assert_array_equal(whole.ssim[17:23], part.ssim)
    np.testing.assert_array_equal(whole.image_ids[17:23], part.image_ids)
    assert list(part.positions) == list(range(17, 23))


def test_batches_hold_whole_forward_passes_and_fit_shared_memory(monkeypatch) -> None:
    assert images_per_batch((32, 32, 3), 32) % 32 == 0
    assert 32 * 32 * 3 * images_per_batch((32, 32, 3), 32) <= 4 << 20
    assert images_per_batch((224, 224, 3), 64) == 64
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(64 << 20, 0, 64 << 20))
    monkeypatch.setattr("os.path.isdir", lambda _: True)
    assert limit_workers(8, 4 << 20) == 2
    assert limit_workers(8, 40 << 20) == 0
