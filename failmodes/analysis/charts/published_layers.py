"""Published models behind those of a selection: gray and thin, in the panels of curves and in shape space."""

from typing import NamedTuple

import altair as alt
import duckdb
import polars as pl

from failmodes.analysis.charts.style.labels import LegendEntry
from failmodes.analysis.charts.style.theme import GRAY
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.curve_shape import FALLING
from failmodes.analysis.statistics.published import published_curves, published_shapes
from failmodes.warehouse.database.own_tables import SHAPE_LABELS

LINE_WIDTH, LINE_OPACITY = 0.6, 0.5
POINT_SIZE, POINT_OPACITY = 12, 0.45


class PublishedBehind(NamedTuple):
    """Published models on a selection's data set; of none, empty tables and an empty name.

    Attributes:
        curves: model, corruption, severity and accuracy (0-1).
        shapes: model, corruption, shape, drop (points) and curvature of the curves that fall.
        name: how many there are, and of which sets; "" for none.
        short_name: the same for a legend: of one set, who published it.
        caution: of whose images they are.
    """

    curves: pl.DataFrame
    shapes: pl.DataFrame
    name: str
    short_name: str
    caution: str

    def entries(self, shape: str | None = None) -> list[LegendEntry]:
        """The legend's entry, a line or a point of that `shape`."""
        return [LegendEntry(self.short_name, GRAY, shape=shape)] if self.name else []

    @property
    def phrase(self) -> str:
        """What a subtitle says of them; ends in a semicolon."""
        return f"thin gray: {self.name}, {self.caution}; " if self.name else ""

    def lines(self, corruption: str, x: alt.X, y: alt.Y) -> list[alt.Chart]:
        """A line a published model under one corruption."""
        points = self.curves.filter(corruption=corruption).select("model", "severity", "accuracy")
        if points.is_empty():
            return []
        mark = alt.Chart(points).mark_line(strokeWidth=LINE_WIDTH, opacity=LINE_OPACITY, color=GRAY, clip=True)
        return [mark.encode(x=x, y=y, detail=alt.Detail("model:N"))]

    def points(self, x: alt.X, y: alt.Y) -> list[alt.Chart]:
        """A point a published curve that falls, in shape space."""
        if self.shapes.is_empty():
            return []
        tips = [alt.Tooltip("model:N", title="published model"), alt.Tooltip("name:N", title="corruption"),
                alt.Tooltip("shape_name:N", title="shape"), alt.Tooltip("drop:Q", format=".1f", title="drop, points"),
                alt.Tooltip("curvature:Q", format=".2f", title="curvature (late + / early \u2212)")]  # fmt: skip
        mark = alt.Chart(self.shapes).mark_point(filled=True, size=POINT_SIZE, opacity=POINT_OPACITY, color=GRAY)
        return [mark.encode(x=x, y=y, tooltip=tips)]


def published_behind(
    con: duckdb.DuckDBPyConnection, selection: Selection, names: dict[str, str], *, shown: bool = True
) -> PublishedBehind:
    """Published models to draw behind a selection.

    Args:
        con: the warehouse, with shapes.
        selection: what they are drawn behind.
        names: human names by corruption.
        shown: False gives none.
    """
    curves, shapes = published_curves(con, selection), published_shapes(con, selection)
    if not shown:
        curves, shapes = curves.clear(), shapes.clear()
    sets = curves["published_set"].unique().sort().to_list()
    count = curves.select("published_set", "model").n_unique()
    model = pl.col("model") if len(sets) == 1 else pl.format("{} ({})", "model", "published_set").alias("model")
    falling = shapes.filter(pl.col("shape").is_in(FALLING)).select(
        model, "corruption", "curvature", drop=100 * pl.col("total_drop"),
        name=pl.col("corruption").replace_strict(names, return_dtype=pl.String),
        shape_name=pl.col("shape").replace_strict(SHAPE_LABELS, return_dtype=pl.String),
    )  # fmt: skip
    counted = format_count(count, "published model")
    name, short_name = (f"{counted} ({'; '.join(sets)})", counted) if count else ("", "")
    if len(sets) == 1:
        short_name = f"{counted} ({sets[0].split(', ')[0]})"
    return PublishedBehind(curves.with_columns(model), falling, name, short_name, other_images_phrase(selection))


def other_images_phrase(selection: Selection) -> str:
    """That published accuracies are of other images than a selection's, and in what these are known to differ.

    Of all images of a data set without a note, under a published corrupted set, they may be the same.
    """
    facts, differences = selection.shared, []
    if not facts["subset"].startswith("all "):
        differences.append(f"{selection.image_count:,} images only")
    if facts["note"]:
        differences.append(facts["note"].split(":", 1)[0])
    if facts["source_kind"] != "published":
        differences.append("corrupted anew")
    if not differences:
        return "measured on images that need not be these"
    return f"measured on other images (here: {join_names(differences)})"
