"""Training runs of one model on charts: one line and one mark, with the runs behind."""

import duckdb
import numpy as np
import polars as pl
import pytest
from synthetic_results import Synthetic

from failmodes.analysis.charts import curves, ranking
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.charts.style.series import model_colors
from failmodes.analysis.charts.style.theme import MODEL_COLORS
from failmodes.analysis.evaluations.selection import Selection

RUNS = [f"{label}, seed {seed}" for label in ("Fir", "Oak") for seed in range(3)]


def rows_of(figure: Figure) -> pl.DataFrame:
    (rows,) = figure.to_dict()["datasets"].values()
    return pl.DataFrame(rows, infer_schema_length=None)


@pytest.mark.test_all
def test_curves_are_one_line_a_model_with_its_runs_behind(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection, seeded_results: Synthetic
) -> None:
    figure = curves.chart(seeded_con, seeded)
    rows = rows_of(figure)
    points = rows.filter(pl.col("chord").is_not_null())
    runs = rows.filter(pl.col("run").is_not_null())
    assert points["label"].unique().sort().to_list() == ["Fir", "Loner", "Oak"]
    assert runs["run"].unique().sort().to_list() == RUNS
    means = [np.mean([seeded_results.correct[run, c][-1].mean() for run in RUNS[:3]]) for c in ("fog", "contrast")]
    assert sorted(points.filter(label="Fir", severity=5)["accuracy"]) == pytest.approx(sorted(means))
    assert (points["accuracy_low"] < points["accuracy"]).all()
    colors = model_colors(seeded_con, seeded).colors
    assert list(colors.values()) == list(MODEL_COLORS[:3]), "seven runs of three models are three colors"


@pytest.mark.test_all
def test_the_ranking_has_a_mark_a_model_and_a_tick_a_run(
    seeded_con: duckdb.DuckDBPyConnection, seeded: Selection, seeded_results: Synthetic
) -> None:
    figure = ranking.chart(seeded_con, seeded)
    rows = rows_of(figure)
    marks = rows.filter(pl.col("run").is_null())
    ticks = rows.filter(pl.col("run").is_not_null())
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
    assert curves.shape_line(rows, space) == line
