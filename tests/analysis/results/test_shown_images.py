"""Sheets of pictures as files and in notebooks: every format, malicious names, rows and pixels."""

import re
from pathlib import Path

import numpy as np
import pytest
from page_elements import Elements
from pictured_results import Pictured, pictured

from failmodes.analysis.results.opened_warehouse import Warehouse
from failmodes.analysis.results.shown_images import ImageSheet
from failmodes.ingest.sources import GeneratedSource
from failmodes.runtime.errors import StudyError

MALICIOUS = ('"><script>alert(1)</script>', "\u0643\u0644\u0628 \N{PARTY POPPER} 'q' {{ 7*7 }}")
FOG = "corruption = 'fog' and severity = 1"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Pictured:
    folder = tmp_path_factory.mktemp("malicious")
    models = ("<img src=x onerror=alert(2)>", "Beta")
    return pictured(folder, GeneratedSource(), ("fog",), class_names=MALICIOUS, models=models)


@pytest.fixture(scope="module")
def sheet(made: Pictured) -> ImageSheet:
    return Warehouse(made.warehouse).images(f"{FOG} order by image_id")


def test_rows_and_pixels_are_at_hand(sheet: ImageSheet, made: Pictured) -> None:
    rows = sheet.rows
    assert (rows.height, len(sheet), len(sheet.pixels)) == (12, 12, 12)
    assert rows["image_id"].to_list() == [i for i in range(6) for _ in range(2)]
    assert rows["severity"].to_list() == [1.0] * 12
    assert set(rows["differs"]) == {False}
    np.testing.assert_array_equal(np.stack(sheet.pixels[::2]), made.corrupted["fog", min(made.corrupted)[1]])
    np.testing.assert_array_equal(np.stack(sheet.clean[::2]), made.dataset.images)
    assert "ImageSheet of 12 images" in repr(sheet)


@pytest.mark.parametrize("kind", ["sheet", "curves", "notebook"])
def test_html_shows_malicious_names_and_runs_none(sheet: ImageSheet, made: Pictured, tmp_path: Path, kind: str) -> None:
    shown = Warehouse(made.warehouse).images(image=[0, 1], corruption="fog") if kind == "curves" else sheet
    text = shown._repr_html_() if kind == "notebook" else shown.save(tmp_path / "sheet.html").read_text("utf-8")
    page = Elements(text)
    assert "script" not in page.tags
    assert "49" not in re.findall(r"<bdi>.*?</bdi>", text)
    images = [element.attributes for element in page.found if element.tag == "img"]
    assert len(images) == 12
    for image in images:
        assert image["src"].startswith("data:image/png;base64,")
        assert re.match(
            r"image \d, (Fog, severity [\d.]+|clean): .* predicts .*, (correct|incorrect: the true class is .*)",
            image["alt"],
        )
    assert not re.search(r"(href|src)=.?https?:", text)
    assert "\u0643\u0644\u0628" in text


def test_a_chart_is_valid_and_has_what_was_predicted(sheet: ImageSheet, made: Pictured) -> None:
    curve = Warehouse(made.warehouse).images(image=1, corruption="fog")
    for shown in (sheet, curve):
        figure = shown.chart(layout="paper")
        assert figure.plot.to_dict()["layer"]  # validated
        cells = [cell for rows in figure.to_dict()["datasets"].values() for cell in rows if "url" in cell]
        assert [cell["is_correct"] for cell in cells] == shown.rows["correct"].to_list()
        names = [cell["prediction"].replace("\u200b", "") for cell in cells]
        assert names == shown.rows["predicted_name"].to_list()
        for cell, image_id, confidence in zip(cells, shown.rows["image_id"], shown.rows["confidence"], strict=True):
            assert cell["tip"].startswith(f"image {image_id},")
            assert cell["notes"].startswith(f"{100 * confidence:.0f}%")


def test_what_cannot_be_is_one_line_and_no_file(sheet: ImageSheet, made: Pictured, tmp_path: Path) -> None:
    w = Warehouse(made.warehouse)
    for call, line in (
        (lambda: w.images(), "no images selected"),
        (lambda: w.images("true", image=1), "no images selected"),
        (lambda: w.images("true", corruption="fog"), "corruptions cannot be combined with a filter"),
        (lambda: sheet.save(tmp_path / "a.txt"), "a.txt: it ends in .txt"),
        (lambda: sheet.save(tmp_path / "a.html", theme="gray"), "no theme 'gray'"),
        (lambda: sheet.save(tmp_path / "a.png", layout="wide"), "no layout 'wide'"),
        (lambda: sheet.save(tmp_path / "a.html", width="3mm"), "width '3mm' is not between"),
    ):
        with pytest.raises(StudyError, match=line):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("image", [-1, 10**45, "3", True, [None]], ids=str)
def test_an_invalid_image_id_is_one_line(made: Pictured, image) -> None:
    with pytest.raises(StudyError, match="expected an image ID|no images selected"):
        Warehouse(made.warehouse).images(image=image, corruption="fog")
