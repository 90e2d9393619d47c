"""The ranking: rows in order, values with intervals, and by model where there are many."""

import duckdb
import polars as pl
import pytest
from checkpoint_comparisons import FALLS

from failmodes.analysis.charts.ranking import chart
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.model_accuracy import run_accuracies


def rows_of(figure: Figure) -> pl.DataFrame:
    """The data behind the dots."""
    (rows,) = figure.to_dict()["datasets"].values()
    return pl.DataFrame(rows)


def test_few_models_share_a_row_for_clean_the_mean_and_each_corruption(con: duckdb.DuckDBPyConnection) -> None:
    both = select_one(con)
    figure = chart(con, both)
    rows = rows_of(figure)
    names = rows["name"].unique(maintain_order=True).to_list()
    assert names[:2] == ["Clean", "Mean of 5\u00a0corruptions"]
    means = rows.group_by("name", maintain_order=True).agg(pl.col("value").mean())["value"].to_list()[2:]
    assert means == sorted(means)
    found = {e.label: one for e, one in run_accuracies(con, both).items()}
    for label, one in found.items():
        row = rows.filter(label=label, name="Mean of 5\u00a0corruptions").row(0, named=True)
        assert (row["value"], row["low"], row["high"]) == pytest.approx(one.corrupted)
        assert f"{100 * row['value']:.1f}%" in figure.title


def test_of_many_models_each_has_a_row_and_its_weakest_corruption(
    many_con: duckdb.DuckDBPyConnection, many_selection: Selection
) -> None:
    figure = chart(many_con, many_selection)
    rows = rows_of(figure).sort("value", descending=True)
    assert len(rows) == len(FALLS)
    assert (rows["lowest"] < rows["value"]).all()
    assert rows["lowest_text"].str.contains(r"^(Contrast|Motion blur) \d+").all()
    first, last = rows["name"][0], rows["name"][-1]
    assert figure.title.startswith("Mean accuracy over 2\u00a0corruptions, highest and lowest of 6 models: ")
    assert first in figure.title
    assert last in figure.title
