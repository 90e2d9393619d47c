"""No label of a chart is crossed by a line, a point or a rule: by where its SVG draws them, in pixels of its layout."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl
import pytest

from failmodes.analysis.charts.registry import draw_selection, warehouse_charts
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import FRAMES, PAGE, text_width
from failmodes.analysis.evaluations.selection import Selection, select_one

NUMBER = re.compile(r"-?[\d.]+(?:e-?\d+)?")
MARKS = ("mark-line", "mark-symbol", "mark-rule")  # bands and cells lie behind their labels
SHRINK = 0.15  # of a text's box on each side, since its size is an estimate
ANCHORS = {"start": 0.0, "middle": 0.5, "end": 1.0}


class Box(NamedTuple):
    """A rectangle with what it holds."""

    left: float
    top: float
    right: float
    bottom: float
    name: str

    def hits(self, x: float, y: float) -> bool:
        """Whether a point lies within."""
        return self.left < x < self.right and self.top < y < self.bottom


def crossed_labels(svg: str) -> list[tuple[str, str]]:
    """Texts of marks that a line, a point or a rule crosses, with the kind of mark."""
    texts: list[Box] = []
    points: list[tuple[float, float, str]] = []
    for element, kind, x, y in _placed(ET.fromstring(svg), "", 0.0, 0.0):
        tag = element.tag.rpartition("}")[2]
        text = "".join(element.itertext()).strip()
        if "role-mark" not in kind:
            continue
        if tag == "text" and text:
            texts.append(_box(element, text, x, y))
        elif tag == "path" and any(mark in kind for mark in MARKS) and _is_seen(element):
            points += [(x + dx, y + dy, kind) for dx, dy in _points(element.get("d", ""), is_line="symbol" not in kind)]
        elif tag == "line" and "mark-rule" in kind and _is_seen(element):
            dx, dy = float(element.get("x2", 0)), float(element.get("y2", 0))
            points += [(x + dx * step / 200, y + dy * step / 200, kind) for step in range(201)]
    return sorted({(box.name, kind) for box in texts for px, py, kind in points if box.hits(px, py)})


def _is_seen(element: ET.Element) -> bool:
    return (
        float(element.get("opacity", 1)) > 0 and {element.get("stroke"), element.get("fill")} - {None, "none"} != set()
    )


def _placed(element: ET.Element, kind: str, x: float, y: float) -> Iterator[tuple[ET.Element, str, float, float]]:
    """Every element with the class of its group and its position."""
    moved = re.match(r"translate\(([^)]*)\)", element.get("transform", ""))
    if moved:
        dx, dy = (float(number) for number in NUMBER.findall(moved[1]))
        x, y = x + dx, y + dy
    if element.tag.endswith("}g"):
        kind = element.get("class", kind)
    yield element, kind, x, y
    for child in element:
        yield from _placed(child, kind, x, y)


def _box(element: ET.Element, text: str, x: float, y: float) -> Box:
    size = float(str(element.get("font-size", "11px")).removesuffix("px"))
    width = text_width(text, size)
    left = x - ANCHORS[element.get("text-anchor", "start")] * width
    high = 0.72 * size
    return Box(left + SHRINK * size, y - high + SHRINK * size, left + width - SHRINK * size, y - SHRINK * size, text)


def _points(path: str, *, is_line: bool) -> list[tuple[float, float]]:
    """Points along a path of lines, or the center of a symbol."""
    if not is_line:
        return [(0.0, 0.0)]
    corners = [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.e-]+),(-?[\d.e-]+)", path)]
    return [
        (x + (x2 - x) * step / 50, y + (y2 - y) * step / 50)
        for (x, y), (x2, y2) in zip(corners, corners[1:], strict=False)
        for step in range(51)
    ] or corners


@pytest.mark.nightly
@pytest.mark.parametrize("layout", [*FRAMES])
@pytest.mark.parametrize("name", [name for name in warehouse_charts() if name != "shifts"])
def test_no_label_is_crossed_by_a_mark(con: duckdb.DuckDBPyConnection, name: str, layout: str) -> None:
    assert crossed_labels(draw_selection(name, con, select_one(con), frame=FRAMES[layout]).to_svg()) == []


def test_values_of_many_models_are_not_crossed(many_con: duckdb.DuckDBPyConnection, many_selection: Selection) -> None:
    assert crossed_labels(draw_selection("ranking", many_con, many_selection).to_svg()) == []


@pytest.mark.parametrize("mark", ["line", "point", "rule"])
def test_a_crossed_label_is_found(mark: str) -> None:
    base = alt.Chart(pl.DataFrame({"x": [0, 1, 2], "y": [1, 1, 1]})).encode(x="x:Q", y="y:Q")
    marks = {"line": base.mark_line(), "point": base.mark_point(), "rule": base.mark_rule().encode(x=alt.datum(1))}
    label = base.transform_filter("datum.x === 1").mark_text(text="a label")
    svg = Figure(marks[mark] + label, "A title", "A subtitle.", "Data.", PAGE).to_svg()
    assert [name for name, _ in crossed_labels(svg)] == ["a label"]
