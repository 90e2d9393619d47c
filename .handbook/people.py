"""Draw people's accuracy under contrast and noise, docs/images/people-*.svg, and write docs/people.csv.

    python .handbook/people.py runs/contrast runs/noise

reads the warehouses that the commands of docs/people.md make of published trials.
"""

import sys
from pathlib import Path

import polars as pl

import failmodes
from failmodes.analysis.charts.style.figure import Figure

DOCS = Path(__file__).parents[1] / "docs"
ACCURACIES = ("accuracy", "accuracy_low", "accuracy_high")


def curve_rows(opened: failmodes.Warehouse, figure: Figure) -> pl.DataFrame:
    """Return a row per level: counts of the warehouse, and the mean of observers with the interval that is drawn."""
    (drawn,) = figure.to_altair().to_dict()["datasets"].values()
    means = [
        (row["severity"], *(round(row[name], 6) for name in ACCURACIES))
        for row in drawn
        if row["run"] is None and row["accuracy_low"] is not None
    ]
    counts = opened.sql(
        "select corruption, level_value, level_unit, severity, count(*) as observers, min(image_count) as images, "
        "sum(correct_count)::int as correct, min(accuracy) as lowest_observer, max(accuracy) as highest_observer "
        "from accuracy_by_severity group by all"
    )
    table = pl.DataFrame(means, ("severity", *ACCURACIES), orient="row").unique()
    return counts.join(table, on="severity", validate="1:1").sort("severity").drop("severity")


def write_page_files(folders: list[str]) -> None:
    """Draw a curve of each warehouse, and write the rows of all."""
    tables = []
    for folder in folders:
        opened = failmodes.open(folder)
        figure = opened.chart("curves", axis="value", caption=False)
        tables.append(curve_rows(opened, figure))
        figure.save(DOCS / "images" / f"people-{tables[-1]['corruption'][0].replace('_', '-')}.svg")
    pl.concat(tables).write_csv(DOCS / "people.csv")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python .handbook/people.py WAREHOUSE…, those of docs/people.md")
    write_page_files(sys.argv[1:])
