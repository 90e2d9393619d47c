"""The ranking: rows in order, values with intervals, and by model where there are many."""

import duckdb
import polars as pl
import pytest

from failmodes.analysis.charts.ranking import chart
from failmodes.analysis.charts.style.figure import Figure
from failmodes.analysis.selection import select_one
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
