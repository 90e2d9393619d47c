"""A figure is as wide on paper as was asked, in every format, with all that belongs to it, and fits a page."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest
from altair.utils.mimebundle import spec_to_mimebundle
from PIL import Image

from failmodes.analysis.charts.drawing import CHARTS, IMAGE_CHARTS
from failmodes.analysis.charts.style.fitting import TALLEST_MM, figure_width_mm, fitted
from failmodes.analysis.charts.style.saving import drawing, save_chart, with_theme
from failmodes.analysis.charts.style.theme import ChartSize
from failmodes.analysis.opened_warehouse import Warehouse
from failmodes.analysis.sample_images import CorruptionRequest
from failmodes.analysis.selection import Selection, select_one
from failmodes.warehouse.errors import StudyError

ALL = [*CHARTS, *(f"{name} of images" for name in IMAGE_CHARTS)]
HARDEST = ("differences", "exemplars", "distortion")  # a legend, pictures, names beside points


def figures() -> Iterator[object]:
    """Every chart at the width of a column and of a page; the corpus has one between."""
    for name in ALL:
        yield pytest.param(name, "85mm", marks=() if name in HARDEST else pytest.mark.slow)
        yield pytest.param(name, "120mm", marks=pytest.mark.corpus)
        yield pytest.param(name, "180mm", marks=pytest.mark.slow)


def drawn(con: duckdb.DuckDBPyConnection, selection: Selection, name: str, size: ChartSize):
    if name == "differences":
        selection = select_one(con)  # of two models
    if name in CHARTS:
        return CHARTS[name](con, selection, size=size)
    request = CorruptionRequest("cifar-c", 0, (), ("fog", "contrast"), ())
    return IMAGE_CHARTS[name.removesuffix(" of images")](request, size=size)


SVG_SIZE = re.compile(r'<svg [^>]*?width="([\d.]+)mm" height="([\d.]+)mm" viewBox="0 0 [^>]*font-family="[^"]+"')


def svg_mm(path: Path) -> tuple[float, float]:
    found = SVG_SIZE.match(path.read_text())
    assert found, path.read_text()[:300]
    return float(found[1]), float(found[2])


def pdf_mm(path: Path) -> tuple[float, float]:
    (box,) = re.findall(rb"/MediaBox ?\[([^\]]*)\]", path.read_bytes())
    left, bottom, right, top = map(float, box.split())
    return (right - left) / 72 * 25.4, (top - bottom) / 72 * 25.4


def png_mm(path: Path) -> tuple[float, float]:
    with Image.open(path) as image:
        dots = image.info["dpi"]
        assert dots == pytest.approx((300, 300), abs=0.1)
        return image.width / dots[0] * 25.4, image.height / dots[1] * 25.4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "width"), list(figures()))
def test_every_chart_is_as_wide_as_asked(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path, name: str, width: str
) -> None:
    width_mm = figure_width_mm("page", width)
    chart = fitted(lambda size: drawn(con, selection, name, size), width_mm)
    for suffix, measured in ((".svg", svg_mm), (".pdf", pdf_mm), (".png", png_mm)):
        wide, high = measured(save_chart(chart, tmp_path / f"figure{suffix}", width_mm=width_mm))
        assert wide == pytest.approx(width_mm, abs=0.5)
        assert high <= TALLEST_MM or name == "exemplars", (suffix, high)  # as the documentation says
    assert_texts_are_of_a_readable_size(chart, width_mm)
    pdf = (tmp_path / "figure.pdf").read_bytes()
    fonts = len(re.findall(rb"/Type /FontDescriptor\b", pdf))
    assert fonts == len(re.findall(rb"/FontFile[23]? ", pdf))  # each is embedded
    assert fonts


def assert_texts_are_of_a_readable_size(chart, width_mm: float) -> None:
    svg, width_px, _ = drawing(with_theme(chart))
    points = [float(px) * width_mm / 25.4 * 72 / width_px for px in re.findall(r'font-size="([\d.]+)px"', svg)]
    assert min(points) >= 6.9
    assert max(points) <= 9.4


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layout"), [("calibration", "page"), ("failure-prediction", "page")])
def test_a_figure_is_drawn_three_times_at_most_and_not_again_for_its_file(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, tmp_path: Path, name: str, layout: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    drawings = []

    def counted(*args, **options):
        drawings.append(name)
        return spec_to_mimebundle(*args, **options)

    monkeypatch.setattr("failmodes.analysis.charts.style.saving.spec_to_mimebundle", counted)
    width_mm = figure_width_mm(layout)
    chart = fitted(lambda size: CHARTS[name](many_con, many_selection, size=size), width_mm)
    path = save_chart(chart, tmp_path / "figure.svg", width_mm=width_mm)
    assert svg_mm(path)[1] <= TALLEST_MM  # which takes lower plots
    assert 1 <= len(drawings) <= 3
    for suffix in (".png", ".pdf"):
        save_chart(chart, tmp_path / f"figure{suffix}", width_mm=width_mm)
    assert len(drawings) <= 3


def test_layouts_are_widths() -> None:
    assert figure_width_mm("paper") == 85
    assert figure_width_mm("page") == 180
    assert figure_width_mm("paper", "180mm") == 180
    for same in ("85mm", "8.5cm", " 85 mm ", "3.346457in", "240.9449pt", "321.2598px"):
        assert figure_width_mm("page", same) == pytest.approx(85, abs=1e-4)


@pytest.mark.parametrize(
    "bad", ["85", "mm", "-85mm", "85 m", "nan mm", "1e9mm", "0mm", "12mm", "9000mm", "85mm;", "", "٨٥mm"]
)
def test_other_widths_are_refused_in_one_line(bad: str) -> None:
    with pytest.raises(StudyError, match=r"width .*85mm") as refused:
        figure_width_mm("page", bad)
    assert "\n" not in str(refused.value)


@pytest.mark.slow
def test_a_figure_of_a_notebook_keeps_its_width(shaped_warehouse: Path, tmp_path: Path) -> None:
    warehouse = Warehouse(shaped_warehouse)
    warehouse.chart("drops", width="100mm", theme="dark").save(tmp_path / "drops.pdf")
    assert pdf_mm(tmp_path / "drops.pdf")[0] == pytest.approx(100, abs=0.1)
    warehouse.chart("drops", width="100mm").properties(background="#eeeeee").save(tmp_path / "gray.pdf")
    assert pdf_mm(tmp_path / "gray.pdf")[0] == pytest.approx(100, abs=0.1)
    warehouse.chart("drops", layout="paper").save(str(tmp_path / "drops.svg"))
    assert svg_mm(tmp_path / "drops.svg")[0] == pytest.approx(85, abs=0.1)
    warehouse.chart("drops", width="100mm").save(tmp_path / "drops.json")
    assert "vconcat" in json.loads((tmp_path / "drops.json").read_text())
    warehouse.chart("drops", width="100mm").save(tmp_path / "altair.png", ppi=72)  # as Altair does
    with Image.open(tmp_path / "altair.png") as image:
        assert image.width == pytest.approx(100 / 25.4 * 96, rel=0.05)
    with pytest.raises(StudyError, match="no width"):
        warehouse.chart("drops", width="wide")
