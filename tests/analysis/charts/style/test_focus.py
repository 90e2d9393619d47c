"""The pointer brings one model or corruption to the front; drawn on paper, nothing is faded."""

import json
import re

import duckdb
import pytest

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.style.focus import FADED, FOCUS
from failmodes.analysis.charts.style.saving import drawing, specification_of, with_theme
from failmodes.analysis.selection import select_one


def units(spec: dict) -> list[dict]:
    parts = [part for key in ("vconcat", "concat", "layer") for part in spec.get(key, [])]
    return [unit for part in parts for unit in units(part)] if parts else [spec]


@pytest.mark.parametrize("models", [[], ["Alpha"]])
@pytest.mark.parametrize(("name", "field"), [("curves", "label"), ("onset", "corruption"), ("attention", "corruption")])
def test_layers_fade_by_what_the_pointer_is_over(
    con: duckdb.DuckDBPyConnection, name: str, field: str, models: list[str]
) -> None:
    chart = CHARTS[name](con, select_one(con, models=models))
    spec = json.loads(json.dumps(specification_of(chart)))
    (param,) = spec["params"]
    assert param["name"] == FOCUS
    assert param["select"]["fields"] == [field]
    found = units(spec)
    pointed = [unit for unit in found if unit.get("name") in param["views"]]
    assert sorted(unit["name"] for unit in pointed) == sorted(param["views"])
    fading = [unit for unit in found if unit["encoding"].get("opacity", {}).get("value") == FADED]
    assert len(fading) >= 2 * len(pointed)
    for unit in fading:
        assert all(field in row for row in spec["datasets"][unit["data"]["name"]])
    svg = drawing(with_theme(chart)).svg
    assert not re.search(rf'opacity="{FADED}"', svg)
