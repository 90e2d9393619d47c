"""Distortion measured on request against that of each image, and the severities it is measured at."""

import numpy as np
import pytest

from failmodes.analysis.sample_images import CorruptionRequest, many_images
from failmodes.analysis.statistics.distortion import measured_distortion
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.distortion import rmse, ssim


def test_measured_distortion_is_that_of_each_image() -> None:
    clean = many_images([], 32).images[:7]
    rows, _ = measured_distortion(CorruptionRequest(corruptions=("gaussian_noise",), severities=[2.5], seed=5), clean)
    images = corrupt(clean, "gaussian_noise", 2.5, seed=5)
    row = rows.row(-1, named=True)
    assert row["severity"] == 2.5
    assert row["mean_rmse"] == pytest.approx(rmse(clean, images).mean(), rel=1e-6)
    assert row["ssim_q05"] == pytest.approx(np.quantile(ssim(clean, images).astype(float), 0.05), rel=1e-6)
    assert row["rmse_change"] == pytest.approx(row["mean_rmse"])
