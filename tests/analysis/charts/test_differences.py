"""The chart of differences: a panel a corruption from loss to gain, what is decided, the margin, and crossovers."""

from pathlib import Path

import duckdb
import pytest
from model_comparisons import compared, few_images

from failmodes.analysis.chart_registry import draw_from_warehouse
from failmodes.analysis.charts.differences import chart, draw
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.frame import PAGE
from failmodes.analysis.charts.style.theme import BLUE, GRAY, VERMILLION
from failmodes.analysis.selection import Selection, select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import StudyError


def panels(figure: Figure) -> dict[str, list[dict]]:
    """Rows by the name of their panel."""
    spec = figure.to_dict()
    (rows,) = spec["datasets"].values()
    return {
        name: [row for row in rows if row["panel"] == name]
        for name in spec["vconcat"][0]["vconcat"][0]["facet"]["sort"]
    }


def points(rows: list[dict]) -> dict[float, dict]:
    return {row["severity"]: row for row in rows if row["low"] is not None}


def colors(figure: Figure) -> dict[str, str]:
    """Color by verdict."""
    layers = figure.to_dict()["vconcat"][0]["vconcat"][0]["spec"]["layer"]
    scale = next(layer["encoding"]["color"]["scale"] for layer in layers if "color" in layer["encoding"])
    return dict(zip(scale["domain"], scale["range"], strict=True))


def test_panels_go_from_the_largest_loss_to_the_largest_gain() -> None:
    found = panels(draw(compared()))
    assert list(found) == ["Gaussian noise", "Fog", "Contrast"]
    noise = points(found["Gaussian noise"])
    assert list(noise) == [0, 1, 2, 3, 4, 5]
    assert noise[5]["difference"] == pytest.approx(-0.1)
    assert (noise[5]["low"], noise[5]["high"]) == pytest.approx((-0.12, -0.08))


def test_decided_cells_have_the_color_of_the_model_that_is_higher() -> None:
    figure = draw(compared())
    found, color = panels(figure), colors(figure)
    assert color[points(found["Gaussian noise"])[5]["winner"]] == BLUE
    assert color[points(found["Contrast"])[5]["winner"]] == VERMILLION
    assert color[points(found["Fog"])[1]["winner"]] == GRAY
    swapped = colors(draw(compared(), colors={"Alpha": VERMILLION, "Beta": BLUE}))
    assert swapped[points(found["Contrast"])[5]["winner"]] == BLUE


def test_the_crossover_is_drawn() -> None:
    found = panels(draw(compared()))
    (crossing,) = [row for row in found["Contrast"] if row["from"] is not None]
    assert (crossing["severity"], crossing["from"], crossing["to"]) == (2.4, 2.0, 3.0)
    assert not [row for row in found["Fog"] if row["from"] is not None]


def test_few_images_decide_nothing() -> None:
    figure = draw(few_images())
    for rows in panels(figure).values():
        assert {point["winner"] for point in points(rows).values()} == {"inconclusive"}
        assert not [row for row in rows if row.get("from") is not None]
    assert "verdict" not in figure.subtitle


def test_one_model_or_many_are_refused_with_the_fix(
    con: duckdb.DuckDBPyConnection, selection: Selection, many_con: duckdb.DuckDBPyConnection
) -> None:
    with pytest.raises(StudyError, match="of two models, and one model is chosen: name two, with --model A --model"):
        chart(con, selection)
    with pytest.raises(StudyError, match="and 6 models are chosen"):
        chart(many_con, select_one(many_con))


def test_of_a_warehouse_the_finding_is_that_of_the_comparison(con: duckdb.DuckDBPyConnection) -> None:
    figure = chart(con, select_one(con))
    assert "Alpha" in figure.title
    assert "on average over 5\u00a0corruptions" in figure.title
    assert len(panels(figure)) == 5


@pytest.mark.slow
def test_the_order_of_names_is_the_sign_and_colors_stay(shaped_warehouse: Path) -> None:
    with open_warehouse(shaped_warehouse) as con:
        ids = {one.label: one.evaluation_id for one in select_one(con).evaluations}
    found = []
    for names in (("Alpha", "Beta"), ("Beta", "Alpha")):
        figure = draw_from_warehouse(shaped_warehouse, "differences", frame=PAGE, models=names, corruptions=["fog"])
        assert f"Accuracy of {names[1]} minus that of {names[0]}" in figure.subtitle
        color = colors(figure)
        found.append([(p["difference"], color[p["winner"]]) for p in points(panels(figure)["Fog"]).values()])
        by_identity = draw_from_warehouse(
            shaped_warehouse, "differences", frame=PAGE, evaluations=[ids[name] for name in names], corruptions=["fog"]
        )
        assert by_identity.caption == figure.caption
    there, back = found
    assert [one for one, _ in there] == pytest.approx([-one for one, _ in back])
    assert [color for _, color in there] == [color for _, color in back]
