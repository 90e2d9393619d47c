"""The axis of the values of levels below each panel, whose curves run from the reference level to the most severe."""

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style import frame as style
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.statistics.level_axes import LevelAxis, level_axes
from failmodes.runtime.errors import WarehouseError

VALUE = "value"  # the axis of values of levels, instead of "severity"
VALUES_PX = 24  # height of such an axis below each panel
POSITION = alt.X(
    "position:Q",
    title=None,
    scale=style.fixed_scale(0, 1),
    axis=alt.Axis(domain=False, grid=False, labels=False, ticks=False),
)


def levels_with_values(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, LevelAxis]:
    """The axes of values of the selection's corruptions.

    Raises:
        WarehouseError: none has one.
    """
    levels = level_axes(con, selection)
    if not levels:
        raise WarehouseError(
            "no levels have values: state their axis, with `failmodes import --axis contrast=%,100..1` or in "
            "[corruptions.axes] of the study"
        )
    return levels


def axis_ticks(levels: dict[str, LevelAxis], width: float) -> pl.DataFrame:
    """The `tick` texts of values with their `position` in each panel; the ends, and those between that fit."""
    rows = []
    for corruption, axis in levels.items():
        severities = sorted(axis.values)
        positions = axis.positions(severities)
        texts = [axis.text(severity) for severity in severities]
        placed: list[tuple[float, float]] = []
        for place in (0, len(severities) - 1, *range(1, len(severities) - 1)):
            half = style.text_width(texts[place]) / 2 + 3
            left, right = positions[place] * width - half, positions[place] * width + half
            fits = all(right < start or end < left for start, end in placed)
            placed += [(left, right)] * fits
            rows.append({"corruption": corruption, "position": positions[place], "tick": texts[place] if fits else ""})
    return pl.DataFrame(rows)


def value_axis(height: float) -> list[alt.Chart]:
    """The horizontal axis below a panel, whose ticks are the values of its levels."""
    ticks = alt.Chart().transform_filter("isValid(datum.tick)").encode(x=POSITION)
    return [
        style.once().mark_rule(style="muted-line").encode(x=alt.datum(0), x2=alt.datum(1), y=alt.value(height)),
        ticks.mark_rule(style="muted-line").encode(y=alt.value(height), y2=alt.value(height + 4)),
        ticks.mark_text(baseline="top", dy=7, style="muted").encode(y=alt.value(height), text="tick:N"),
    ]


def with_positions(rows: pl.DataFrame, levels: dict[str, LevelAxis]) -> pl.DataFrame:
    """Rows of corruptions whose levels have values, with the `position` of each and the `level` as text."""
    parts = []
    for corruption, axis in levels.items():
        severities = sorted(axis.values)
        places = {
            "severity": severities,
            "position": axis.positions(severities),
            "level": [axis.label(severity) for severity in severities],
        }
        parts.append(
            rows.filter(corruption=corruption).join(pl.DataFrame(places), on="severity", maintain_order="left")
        )
    return pl.concat(parts)
