"""Training runs of one model on charts: one line and one mark, with the runs behind."""

import duckdb
import numpy as np
import polars as pl
import pytest
from synthetic_results import Synthetic

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.model_curves import shape_line
from failmodes.analysis.charts.style.theme import MODEL_COLORS
from failmodes.analysis.selection import Selection, select_one

RUNS = [f"{label}, seed {seed}" for label in ("Fir", "Oak") for seed in range(3)]


def data_of(spec: dict, *columns: str) -> list[pl.DataFrame]:
    """The data sets of a chart that have these columns."""
    return [pl.DataFrame(rows) for rows in spec["datasets"].values() if rows and set(columns) <= set(rows[0])]


def test_curves_are_one_line_a_model_with_its_runs_behind(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection, seeded_results: Synthetic
) -> None:
    spec = CHARTS["curves"](seeded_con, seeded).to_dict()
    points = pl.concat(data_of(spec, "chord"))
    assert points["label"].unique().sort().to_list() == ["Fir", "Loner", "Oak"]
    runs = pl.concat(data_of(spec, "run"), how="diagonal")
    assert runs["run"].unique().sort().to_list() == RUNS
    last = {
        seeded_results.correct[run, corruption][-1].mean() for run in RUNS[:3] for corruption in ("fog", "contrast")
    }
    found = runs.filter(label="Fir", severity=5)["accuracy"].unique()
    assert sorted(found) == pytest.approx(sorted(last))
    means = [np.mean([seeded_results.correct[run, c][-1].mean() for run in RUNS[:3]]) for c in ("fog", "contrast")]
    assert sorted(points.filter(label="Fir", severity=5)["accuracy"]) == pytest.approx(sorted(means))
    assert (points["accuracy_low"] < points["accuracy"]).all()
    subtitle = spec["usermeta"]["subtitle"]
    assert "interval over 3\u00a0training seeds and the images (of a single run the exact one" in subtitle
    assert "thin: each seed" in subtitle
    legend = [row["text"] for part in data_of(spec, "text") for row in part.rows(named=True)]
    assert {"Fir (3\u00a0seeds)", "Loner", "Oak (3\u00a0seeds)"} <= set(legend)
    layers = spec["vconcat"][1]["concat"][0]["layer"]
    scales = [layer["encoding"].get("color", {}).get("scale") or {} for layer in layers]
    colors = {color for scale in scales for color in scale.get("range", ())}
    assert colors == set(MODEL_COLORS[:3]), "seven runs of three models are three colors"


def test_runs_of_one_model_alone_are_one_line_without_a_legend(seeded_con: duckdb.DuckDBPyConnection) -> None:
    spec = CHARTS["curves"](seeded_con, select_one(seeded_con, models=RUNS[:3])).to_dict()
    assert pl.concat(data_of(spec, "chord"))["label"].unique().to_list() == ["Fir"]
    assert "interval over 3\u00a0training seeds and the images; thin" in spec["usermeta"]["subtitle"]


def test_the_ranking_has_a_mark_a_model_and_a_tick_a_run(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection, seeded_results: Synthetic
) -> None:
    spec = CHARTS["ranking"](seeded_con, seeded).to_dict()
    (marks,) = data_of(spec, "low")
    (ticks,) = data_of(spec, "run")
    mean = "Mean of 2\u00a0corruptions"
    for label in ("Fir", "Oak"):
        runs = [
            np.mean([seeded_results.correct[f"{label}, seed {seed}", c][1:].mean() for c in ("fog", "contrast")])
            for seed in range(3)
        ]
        mark = marks.filter(label=label, name=mean).row(0, named=True)
        assert mark["value"] == pytest.approx(np.mean(runs))
        assert mark["low"] < min(runs) < max(runs) < mark["high"], "t of two degrees of freedom"
        assert sorted(ticks.filter(label=label, name=mean)["value"]) == pytest.approx(sorted(runs))
    assert ticks.filter(label="Loner").is_empty()
    assert marks.filter(label="Loner").height == marks["name"].n_unique()
    assert "ticks: each seed" in spec["usermeta"]["subtitle"]
    assert "Fir (3\u00a0seeds) is right on" in spec["usermeta"]["finding"]


@pytest.mark.parametrize(
    ("shapes", "space", "line"),
    [
        (["late"] * 3, 300, "late"),
        (["late", "late", "flat"], 300, "late in 2 of 3 seeds"),
        (["late", "late", "flat"], 80, "late 2/3"),
        (["late", "flat"], 300, "shapes differ by seed"),
        (["late", "flat"], 80, "shapes differ"),
    ],
)
def test_shapes_of_runs_are_reported_as_far_as_they_agree(shapes: list[str], space: float, line: str) -> None:
    rows = [
        {
            "shape": shape,
            "stability": 1.0,
            "reason": None,
            "chance_from": None,
            "curvature_low": 0.2,
            "curvature_high": 0.4,
        }
        for shape in shapes
    ]
    assert shape_line(rows, space, 11) == line
