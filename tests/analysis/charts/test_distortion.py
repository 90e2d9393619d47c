"""Distortion curves: their numbers, and the facts in the title."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from failmodes.analysis.charts.distortion import chart_of_images, measured_distortion
from failmodes.analysis.images.sample_images import CorruptionRequest, many_images
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.distortion import rmse, ssim

THREE = ("fog", "glass_blur", "saturate")


def points_of(spec: dict) -> pl.DataFrame:
    return pl.DataFrame(next(rows for rows in spec["datasets"].values() if "mean" in rows[0]), infer_schema_length=None)


def test_each_measure_is_a_distance_from_clean(striped: Path) -> None:
    made = CorruptionRequest(
        recipe="imagenet-c", corruptions=THREE, severities=[1, 5], seed=2, files=[striped, striped.parent]
    )
    figure = chart_of_images(made)
    points = points_of(figure.to_dict())
    expected, _ = measured_distortion(made, many_images(made.files, 224).images)
    fog = points.filter(corruption="Fog", severity=5.0)
    (row,) = expected.filter(corruption="fog", severity=5.0).rows(named=True)
    assert fog["mean"].to_list() == pytest.approx([row["mean_rmse"], 1 - row["mean_ssim"]])
    assert fog["low"].to_list() == pytest.approx([row["rmse_q05"], 1 - row["ssim_q95"]])
    assert fog["high"].to_list() == pytest.approx([row["rmse_q95"], 1 - row["ssim_q05"]])
    assert points.filter(severity=0.0)["mean"].to_list() == pytest.approx([0] * 6, abs=1e-6)


def test_measured_distortion_is_that_of_each_image() -> None:
    clean = many_images([], 32).images[:7]
    rows, _ = measured_distortion(CorruptionRequest(corruptions=("gaussian_noise",), severities=[2.5], seed=5), clean)
    images = corrupt(clean, "gaussian_noise", 2.5, seed=5)
    row = rows.row(-1, named=True)
    assert row["severity"] == 2.5
    assert row["mean_rmse"] == pytest.approx(rmse(clean, images).mean(), rel=1e-6)
    assert row["ssim_q05"] == pytest.approx(np.quantile(ssim(clean, images).astype(float), 0.05), rel=1e-6)
    assert row["rmse_change"] == pytest.approx(row["mean_rmse"])
