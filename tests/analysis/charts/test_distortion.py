"""Distortion curves: what the title says, and where the images come from."""

from pathlib import Path

import polars as pl
import pytest

from failmodes.analysis.charts.distortion import distortion_sentence
from failmodes.analysis.charts.drawing import IMAGE_CHARTS, ImageOptions, WarehouseOptions, draw_chart
from failmodes.analysis.sample_images import CorruptionRequest, many_images
from failmodes.analysis.statistics.distortion import measured_distortion
from failmodes.warehouse.errors import StudyError

THREE = ("fog", "glass_blur", "saturate")


def test_sentence_names_the_farthest_and_the_curves_that_fall() -> None:
    clean = many_images([], 32).images
    rows, _ = measured_distortion(CorruptionRequest(corruptions=("contrast", "brightness", "elastic_transform")), clean)
    text = distortion_sentence(rows)
    last = rows.filter(pl.col("severity") == 5).sort("mean_rmse")["corruption_label"][-1]
    assert text.startswith(f"{last} takes these images farthest from clean: RMSE 0.")
    assert text.endswith("not monotone: elastic transform")


def test_distortion_chart_has_a_panel_a_corruption_and_its_source(striped: Path) -> None:
    made = CorruptionRequest(
        recipe="imagenet-c", corruptions=THREE, severities=[1, 5], seed=2, files=[striped, striped.parent]
    )
    spec = IMAGE_CHARTS["distortion"](made).to_dict()
    panels = spec["vconcat"][0]["concat"]
    assert [panel["title"]["text"] for panel in panels] == ["Glass blur", "Fog", "Saturate (extra)"]
    assert all(len(panel["vconcat"]) == 2 for panel in panels)
    assert "2\u00a0images from striped.png" in spec["usermeta"]["subtitle"]
    assert "imagenet-c recipe, seed 2" in spec["usermeta"]["source"]


def test_distortion_without_warehouse_or_recipe_says_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"no study\.toml.*--recipe"):
        draw_chart("distortion", WarehouseOptions(), ImageOptions())
    with pytest.raises(StudyError, match=r"name a study file, an output folder or a \.duckdb$"):
        draw_chart("curves", WarehouseOptions(), ImageOptions())
