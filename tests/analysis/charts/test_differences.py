"""The chart of differences: a panel a corruption from loss to gain, what is decided, the margin, and crossovers."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from model_comparisons import compared, few_images

from failmodes.analysis.charts.differences import chart, draw
from failmodes.analysis.charts.drawing import draw_from_warehouse
from failmodes.analysis.charts.style.theme import BLUE, GRAY, VERMILLION
from failmodes.analysis.selection import Selection, select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import StudyError


def panels(spec: dict) -> dict[str, list[dict]]:
    """Rows of all layers by the title of their panel."""
    return {
        panel["title"]["text"]: [
            row for layer in panel["layer"] for row in spec["datasets"][layer.get("data", panel.get("data"))["name"]]
        ]
        for panel in spec["vconcat"][-1]["concat"]
    }


def points(rows: list[dict]) -> dict[float, dict]:
    return {row["severity"]: row for row in rows if "is_decided" in row}


def test_panels_go_from_the_largest_loss_to_the_largest_gain() -> None:
    found = panels(draw(compared()).to_dict())
    assert list(found) == ["Gaussian noise", "Fog", "Contrast"]
    noise = points(found["Gaussian noise"])
    assert list(noise) == [0, 1, 2, 3, 4, 5]
    assert noise[5]["difference"] == pytest.approx(-0.1)
    assert (noise[5]["low"], noise[5]["high"]) == pytest.approx((-0.12, -0.08))


def test_decided_cells_have_the_color_of_the_model_that_is_ahead() -> None:
    found = panels(draw(compared()).to_dict())
    assert {s: p["color"] for s, p in points(found["Gaussian noise"]).items()}[5] == BLUE
    assert points(found["Contrast"])[5]["color"] == VERMILLION
    assert points(found["Fog"])[1]["color"] == GRAY
    swapped = panels(draw(compared(), colors={"Alpha": VERMILLION, "Beta": BLUE}).to_dict())
    assert points(swapped["Contrast"])[5]["color"] == BLUE


def test_margin_and_crossover_are_drawn() -> None:
    found = panels(draw(replace(compared(), margin=0.02)).to_dict())
    assert {"difference": -0.02, "end": 0.02} in found["Fog"]
    crossing, *_ = [row for row in found["Contrast"] if "from" in row]
    assert (crossing["severity"], crossing["from"], crossing["to"]) == (2.4, 2.0, 3.0)
    assert not [row for row in found["Fog"] if "from" in row]


def test_few_images_decide_nothing() -> None:
    spec = draw(few_images()).to_dict()
    for rows in panels(spec).values():
        assert not any(point["is_decided"] for point in points(rows).values())
        assert not [row for row in rows if "from" in row]
    assert "decided" not in spec["usermeta"]["subtitle"]


def test_all_that_is_drawn_lies_within_the_axis() -> None:
    spec = draw(compared()).to_dict()
    for panel in spec["vconcat"][-1]["concat"]:
        domains = [
            layer["encoding"]["y"]["scale"]["domain"] for layer in panel["layer"] if "scale" in layer["encoding"]["y"]
        ]
        assert all(domain == domains[0] for domain in domains)
        low, high = domains[0]
        assert all(
            low < row["low"] <= row["high"] < high for row in points(panels(spec)[panel["title"]["text"]]).values()
        )


def test_one_model_or_many_are_refused_with_the_fix(
    con: duckdb.DuckDBPyConnection, selection: Selection, many_con: duckdb.DuckDBPyConnection
) -> None:
    with pytest.raises(StudyError, match="of two models, and one model is chosen: name two, with --model A --model"):
        chart(con, selection)
    with pytest.raises(StudyError, match="and 6 models are chosen"):
        chart(many_con, select_one(many_con))


def test_of_a_warehouse_the_finding_is_that_of_the_comparison(con: duckdb.DuckDBPyConnection) -> None:
    spec = chart(con, select_one(con)).to_dict()
    assert "Alpha" in spec["usermeta"]["finding"]
    assert "on average over 5\u00a0corruptions" in spec["usermeta"]["finding"]
    assert len(panels(spec)) == 5


@pytest.mark.slow
def test_the_order_of_names_is_the_sign_and_colors_stay(shaped_warehouse: Path) -> None:
    with open_warehouse(shaped_warehouse) as con:
        ids = {one.label: one.evaluation_id for one in select_one(con).evaluations}
    found = []
    for names in (("Alpha", "Beta"), ("Beta", "Alpha")):
        spec = draw_from_warehouse(shaped_warehouse, "differences", models=names, corruptions=["fog"]).to_dict()
        assert f"Accuracy of {names[1]} minus that of {names[0]}" in spec["usermeta"]["subtitle"]
        found.append(points(panels(spec)["Fog"]).values())
        by_identity = draw_from_warehouse(
            shaped_warehouse, "differences", evaluations=[ids[name] for name in names], corruptions=["fog"]
        )
        assert by_identity.to_dict()["usermeta"] == spec["usermeta"]
    there, back = found
    assert [one["difference"] for one in there] == pytest.approx([-one["difference"] for one in back])
    assert [one["color"] for one in there] == [one["color"] for one in back]
