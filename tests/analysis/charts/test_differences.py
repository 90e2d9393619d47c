"""The chart of differences: a panel a corruption from loss to gain, what is decided, the margin, and crossovers."""

import pytest
from model_comparisons import compared

from failmodes.analysis.charts.differences import draw
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.theme import BLUE, GRAY, VERMILLION


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
    found = panels(figure)
    color = colors(figure)
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
