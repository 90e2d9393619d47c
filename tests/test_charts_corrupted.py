"""Charts that corrupt images themselves: contact sheet and distortion, and which options fit which chart."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image
from typer import Typer
from typer.testing import CliRunner

from failmodes.analysis import cli
from failmodes.analysis.charts.distortion import distortion_sentence
from failmodes.analysis.charts.drawing import CHARTS, IMAGE_CHARTS, ImageOptions, WarehouseOptions, draw_chart
from failmodes.analysis.charts.style.theme import PAGE, PAPER
from failmodes.analysis.sample_images import CorruptionRequest, many_images, one_image
from failmodes.analysis.statistics.distortion import measured_distortion
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalogue import CORRUPTIONS
from failmodes.ingest.distortion import rmse, ssim
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import DataError, FailmodesError, StudyError
from tests.synthetic_record import Synthetic

THREE = ("fog", "glass_blur", "saturate")


@pytest.fixture
def striped(tmp_path: Path) -> Path:
    """A photograph-sized image with hard edges."""
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, ::8] = (200, 40, 90)
    pixels[10:20] += 50
    Image.fromarray(pixels).save(tmp_path / "striped.png")
    return tmp_path / "striped.png"


def pictures_of(spec: dict[str, Any]) -> Iterator[np.ndarray]:
    for rows in spec["datasets"].values():
        for row in rows:
            if "url" in row:
                yield np.asarray(Image.open(io.BytesIO(base64.b64decode(row["url"].split(",")[1]))))


def texts_of(spec: dict[str, Any]) -> list[str]:
    return [row["text"] for rows in spec["datasets"].values() for row in rows if "kind" in row]


def test_contact_sheet_shows_each_picture_enlarged_by_whole_pixels(striped: Path) -> None:
    spec = IMAGE_CHARTS["contact-sheet"](CorruptionRequest(corruptions=THREE, seed=3, files=[striped])).to_dict()
    shown = list(pictures_of(spec))
    clean = one_image([striped], 32).images
    expected = [
        clean[0] if not s else corrupt(clean, name, s, seed=3)[0]
        for name in ("glass_blur", "fog", "saturate")  # blur, weather, digital
        for s in range(6)
    ]
    assert len(shown) == len(expected)
    for picture, image in zip(shown, expected, strict=True):
        assert picture.shape == (160, 160, 3)  # five device pixels each, twice the size on the page
        assert (picture == image.repeat(5, 0).repeat(5, 1)).all()


def test_contact_sheet_prints_the_rmse_beneath_and_the_extremes_in_the_title(striped: Path) -> None:
    spec = IMAGE_CHARTS["contact-sheet"](CorruptionRequest(corruptions=THREE, files=[striped])).to_dict()
    clean = one_image([striped], 32).images
    last = {name: float(rmse(clean, corrupt(clean, name, 5))[0]) for name in THREE}
    assert all(f"{value:.3f}" in texts_of(spec) for value in last.values())
    assert spec["usermeta"]["finding"].startswith(CORRUPTIONS[max(last, key=last.__getitem__)].label)
    assert f"{min(last.values()):.3f}" in spec["usermeta"]["finding"]
    assert "striped.png" in spec["usermeta"]["source"]


def test_contact_sheet_says_what_cannot_be_made(monkeypatch: pytest.MonkeyPatch, striped: Path) -> None:
    monkeypatch.setenv("FAILMODES_FROST_PHOTOGRAPHS", str(striped.parent))  # where they are not
    made = CorruptionRequest(corruptions=("fog", "frost", "spatter"), severities=[2.5, 5], files=[striped])
    spec = IMAGE_CHARTS["contact-sheet"](made).to_dict()
    assert "Without frost: frost needs its photographs" in spec["usermeta"]["subtitle"]
    assert "Without spatter at 2.5: 'spatter' is not defined at severity 2.5" in spec["usermeta"]["subtitle"]
    assert texts_of(spec).count("\u2013") == 1
    assert "Frost" not in texts_of(spec)
    with pytest.raises(FailmodesError, match="frost needs its photographs"):
        IMAGE_CHARTS["contact-sheet"](CorruptionRequest(corruptions=("frost",), files=[striped]))


def test_contact_sheet_has_the_groups_in_published_order_and_flags_extras(striped: Path) -> None:
    made = CorruptionRequest(
        corruptions=("saturate", "fog", "gaussian_blur", "shot_noise"), severities=[1], files=[striped]
    )
    texts = texts_of(IMAGE_CHARTS["contact-sheet"](made, layout=PAPER).to_dict())
    headings = [text for text in texts if text in ("Noise", "Blur", "Weather", "Digital")]
    assert headings == ["Noise", "Blur", "Weather", "Digital"]
    assert "Saturate (extra)" in texts
    assert "Fog" in texts


def test_paper_shows_fewer_severities(striped: Path) -> None:
    made = CorruptionRequest(corruptions=("contrast",), files=[striped])
    levels = {layout: [t for t in texts_of(IMAGE_CHARTS["contact-sheet"](made, layout=layout).to_dict())
                       if t in ("clean", *"12345")] for layout in (PAGE, PAPER)}  # fmt: skip
    assert levels == {PAGE: ["clean", *"12345"], PAPER: ["clean", "1", "3", "5"]}


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["cifar-c", "imagenet-c"])
def test_all_corruptions_on_the_photograph_of_scikit_learn(recipe: str) -> None:
    spec = IMAGE_CHARTS["contact-sheet"](CorruptionRequest(recipe=recipe, severities=[5])).to_dict()
    without = spec["usermeta"]["subtitle"].count("Without")
    assert without <= 1  # frost, where its photographs are missing
    assert len(list(pictures_of(spec))) == 2 * (len(CORRUPTIONS) - without)
    assert "china.jpg by danielbuechele" in spec["usermeta"]["source"]


def test_tiles_cover_the_photographs() -> None:
    from sklearn.datasets import load_sample_image

    small, large = many_images([], 32), many_images([], 224)
    assert small.images.shape == (48, 32, 32, 3)
    assert large.images.shape == (12, 224, 224, 3)
    for name, tiles in (("china.jpg", large.images[:6]), ("flower.jpg", large.images[6:])):
        means = load_sample_image(name).mean(axis=(0, 1))
        assert tiles.mean(axis=(0, 1, 2)) == pytest.approx(means, abs=1)


def test_measured_distortion_is_that_of_each_image() -> None:
    clean = many_images([], 32).images[:7]
    rows = measured_distortion(CorruptionRequest(corruptions=("gaussian_noise",), severities=[2.5], seed=5), clean).rows
    images = corrupt(clean, "gaussian_noise", 2.5, seed=5)
    row = rows.row(-1, named=True)
    assert row["severity"] == 2.5
    assert row["mean_rmse"] == pytest.approx(rmse(clean, images).mean(), rel=1e-6)
    assert row["ssim_q05"] == pytest.approx(np.quantile(ssim(clean, images).astype(float), 0.05), rel=1e-6)
    assert row["rmse_change"] == pytest.approx(row["mean_rmse"])


def test_severities_are_dense_where_a_corruption_interpolates_and_whole_where_not() -> None:
    clean = many_images([], 32).images[:2]
    rows = measured_distortion(CorruptionRequest(corruptions=("contrast", "glass_blur")), clean).rows
    grids = {
        name: part["severity"].to_list() for (name,), part in rows.partition_by("corruption", as_dict=True).items()
    }
    assert grids == {"contrast": [s / 4 for s in range(21)], "glass_blur": [0, 1, 2, 3, 4, 5]}


def test_sentence_names_the_farthest_and_the_curves_that_fall() -> None:
    clean = many_images([], 32).images
    made = measured_distortion(CorruptionRequest(corruptions=("contrast", "brightness", "elastic_transform")), clean)
    told = distortion_sentence(made.rows)
    last = made.rows.filter(pl.col("severity") == 5).sort("mean_rmse")["corruption_label"][-1]
    assert told.startswith(f"{last} takes images farthest from clean: RMSE 0.")
    assert told.endswith("not monotone: elastic transform")


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


REFUSED = (
    ("contact-sheet", WarehouseOptions(model=["x"]), ImageOptions(), "leave out --model"),
    ("contact-sheet", WarehouseOptions(where=Path("w.duckdb")), ImageOptions(), "leave out WHERE"),
    ("curves", WarehouseOptions(), ImageOptions(recipe="cifar-c", seed=0), "leave out --recipe and --seed"),
    ("distortion", WarehouseOptions(evaluation=["e"]), ImageOptions(severity=[1.0]), "leave out --evaluation"),
    ("pie", WarehouseOptions(), ImageOptions(), "no chart 'pie'.*contact-sheet"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(recipe="cifar"), "did you mean 'cifar-c'"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(severity=[0.0]), "clean image"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(severity=[7.0]), "out of range"),
    ("contact-sheet", WarehouseOptions(), ImageOptions(image=[Path("a.png"), Path("b.png")]), "one image"),
)


@pytest.mark.parametrize(("name", "warehouse", "images", "message"), REFUSED)
def test_options_that_mean_nothing_to_a_chart_are_refused(
    name: str, warehouse: WarehouseOptions, images: ImageOptions, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        draw_chart(name, warehouse, images)


def test_unknown_corruption_and_missing_image_are_named(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="did you mean 'fog'"):
        draw_chart("contact-sheet", WarehouseOptions(), ImageOptions(), corruptions=["fogg"])
    with pytest.raises(DataError, match=r"no image at .*nothing\.png"):
        draw_chart("contact-sheet", WarehouseOptions(), ImageOptions(image=[tmp_path / "nothing.png"]))
    with pytest.raises(DataError, match="holds no image"):
        draw_chart("distortion", WarehouseOptions(), ImageOptions(image=[tmp_path]))


def test_distortion_without_warehouse_or_recipe_says_both_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StudyError, match=r"no study\.toml.*--recipe"):
        draw_chart("distortion", WarehouseOptions(), ImageOptions())
    with pytest.raises(StudyError, match=r"name a study file, an output folder or a \.duckdb$"):
        draw_chart("curves", WarehouseOptions(), ImageOptions())


def test_command_draws_from_images_and_from_a_warehouse(
    synthetic: Synthetic, tmp_path: Path, striped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Typer()
    app.command()(cli.chart)
    load([synthetic.output], tmp_path / "warehouse.duckdb")
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ["contact-sheet", "--image", str(striped), "--corruption", "fog", "--severity", "2.5", "-o", "sheet.json"],
        ["distortion", "--recipe", "cifar-c", "--image", str(striped), "--corruption", "fog", "-o", "made.json"],
        ["distortion", "--model", "Alpha", "--corruption", "fog", "-o", "stored.json"],
    ):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.output == f"{arguments[-1]}\n"
    found = {path.stem: json.loads(path.read_text())["usermeta"]["source"] for path in tmp_path.glob("*.json")}
    assert found["sheet"].startswith("Image: striped.png; corruptions: cifar-c recipe, seed 0")
    assert found["made"].startswith("Images: 1\u00a0image from striped.png")
    assert found["stored"].startswith("Data: Synthetic digits")


def test_help_lists_every_chart() -> None:
    app = Typer()
    app.command()(cli.chart)
    text = " ".join(CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200"}).output.split())
    assert all(name in text for name in {*CHARTS, *IMAGE_CHARTS})
