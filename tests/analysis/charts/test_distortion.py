"""Distortion curves: their numbers, and the facts in the title."""

from pathlib import Path

import polars as pl
import pytest

from failmodes.analysis.charts.distortion import chart_of_images
from failmodes.analysis.sample_images import CorruptionRequest, many_images
from failmodes.analysis.statistics.distortion import measured_distortion

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
