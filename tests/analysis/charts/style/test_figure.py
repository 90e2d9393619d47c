"""A figure: exactly as wide as asked in every format, its texts of a readable size, safe and offline everywhere."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import altair as alt
import duckdb
import polars as pl
import pytest
from opened_results import Opened, opened_once
from PIL import Image

from failmodes.analysis.charts.registry import draw_of_images, draw_selection, image_charts, warehouse_charts
from failmodes.analysis.charts.style.figure import VEGA_LITE, Figure
from failmodes.analysis.charts.style.frame import PAGE, PAPER_HEIGHT_MM, Frame, frame_of
from failmodes.analysis.evaluations.selection import Selection, select_one
from failmodes.analysis.images.sample_images import CorruptionRequest
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.runtime.errors import StudyError

ALL = [*warehouse_charts(), *(f"{name} of images" for name in image_charts())]
SVG_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)mm" height="([\d.]+)mm" viewBox="0 0 ([\d.]+)')


def drawn(con: duckdb.DuckDBPyConnection, name: str, frame: Frame) -> Figure:
    if name in warehouse_charts():
        models = [] if name == "differences" else ["Alpha"]
        return draw_selection(name, con, select_one(con, models=models), frame=frame)
    request = CorruptionRequest("cifar-c", 0, (), ("fog", "contrast"), ())
    return draw_of_images(name.removesuffix(" of images"), request, frame)


def pdf_mm(path: Path) -> float:
    (box,) = re.findall(rb"/MediaBox ?\[([^\]]*)\]", path.read_bytes())
    left, _, right, _ = map(float, box.split())
    return (right - left) / 72 * 25.4


def text_points(svg: str) -> list[float]:
    """Sizes of the texts of an SVG file, in points."""
    found = SVG_SIZE.match(svg)
    assert found
    wide, _, natural_px = map(float, found.groups())
    return [float(px) * wide / 25.4 * 72 / natural_px for px in re.findall(r'font-size="([\d.]+)px"', svg)]


def png_mm(path: Path) -> float:
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        return image.width / image.info["dpi"][0] * 25.4


@pytest.mark.parametrize(
    ("name", "width"),
    [pytest.param(name, width, marks=() if (name, width) == ("curves", "85mm") else pytest.mark.nightly)
     for name in ALL for width in ("85mm", "180mm")],
)  # fmt: skip
def test_every_chart_is_as_wide_as_asked_with_readable_texts(
    con: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, width: str
) -> None:
    frame = frame_of("page", width)
    figure = drawn(con, name, frame)
    svg = figure.save(tmp_path / "figure.svg").read_text()
    found = SVG_SIZE.match(svg)
    assert found
    wide, high, natural_px = map(float, found.groups())
    assert wide == pytest.approx(frame.width_mm, abs=0.5)
    assert natural_px == pytest.approx(frame.width_px, rel=0.04), "texts would be scaled"
    assert high <= PAPER_HEIGHT_MM or name in ("exemplars", "contact-sheet of images")
    assert 5 <= min(text_points(svg)) <= max(text_points(svg)) <= 7
    assert figure.title not in re.findall(">([^<]*)</text>", svg)
    assert pdf_mm(figure.save(tmp_path / "figure.pdf")) == pytest.approx(frame.width_mm, abs=0.5)
    assert png_mm(figure.save(tmp_path / "figure.png")) == pytest.approx(frame.width_mm, abs=0.5)


@pytest.fixture(scope="module")
def three_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    """Three models under the 15 corruptions of the benchmark."""
    names = tuple(name for name, corruption in CORRUPTIONS.items() if corruption.headline)
    options = {
        "models": ("Oak", "Elm", "Fir"),
        "corruptions": names,
        "images": 40,
        "severities": (1, 5),
        "resamples": 50,
    }
    with opened_once(tmp_path_factory, "three_models", **options) as opened:
        yield opened


@pytest.mark.test_all
@pytest.mark.parametrize(("corruptions", "width", "highest_mm"), [(15, "180mm", 120), (6, "85mm", 90)])
def test_curves_fit_a_page_of_a_paper(
    three_models: Opened, tmp_path: Path, corruptions: int, width: str, highest_mm: float
) -> None:
    selection = three_models.selection
    part = replace(selection, corruptions=selection.corruptions[:corruptions])
    frame = frame_of("page", width, has_letters=True)
    svg = draw_selection("curves", three_models.con, part, frame=frame).save(tmp_path / "curves.svg").read_text()
    found = SVG_SIZE.match(svg)
    assert found
    assert float(found[2]) <= highest_mm
    assert 5 <= min(text_points(svg)) <= max(text_points(svg)) <= 7
    assert re.search(">a  [A-Z]", svg), "the first panel has its letter"


def test_title_and_caption_are_drawn_on_a_page_or_if_asked_for(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path
) -> None:
    page = draw_selection("accuracy", con, selection)
    paper = draw_selection("accuracy", con, selection, frame=frame_of("paper"))
    with_title = [figure.save(tmp_path / f"{place}.svg").read_text().count(page.title) > 1  # also metadata
                  for place, figure in enumerate((page, paper, replace(paper, has_caption=True)))]  # fmt: skip
    assert with_title == [True, False, True]
    assert min(text_points(page.save(tmp_path / "page.svg").read_text())) >= 7


def test_files_carry_title_data_and_seed(con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path) -> None:
    figure = replace(draw_selection("accuracy", con, selection), has_caption=False)
    svg = ET.fromstring(figure.save(tmp_path / "accuracy.svg").read_text())
    texts = {child.tag.split("}")[1]: child.text for child in svg[:2]}
    assert texts["title"] == figure.title
    assert "seed 0" in str(texts["desc"])
    with Image.open(figure.save(tmp_path / "accuracy.png")) as image:
        assert image.info["Title"] == figure.title
        assert "Synthetic digits" in image.info["Source"]


def test_a_notebook_gets_a_picture_and_an_interactive_chart_without_a_network(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    bundle = draw_selection("accuracy", con, selection)._repr_mimebundle_()
    ET.fromstring(bundle["image/svg+xml"])
    assert bundle[VEGA_LITE]["vconcat"]
    assert "text/html" not in bundle, "Altair's loads scripts of another host"


@pytest.mark.test_all
def test_html_is_offline(con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path) -> None:
    page = draw_selection("accuracy", con, selection).save(tmp_path / "accuracy.html").read_text()
    assert "vegaEmbed" in page
    assert '<script src="http' not in page


def figure_of(plot: alt.Chart) -> Figure:
    return Figure(plot, "A title", "A subtitle.", "Data.", PAGE)


@pytest.mark.parametrize("suffix", [".svg", pytest.param(".html", marks=pytest.mark.test_all), ".json"])
def test_separators_of_lines_in_names_become_spaces(suffix: str, tmp_path: Path) -> None:
    names = ["one\u2028line", "one\u2029paragraph", "back\\slash", "double \" single ' quotes", "\N{GRINNING FACE}"]
    plot = alt.Chart(pl.DataFrame({"name": names})).mark_point().encode(x=alt.X("name:N", sort=names))
    text = figure_of(plot).save(tmp_path / f"chart{suffix}").read_text()
    assert "one line" in text
    assert "one paragraph" in text
    assert not {"\u2028", "\u2029"} & set(text.partition('"vconcat"')[2] or text)


@pytest.mark.parametrize("suffix", [".svg", ".html"])
def test_labels_from_outside_stay_data(tmp_path: Path, suffix: str) -> None:
    malicious = "</script>'\" + alert(1)"
    plot = alt.Chart(pl.DataFrame({"name": [malicious]})).mark_point().encode(x="name:N")
    figure = figure_of(plot)
    figure.to_altair().save(str(tmp_path / "altair.html"), inline=True)
    for path in (figure.save(tmp_path / f"chart{suffix}"), tmp_path / "altair.html"):
        assert "</script>'" not in path.read_text()


def test_layouts_are_widths() -> None:
    assert frame_of("paper").width_mm == pytest.approx(85)
    assert frame_of("page").width_mm == pytest.approx(180)
    assert frame_of("paper", "180mm").width_mm == pytest.approx(180)
    for same in ("85mm", "8.5cm", " 85 mm ", "3.346457in", "240.9449pt", "321.2598px"):
        assert frame_of("page", same).width_mm == pytest.approx(85, abs=1e-4)


@pytest.mark.parametrize("bad", ["85", "-85mm", "nan mm", "9000mm", "85mm;", "", "٨٥mm"])
def test_other_widths_are_refused_in_one_line(bad: str) -> None:
    with pytest.raises(StudyError, match=r"width .*85mm") as refused:
        frame_of("page", bad)
    assert "\n" not in str(refused.value)
