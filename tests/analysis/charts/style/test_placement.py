"""A name is nearest to its own point, or tied to it by a line; names do not overlap, nor leave the plot."""

import json
from itertools import combinations

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.style.placement import PlacedLabels, label_box, place_labels, unnamed_note
from failmodes.analysis.charts.style.saving import specification_of
from failmodes.analysis.charts.style.theme import CHART_SIZES
from failmodes.analysis.selection import select_one

WIDTH, HEIGHT = 260.0, 220.0
NAMES = ("Fog", "Contrast", "Motion blur", "JPEG compression", "Brightness", "Snow", "Pixelate", "Glass blur",
         "Elastic transform", "Shot noise", "Frost", "Gaussian noise")  # fmt: skip
Point = tuple[float, float]


def gap(box: tuple[float, float, float, float], point: Point) -> float:
    """From a point to the nearest of a box."""
    x, y = (min(max(p, low), high) for p, low, high in zip(point, box[:2], box[2:], strict=True))
    return float(np.hypot(point[0] - x, point[1] - y))


points = st.tuples(st.floats(0, WIDTH), st.floats(0, HEIGHT))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(points, min_size=1, max_size=len(NAMES)), st.lists(points, max_size=20))
def test_every_name_is_nearest_to_its_own_point(at: list[Point], behind: list[Point]) -> None:
    names = NAMES[: len(at)]
    others = [("another", point) for point in behind]
    placed = place_labels(at, names, width=WIDTH, height=HEIGHT, others=others)
    boxes = [(label_box(p, name), p, name) for p, name in zip(placed, names, strict=True) if p]
    for box, position, name in boxes:
        own = at[names.index(name)]
        rivals = [point for point in [*at, *behind] if point != own]
        if not position.has_leader:
            assert all(gap(box, own) < gap(box, rival) for rival in rivals)
        assert all(gap(box, rival) > 2 for rival in rivals)
        assert box[0] >= 0
        assert box[1] >= 0
        assert box[2] <= WIDTH
        assert box[3] <= HEIGHT
    for (a, *_), (b, *_) in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(points, min_size=2, max_size=len(NAMES)))
def test_no_leader_leads_over_another_point(at: list[Point]) -> None:
    placed = place_labels(at, NAMES[: len(at)], width=WIDTH, height=HEIGHT)
    for own, position in zip(at, placed, strict=True):
        if position and position.has_leader:
            for share in np.linspace(0, 1, 100):
                x, y = (own[i] + share * (position[i] - own[i]) for i in (0, 1))
                assert all(np.hypot(x - px, y - py) > 2 for px, py in at if (px, py) != own)


def test_a_lone_point_is_named_beside_it() -> None:
    (position,) = place_labels([(100.0, 100.0)], ["Fog"], width=WIDTH, height=HEIGHT)
    assert position is not None
    assert position[:3] == (108.0, 100.0, "left")
    assert not position.has_leader


@pytest.mark.slow
def test_a_point_without_space_is_not_named_and_reported() -> None:
    at = [(20.0 + x, 20.0 + y) for x in range(0, 100, 8) for y in range(0, 100, 8)]
    names = [f"corruption {index}" for index in range(len(at))]
    placed = place_labels(at, names, width=140, height=140)
    assert any(placed)
    assert not all(placed)
    assert unnamed_note([PlacedLabels([], ["Fog", "Snow"])]) == " Not named, for want of room: fog and snow."
    assert "innermost" in unnamed_note([PlacedLabels([], list(NAMES))])
    assert "innermost" in unnamed_note([PlacedLabels([], ["Fog"]), PlacedLabels([], [])])
    assert unnamed_note([PlacedLabels([], [])]) == ""


def panels(spec: dict) -> list[dict]:
    """The layered plots within a specification, however deep."""
    found = [spec] if "layer" in spec and "width" in spec else []
    for key in ("vconcat", "concat", "hconcat"):
        found += [panel for part in spec.get(key, []) for panel in panels(part)]
    return found


def rows_of(spec: dict, layer: dict) -> list[dict]:
    return spec["datasets"][layer["data"]["name"]]


@pytest.mark.parametrize("size", list(CHART_SIZES))
@pytest.mark.parametrize(("name", "fields"), [("shapes", ("drop", "curvature")), ("attention", ("accuracy", "shift"))])
def test_names_on_charts(
    con: duckdb.DuckDBPyConnection, many_con: duckdb.DuckDBPyConnection, name: str, fields: tuple[str, str], size: str
) -> None:
    seen = 0
    for of in (con, many_con):
        spec = json.loads(json.dumps(specification_of(CHARTS[name](of, select_one(of), size=CHART_SIZES[size]))))
        for panel in panels(spec):
            seen += assert_names_are_near(spec, panel, fields)
    assert seen >= 4


def assert_names_are_near(spec: dict, panel: dict, fields: tuple[str, str]) -> int:
    """Look at a panel's own names; how many there are."""
    marked = [layer for layer in panel["layer"] if layer.get("encoding", {}).get("text", {}).get("field") == "name"]
    shown = [layer for layer in panel["layer"] if layer.get("mark", {}).get("type") == "point"
             and layer["encoding"]["y"].get("field") == fields[1]]  # fmt: skip
    if not marked or not shown:
        return 0
    scales = [shown[0]["encoding"][axis]["scale"]["domain"] for axis in "xy"]

    def pixel(row: dict, x: str, y: str) -> Point:
        across = (row[x] - scales[0][0]) / (scales[0][1] - scales[0][0]) * panel["width"]
        return across, (scales[1][1] - row[y]) / (scales[1][1] - scales[1][0]) * panel["height"]

    all_points = [(row["name"], pixel(row, *fields)) for row in rows_of(spec, shown[0]) if row.get("severity", 1)]
    tied = {row["name"] for layer in panel["layer"] for part in layer.get("layer", [])
            for row in rows_of(spec, part if "data" in part else layer)}  # fmt: skip
    labels = [(row["name"], pixel(row, *fields), layer["mark"]["align"])
              for layer in marked for row in rows_of(spec, layer)]  # fmt: skip
    for name, (x, y), align in labels:
        wide = 11 * 0.56 * len(name)
        left = x - {"left": 0, "center": wide / 2, "right": wide}[align]
        box = (left, y - 7, left + wide, y + 7)
        own = min(gap(box, point) for owner, point in all_points if owner == name)
        other = min((gap(box, point) for owner, point in all_points if owner != name), default=np.inf)
        assert own < other or name in tied, (name, own, other)
    return len(labels)


def test_the_test_of_charts_sees_a_name_at_another_point() -> None:
    rows = [{"name": "a", "drop": 1, "curvature": 0}, {"name": "b", "drop": 9, "curvature": 0}]
    encoding = {
        "x": {"field": "drop", "scale": {"domain": [0, 10]}},
        "y": {"field": "curvature", "scale": {"domain": [-1, 1]}},
    }
    spec = {"datasets": {"points": rows, "names": [{"name": "a", "drop": 8, "curvature": 0.2}]}}
    panel = {"width": 200, "height": 100, "layer": [
        {"mark": {"type": "point"}, "data": {"name": "points"}, "encoding": encoding},
        {"mark": {"type": "text", "align": "left"}, "data": {"name": "names"}, "encoding": {"text": {"field": "name"}}},
    ]}  # fmt: skip
    with pytest.raises(AssertionError):
        assert_names_are_near(spec, panel, ("drop", "curvature"))
