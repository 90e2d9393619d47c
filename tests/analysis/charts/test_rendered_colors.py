"""What a reader sees of every chart: text and marks have enough contrast with the page, in both themes."""

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import duckdb
import pytest
from color_vision import contrast, over, rgb
from marked_cases import quick

from failmodes.analysis.charts.registry import draw_selection, warehouse_charts
from failmodes.analysis.charts.style.theme import THEMES
from failmodes.analysis.evaluations.selection import select_one

MARKS = ("mark-line", "mark-symbol", "mark-rule")
HEAT_MAPS = ("accuracy", "predictions")
Element = tuple[ET.Element, str]  # and the class of the group around it


def elements(svg: str) -> Iterator[Element]:
    def walk(element: ET.Element, kind: str) -> Iterator[Element]:
        kind = element.get("class", kind) if element.tag.endswith("}g") else kind
        yield element, kind
        for child in element:
            yield from walk(child, kind)

    yield from walk(ET.fromstring(svg), "")


def opacity(element: ET.Element, of: str) -> float:
    return float(element.get("opacity", 1)) * float(element.get(f"{of}-opacity", 1))


def drawn(con: duckdb.DuckDBPyConnection, name: str, theme: str) -> str:
    return draw_selection(name, con, select_one(con)).with_theme(theme).to_svg()


def texts_of(svg: str) -> list[Element]:
    return [(e, kind) for e, kind in elements(svg) if e.tag.endswith("}text") and "".join(e.itertext()).strip()]


def assert_texts_are_read(svg: str, theme: str, *, has_cells: bool) -> None:
    colors = THEMES[theme]
    texts = texts_of(svg)
    assert len(texts) > 10
    for element, kind in texts:
        fill = element.get("fill", "")
        if has_cells and "role-mark" in kind and fill in (colors.on_low, colors.on_high):
            continue  # numbers on cells: the theme's test looks at these
        ratio = contrast(over(fill, opacity(element, "fill"), colors.background), rgb(colors.background))
        assert ratio >= 4.5, ("".join(element.itertext()), fill, ratio)


@pytest.mark.test_all
@pytest.mark.parametrize("theme", list(THEMES))
@quick("name", warehouse_charts(), "curves", "exemplars", "ranking", others="nightly")
def test_texts_and_marks_of_every_chart(con: duckdb.DuckDBPyConnection, name: str, theme: str) -> None:
    svg = drawn(con, name, theme)
    page = THEMES[theme].background
    assert_texts_are_read(svg, theme, has_cells=name in HEAT_MAPS)
    if name == "exemplars":
        return  # its lines lie on pictures, in white on black
    for element, kind in elements(svg):
        if not (kind.startswith(MARKS) and "role-mark" in kind and element.tag.endswith(("}path", "}line"))):
            continue
        inks = [(of, element.get(of, "none")) for of in ("stroke", "fill")]
        seen = [over(c, opacity(element, of), page) for of, c in inks if c not in ("none", "transparent")]
        assert max(contrast(color, rgb(page)) for color in seen) >= 3, (kind, inks)
