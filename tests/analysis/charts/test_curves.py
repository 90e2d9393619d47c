"""Severity curves: which models are in color, and what the title names."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import CORRUPTIONS, FALLS
from rewritten_shards import cell_of, reply_with
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.model_curves import shape_line
from failmodes.analysis.charts.style.theme import GRAY
from failmodes.analysis.selection import Selection, read_for_selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.own_tables import SHAPE_LABELS


def test_title_of_the_curves_names_the_corruption_of_the_largest_drop(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    finding = CHARTS["curves"](con, selection).to_dict()["usermeta"]["finding"]
    correct = synthetic.correct["Alpha", "gaussian_noise"].sum(axis=1)
    assert finding.startswith("Gaussian noise costs Alpha most")
    assert f"{100 * ((correct[0] - correct[-1]) / 400):.1f}\u00a0points [" in finding


def test_panels_are_headed_by_their_word(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    def texts(shown: Selection, of: duckdb.DuckDBPyConnection) -> list[str]:
        spec = CHARTS["curves"](of, shown).to_dict()
        return [str(row["text"]) for rows in spec["datasets"].values() for row in rows if "text" in row]

    text = texts(selection, con)
    for shape in ("near_linear", "up_and_down", "inconclusive"):
        assert SHAPE_LABELS[shape] in text
    assert "abrupt, between 4 and 5" in text


def test_a_shown_shape_says_where_chance_begins(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    (row,) = read_for_selection(con, "shapes", selection).filter(corruption="fog", label="Alpha").rows(named=True)
    assert shape_line([row], 300, 11) == "abrupt, between 4 and 5"
    row |= {"chance_from": 5, "below_chance": False}
    assert shape_line([row], 500, 11) == "abrupt, between 4 and 5, to chance from severity 5"


def test_curves_color_the_most_and_the_least_accurate(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    means = {label: np.mean([many_results.correct[label, c][1:].mean() for c in CORRUPTIONS]) for label in FALLS}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    chart = CHARTS["curves"](many_con, many_selection)
    spec = chart.to_dict()
    text = [row.get("text", "") for rows in spec["datasets"].values() for row in rows]
    assert f"{most}, highest mean accuracy ({100 * means[most]:.1f}%)" in text
    assert f"{least}, lowest mean accuracy ({100 * means[least]:.1f}%)" in text
    assert "of 6 models those with the highest and the lowest mean accuracy" in spec["usermeta"]["subtitle"]
    layers = spec["vconcat"][1]["concat"][0]["layer"]
    behind = [layer for layer in layers if layer["mark"].get("color") == GRAY]
    assert len(behind) == 1
    assert set(behind[0]["transform"][0]["filter"]["oneOf"]) == set(FALLS) - {most, least}


@pytest.fixture(scope="module")
def mostly_flat(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two models, right on all of 600 images under three of five corruptions, but for Beta under pixelate."""
    corruptions = ("contrast", "fog", "brightness", "pixelate", "saturate")
    made = write_synthetic(tmp_path_factory.mktemp("flat"), images=600, corruptions=corruptions, severities=(1, 5))
    for corruption in ("brightness", "pixelate", "saturate"):
        for label in ("Alpha", "Beta"):
            for severity in (1, 5):
                incorrect = 300 if (label, corruption, severity) == ("Beta", "pixelate", 5) else 0
                predictions = [(image % 4 + (image < incorrect)) % 4 for image in range(600)]
                reply_with(made, cell_of(made, label, corruption, severity), predictions)
    for label in ("Alpha", "Beta"):
        reply_with(made, cell_of(made, label, "none", 0), [image % 4 for image in range(600)])
    load([made.output], made.output / "w.duckdb")
    ensure_shapes(made.output / "w.duckdb", ShapeSettings(resamples=2000))
    with open_warehouse(made.output / "w.duckdb") as con:
        yield con


def drawn_panels(spec: dict) -> list[str]:
    """Titles of the panels of a chart of curves."""
    grid = next(part for part in spec["vconcat"] if "layer" not in part)
    grid = next((part for part in grid.get("vconcat", []) if "concat" in part), grid)
    return [panel["title"]["text"] for panel in grid["concat"]]


def words(spec: dict) -> str:
    return " ".join(str(row["text"]) for rows in spec["datasets"].values() for row in rows if "text" in row)


def test_panels_that_are_flat_for_every_model_are_one_line(mostly_flat: duckdb.DuckDBPyConnection) -> None:
    spec = CHARTS["curves"](mostly_flat, select_one(mostly_flat)).to_dict()
    assert sorted(drawn_panels(spec)) == ["Contrast", "Fog", "Pixelate"]
    text = words(spec)
    assert "Flat within 2 points, for every model, largest total drop in brackets: " in text
    assert "Brightness (0.0 [" in text
    assert "Saturate (extra) (0.0 [" in text
    alpha = select_one(mostly_flat, models=["Alpha"])
    spec = CHARTS["curves"](mostly_flat, alpha).to_dict()
    assert sorted(drawn_panels(spec)) == ["Contrast", "Fog"]
    assert "Flat within 2 points, total drop in brackets: " in words(spec)


@pytest.mark.parametrize("corruptions", [["brightness"], ["brightness", "saturate", "fog"], ["brightness", "saturate"]])
def test_few_panels_or_flat_ones_alone_are_all_drawn(
    mostly_flat: duckdb.DuckDBPyConnection, corruptions: list[str]
) -> None:
    spec = CHARTS["curves"](mostly_flat, select_one(mostly_flat, corruptions=corruptions)).to_dict()
    assert len(drawn_panels(spec)) == len(corruptions)
    assert "Flat within" not in words(spec)
