"""No label of a chart is crossed by a line, a point or a rule."""

import altair as alt
import duckdb
import polars as pl
import pytest
from drawn_boxes import crossed_labels

from failmodes.analysis.charts.registry import draw_selection, warehouse_charts
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import FRAMES, PAGE
from failmodes.analysis.evaluations.selection import Selection, select_one


@pytest.mark.parametrize("layout", [*FRAMES])
@pytest.mark.parametrize(
    "name",
    [name if name in ("attention", "curves", "shapes") else pytest.param(name, marks=pytest.mark.slow)
     for name in warehouse_charts() if name != "shifts"],
)  # fmt: skip
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
