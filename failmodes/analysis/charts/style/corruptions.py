"""How corruptions are told apart in one panel: the color of their group, and a dash each within it."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.frame import Frame, series_color
from failmodes.analysis.charts.style.theme import GRAY, GROUP_COLORS
from failmodes.analysis.selection import Selection, corruption_names

DASHES = ([1, 0], [6, 2], [2, 2], [7, 2, 2, 2], [1, 3], [10, 3])


def with_groups(con: duckdb.DuckDBPyConnection, selection: Selection, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with the name of their corruption, its group and its place (`dash`) among the selection's of that group."""
    groups = con.sql('select corruption, corruption_group as "group" from corruptions').pl()
    names = pl.DataFrame(list(corruption_names(con, selection).items()), ["corruption", "name"], orient="row")
    places = names.join(groups, on="corruption", how="left", maintain_order="left").with_columns(
        dash=pl.int_range(pl.len()).over("group") % len(DASHES)
    )
    return rows.join(places, on="corruption", maintain_order="left")


def group_color(rows: pl.DataFrame, frame: Frame) -> alt.Color:
    """The color channel of the column `group`, with its legend; groups in order of publication, others last."""
    found = set(rows["group"])
    groups = [group for group in GROUP_COLORS if group in found] + sorted(found - set(GROUP_COLORS))
    return series_color(groups, [GROUP_COLORS.get(group, GRAY) for group in groups], frame, field="group")


def corruption_dash() -> alt.StrokeDash:
    """The dash channel of the column `dash`."""
    scale = alt.Scale(domain=list(range(len(DASHES))), range=list(DASHES))
    return alt.StrokeDash("dash:N", scale=scale, legend=None)
