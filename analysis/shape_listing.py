"""The stored shapes as a table on the terminal."""

import duckdb
from rich.console import Console
from rich.table import Table

from analysis.selection import corruption_labels, select, table
from analysis.statements import settings_of
from analysis.words import SHAPE_WORDS, interval, level, number, percent

COLUMNS = ("Network", "Corruption", "Shape", "Stability", "Total drop, points", "Bow", "Largest step, points")
NARROWEST = 118  # where output goes to a file, lines are this wide


def print_shapes(con: duckdb.DuckDBPyConnection) -> None:
    """Print the shapes of every evaluation to stdout, dearest corruption first, with the settings beneath."""
    console = Console(markup=False)
    if not console.is_terminal:
        console = Console(width=NARROWEST, markup=False)
    names, settings = corruption_labels(con), settings_of(con)
    for selection in select(con):
        listing = Table(*COLUMNS, title=selection.images, box=None, title_justify="left", pad_edge=False)
        rows = table(con, "shapes", selection).sort("label", "total_drop", descending=[False, True])
        for row in rows.rows(named=True):
            bow = "" if row["bow"] is None else (
                f"{number(row['bow'], 2, signed=True)} {interval(row['bow_low'], row['bow_high'], 2, 1)}")  # fmt: skip
            listing.add_row(
                row["label"], names[row["corruption"]], SHAPE_WORDS[row["shape"]], percent(row["stability"], 0),
                f"{number(100 * row['total_drop'])} {interval(row['total_drop_low'], row['total_drop_high'])}", bow,
                f"{number(100 * row['largest_step'])} ({level(row['largest_step_from'])} to "
                f"{level(row['largest_step_to'])})",
            )  # fmt: skip
        console.print(listing)
        console.print(
            f"flat below {settings.flat_below:g}, bow threshold {settings.bow_threshold:g}, {settings.resamples:,} "
            f"resamples with seed {settings.seed}, intervals {percent(settings.interval_level, 0)}",
            style="dim",
        )
