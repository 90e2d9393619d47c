"""Severity curves: which networks are in colour, and what the title names."""

import duckdb
import numpy as np
from model_comparisons import CORRUPTIONS, FALLS
from synthetic_record import Synthetic

from failmodes.analysis.charts.drawing import CHARTS
from failmodes.analysis.charts.style.theme import GREY
from failmodes.analysis.formatting import SHAPE_NAMES
from failmodes.analysis.selection import Selection, select_one


def test_title_of_the_curves_names_the_costliest_corruption(
    con: duckdb.DuckDBPyConnection, selection: Selection, synthetic: Synthetic
) -> None:
    finding = CHARTS["curves"](con, selection).to_dict()["usermeta"]["finding"]
    right = synthetic.correct["Alpha", "gaussian_noise"].sum(axis=1)
    assert finding.startswith("Gaussian noise costs Alpha most")
    assert f"{100 * ((right[0] - right[-1]) / 400):.1f}\u00a0points [" in finding


def test_panels_are_headed_by_their_class_and_where_chance_begins(
    many_con: duckdb.DuckDBPyConnection, con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    def texts(shown: Selection, of: duckdb.DuckDBPyConnection) -> list[str]:
        spec = CHARTS["curves"](of, shown).to_dict()
        return [str(row["text"]) for rows in spec["datasets"].values() for row in rows if "text" in row]

    told = texts(selection, con)
    for shape in ("late_collapse", "near_linear", "early_drop", "non_monotone", "undecided"):
        assert SHAPE_NAMES[shape] in told
    cedar = select_one(many_con, models=["Cedar"])
    rows = many_con.sql(
        "select corruption, chance_from::double as severity from shapes where evaluation_id = ?", params=cedar.ids
    ).pl()  # fmt: skip
    begins = dict(rows.rows())
    assert begins == {"contrast": 5, "motion_blur": 2}
    shapes = {"contrast": SHAPE_NAMES["near_linear"], "motion_blur": SHAPE_NAMES["early_drop"]}
    expected = {f"{shapes[corruption]}, at chance from {severity:g}" for corruption, severity in begins.items()}
    assert expected <= set(texts(cedar, many_con))


def test_curves_colour_the_most_and_the_least_accurate(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection, many_record: Synthetic
) -> None:
    means = {label: np.mean([many_record.correct[label, c][1:].mean() for c in CORRUPTIONS]) for label in FALLS}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    chart = CHARTS["curves"](many_con, many_selection)
    spec = chart.to_dict()
    text = [row.get("text", "") for rows in spec["datasets"].values() for row in rows]
    assert f"{most}, highest mean accuracy ({100 * means[most]:.1f}\u00a0%)" in text
    assert f"{least}, lowest mean accuracy ({100 * means[least]:.1f}\u00a0%)" in text
    assert "of 6 networks those with the highest and the lowest mean accuracy" in spec["usermeta"]["subtitle"]
    layers = spec["vconcat"][1]["concat"][0]["layer"]
    behind = [layer for layer in layers if layer["mark"].get("color") == GREY]
    assert len(behind) == 1
    assert set(behind[0]["transform"][0]["filter"]["oneOf"]) == set(FALLS) - {most, least}
