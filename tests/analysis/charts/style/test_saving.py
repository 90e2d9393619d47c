"""A chart is saved in the format of its suffix, offline, light or dark."""

import json
from pathlib import Path

import altair as alt
import duckdb
import polars as pl
import pytest

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.style.combining import layered
from failmodes.analysis.charts.style.saving import save_chart
from failmodes.analysis.charts.style.theme import DARK_COLORS, GROUP_COLORS, PAGE, ChartText, add_text
from failmodes.analysis.selection import Selection
from failmodes.warehouse.errors import StudyError

NOISE = GROUP_COLORS["noise"]


@pytest.mark.parametrize(
    ("suffix", "start"), [(".svg", b"<svg"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".json", b"{")]
)
def test_saves_in_the_format_of_the_suffix(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path, suffix: str, start: bytes
) -> None:
    path = save_chart(CHARTS["drops"](con, selection), tmp_path / f"drops{suffix}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.slow
def test_html_is_offline(con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path) -> None:
    page = save_chart(CHARTS["drops"](con, selection), tmp_path / "drops.html").read_text()
    assert "vegaEmbed" in page
    assert '<script src="http' not in page


@pytest.mark.slow
def test_dark_theme_changes_ground_and_colors(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path
) -> None:
    chart = CHARTS["onset"](con, selection)
    light = save_chart(chart, tmp_path / "light.json").read_text()
    dark = save_chart(chart, tmp_path / "dark.json", theme="dark").read_text()
    assert json.loads(light)["config"]["background"] == "#ffffff"
    assert json.loads(dark)["config"]["background"] == "#16181d"
    assert NOISE in json.dumps(json.loads(light)["datasets"])
    assert NOISE not in json.dumps(json.loads(dark)["datasets"])
    assert DARK_COLORS[NOISE] in json.dumps(json.loads(dark)["datasets"])


def test_unknown_suffix_and_theme_are_refused(
    con: duckdb.DuckDBPyConnection, selection: Selection, tmp_path: Path
) -> None:
    chart = CHARTS["drops"](con, selection)
    with pytest.raises(StudyError, match=r"drops.gif: .*\.svg, \.png, \.pdf, \.html or \.json"):
        save_chart(chart, tmp_path / "drops.gif")
    with pytest.raises(StudyError, match="no theme"):
        save_chart(chart, tmp_path / "drops.svg", theme="sepia")


@pytest.mark.parametrize("suffix", [".svg", ".html", ".json"])
def test_separators_of_lines_in_names_become_spaces(suffix: str, tmp_path: Path) -> None:
    names = ["one\u2028line", "one\u2029paragraph", "back\\slash", "double \" single ' quotes", "\N{GRINNING FACE}"]
    plot = alt.Chart(pl.DataFrame({"name": names})).mark_point().encode(x=alt.X("name:N", sort=names))
    text = save_chart(alt.vconcat(plot), tmp_path / f"chart{suffix}").read_text()
    assert "one line" in text
    assert "one paragraph" in text
    assert not {"\u2028", "\u2029"} & set(text.partition('"vconcat"')[2] or text)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_emoji_are_cut_in_whole(tmp_path: Path, suffix: str) -> None:
    names = pl.DataFrame({"name": ["\N{GRINNING FACE}" * 30, "\N{GRINNING FACE} face"], "value": [1, 2]})
    for limit in range(30, 44):
        axis = alt.Axis(labelLimit=limit)
        chart = alt.Chart(names).mark_point().encode(alt.X("value:Q"), alt.Y("name:N", axis=axis))
        save_chart(add_text([layered(chart)], ChartText("A", "b", "c"), PAGE), tmp_path / f"chart{suffix}")
    if suffix == ".svg":
        assert "\N{GRINNING FACE}" in (tmp_path / "chart.svg").read_text()
