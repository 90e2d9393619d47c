"""What the pointer tells of a mark is in words: named fields, points for differences, no identifiers."""

import re
from collections.abc import Iterator

import duckdb
import pytest
from checkpoint_comparisons import FALLS

from failmodes.analysis.chart_registry import draw_of_images, draw_selection, image_charts, warehouse_charts
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.sample_images import CorruptionRequest
from failmodes.analysis.selection import select_one

ABBREVIATIONS = {"p", "low", "high", "curvature", "mean", "tip", "text"}


def layers(spec: dict, data: dict | None = None) -> Iterator[tuple[dict, dict]]:
    """Every unit of a specification with its data."""
    data = spec.get("data", data)
    children = [part for key in ("vconcat", "concat", "hconcat", "layer") for part in spec.get(key, [])]
    children += [spec["spec"]] if "spec" in spec else []
    if not children:
        yield spec, data or {}
    for child in children:
        yield from layers(child, data)


def tooltips(unit: dict) -> list[dict]:
    tips = unit.get("encoding", {}).get("tooltip", [])
    return tips if isinstance(tips, list) else [tips]


def assert_in_words(spec: dict) -> int:
    count = 0
    for unit, data in layers(spec):
        rows = spec["datasets"][data["name"]] if "name" in data else []
        for tip in tooltips(unit):
            count += 1
            title = tip.get("title") or tip["field"]
            assert "_" not in title
            assert title not in ABBREVIATIONS, title
            if "drop" in title or "points" in title:
                assert "%" not in tip.get("format", ""), title
            values = [row[tip["field"]] for row in rows if isinstance(row.get(tip["field"]), str)]
            assert not [value for value in values if re.search(r"[a-z]_[a-z]", value)], title
    return count


@pytest.mark.slow
@pytest.mark.parametrize("name", warehouse_charts())
def test_tooltips_of_a_chart(con: duckdb.DuckDBPyConnection, many_con: duckdb.DuckDBPyConnection, name: str) -> None:
    for of in (con, many_con):
        models = list(FALLS)[:2] if name == "differences" and of is many_con else ()
        assert assert_in_words(draw_selection(name, of, select_one(of, models=models)).to_dict()) > 0


@pytest.mark.parametrize("name", image_charts())
def test_tooltips_of_a_chart_of_images(name: str) -> None:
    request = CorruptionRequest("cifar-c", 0, (5,), ("gaussian_noise", "motion_blur"), ())
    assert assert_in_words(draw_of_images(name, request, PAGE).to_dict()) > 0


@pytest.mark.parametrize("name", ["drops", "predictions"])
def test_a_heat_map_has_the_same_tooltip_over_its_numbers(con: duckdb.DuckDBPyConnection, name: str) -> None:
    spec = draw_selection(name, con, select_one(con)).to_dict()
    by_mark: dict[str, list] = {}
    for unit, _ in layers(spec):
        by_mark.setdefault(unit["mark"]["type"], []).append(tooltips(unit))
    assert len(by_mark["text"]) == 2 * len(by_mark["rect"])
    assert all(tips == by_mark["rect"][0] != [] for tips in [*by_mark["rect"], *by_mark["text"]])


def test_a_drop_is_named_in_points(con: duckdb.DuckDBPyConnection) -> None:
    spec = draw_selection("drops", con, select_one(con)).to_dict()
    rows = [row for rows in spec["datasets"].values() for row in rows if row.get("drop_points") is not None]
    assert len(rows) > 20
    for row in rows:
        assert row["drop_points"] == pytest.approx(100 * (row["clean_accuracy"] - row["accuracy"]))
