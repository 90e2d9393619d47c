"""Published models to draw behind a selection, gray and thin, in accuracy curves and shape space."""

from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.analysis.statistics.curve_shape import FALLING
from failmodes.analysis.statistics.published import published_curves, published_shapes

PUBLISHED = "published models"  # in a legend


class PublishedBehind(NamedTuple):
    """Published models on a selection's dataset; tables and phrase are empty if there are none.

    Attributes:
        curves: label, corruption, severity and accuracy (0-1).
        shapes: label, corruption, shape, curvature and total_drop (0-1) of curves that drop.
        phrase: their part of a caption: count, sets, and which images they were measured on; ends in a semicolon.
    """

    curves: pl.DataFrame
    shapes: pl.DataFrame
    phrase: str


def published_behind(con: duckdb.DuckDBPyConnection, selection: Selection, *, shown: bool = True) -> PublishedBehind:
    """Published models to draw behind a selection.

    Args:
        con: the warehouse, with shapes.
        selection: the evaluations in front.
        shown: False returns none.
    """
    curves, shapes = published_curves(con, selection), published_shapes(con, selection)
    if not shown:
        curves, shapes = curves.clear(), shapes.clear()
    sets = curves["published_set"].unique().sort().to_list()
    count = format_count(curves.select("published_set", "model").n_unique(), "published model")
    phrase = f"gray, without intervals: {count} ({'; '.join(sets)}), {other_images_phrase(selection)}; "
    model = pl.col("model") if len(sets) == 1 else pl.format("{} ({})", "model", "published_set")
    return PublishedBehind(
        curves.select("corruption", "severity", "accuracy", label=model),
        shapes.filter(pl.col("shape").is_in(FALLING)).select(
            "corruption", "shape", "curvature", "total_drop", label=model
        ),
        phrase if sets else "",
    )


def other_images_phrase(selection: Selection) -> str:
    """Caveat that published accuracies are of other images than a selection.

    They may be of the same images if a selection has the whole dataset, without a note, in its published corruption.
    """
    facts, differences = selection.shared, []
    if not facts["subset"].startswith("all "):
        differences.append(f"{selection.image_count:,} images only")
    if facts["note"]:
        differences.append(facts["note"].split(":", 1)[0])
    if facts["source_kind"] != "published":
        differences.append("generated corruptions")
    if not differences:
        return "possibly measured on other images"
    return f"measured on other images (here: {join_names(differences)})"
