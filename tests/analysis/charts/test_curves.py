"""Severity curves: which models are in color, and what the title names."""

from collections.abc import Iterator

import duckdb
import numpy as np
import pytest
from checkpoint_comparisons import CORRUPTIONS, FALLS
from rewritten_shards import cell_of, reply_with
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.charts.curves import chart, shape_line
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.models import OTHERS
from failmodes.analysis.selection import Selection, read_for_selection, select_one
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database_schema import SHAPE_LABELS


def rows_of(figure: Figure) -> list[dict]:
    """The rows of the chart's one table."""
    (rows,) = figure.to_dict()["datasets"].values()
    return rows


def test_title_of_the_curves_names_the_corruption_of_the_largest_drop(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    finding = chart(con, selection).title
    correct = synthetic.correct["Alpha", "gaussian_noise"].sum(axis=1)
    assert finding.startswith("Gaussian noise costs Alpha most")
    assert f"{100 * ((correct[0] - correct[-1]) / 400):.1f}\u00a0points [" in finding


def test_panels_are_headed_by_their_word(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    def texts(shown: Selection, of: duckdb.DuckDBPyConnection) -> list[str]:
        return [str(row["shape_text"]) for row in rows_of(chart(of, shown)) if row.get("shape_text")]

    text = texts(selection, con)
    for shape in ("near_linear", "up_and_down", "inconclusive"):
        assert SHAPE_LABELS[shape] in text
    assert any(line.startswith("abrupt") for line in text)


def test_a_shown_shape_says_where_chance_begins(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    (row,) = read_for_selection(con, "shapes", selection).filter(corruption="fog", label="Alpha").rows(named=True)
    assert shape_line([row], 300) == "abrupt, between 4 and 5"
    row |= {"chance_from": 5, "below_chance": False}
    assert shape_line([row], 500) == "abrupt, between 4 and 5, to chance from severity 5"


def test_curves_color_the_most_and_the_least_accurate(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_results: Synthetic
) -> None:
    means = {label: np.mean([many_results.correct[label, c][1:].mean() for c in CORRUPTIONS]) for label in FALLS}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    figure = chart(many_con, many_selection)
    series = {row["label"]: row["series"] for row in rows_of(figure) if row["label"]}
    assert series[most] == f"{most} (highest mean, {100 * means[most]:.1f}%)"
    assert series[least] == f"{least} (lowest mean, {100 * means[least]:.1f}%)"
    assert {label for label, name in series.items() if name == OTHERS} == set(FALLS) - {most, least}
    assert "of 6 models the highest and the lowest mean accuracy" in figure.subtitle


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


def drawn_panels(figure: Figure) -> list[str]:
    """Names of the panels of a chart of curves."""
    return sorted(figure.to_dict()["vconcat"][0]["vconcat"][0]["facet"]["sort"])


def test_panels_that_are_flat_for_every_model_are_named_in_the_caption(mostly_flat: duckdb.DuckDBPyConnection) -> None:
    figure = chart(mostly_flat, select_one(mostly_flat))
    assert drawn_panels(figure) == ["Contrast", "Fog", "Pixelate"]
    assert {row["corruption"] for row in rows_of(figure)} == {"Contrast", "Fog", "Pixelate"}
    assert "Flat within 2 points and not drawn" in figure.subtitle
    assert "Brightness (0.0 [" in figure.subtitle
    assert "Saturate (extra) (0.0 [" in figure.subtitle
    assert drawn_panels(chart(mostly_flat, select_one(mostly_flat, models=["Alpha"]))) == ["Contrast", "Fog"]


@pytest.mark.parametrize("corruptions", [["brightness"], ["brightness", "saturate", "fog"], ["brightness", "saturate"]])
def test_few_panels_or_flat_ones_alone_are_all_drawn(
    mostly_flat: duckdb.DuckDBPyConnection, corruptions: list[str]
) -> None:
    figure = chart(mostly_flat, select_one(mostly_flat, corruptions=corruptions))
    assert len(drawn_panels(figure)) == len(corruptions)
    assert "Flat within" not in figure.subtitle


def test_points_are_the_cells_and_their_chord_is_straight(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    points = [row for row in rows_of(chart(con, selection)) if row["chord"] is not None and row["corruption"] == "Fog"]
    accuracy = synthetic.correct["Alpha", "fog"].mean(axis=1)
    assert [row["accuracy"] for row in points] == pytest.approx(accuracy.tolist())
    assert [row["chord"] for row in points] == pytest.approx(np.linspace(accuracy[0], accuracy[-1], 6).tolist())
