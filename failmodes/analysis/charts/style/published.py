"""Published models behind those of a selection: gray and thin, in the panels of curves and in shape space."""

from typing import NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.render.formatting import format_count, join_names
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.curve_shape import FALLING
from failmodes.analysis.statistics.published import published_curves, published_shapes

PUBLISHED = "published models"  # what a legend calls them


class PublishedBehind(NamedTuple):
    """Published models on a selection's dataset; of none, empty tables and an empty name.

    Attributes:
        curves: label, corruption, severity and accuracy (0-1).
        shapes: label, corruption, shape, curvature and total_drop (0-1) of the curves that fall.
        name: how many there are, and of which sets; "" for none.
        caution: of whose images they are.
    """

    curves: pl.DataFrame
    shapes: pl.DataFrame
    name: str
    caution: str

    @property
    def phrase(self) -> str:
        """What a subtitle says of them; ends in a semicolon."""
        return f"gray, without intervals: {self.name}, {self.caution}; " if self.name else ""


def published_behind(con: duckdb.DuckDBPyConnection, selection: Selection, *, shown: bool = True) -> PublishedBehind:
    """Published models to draw behind a selection.

    Args:
        con: the warehouse, with shapes.
        selection: what they are drawn behind.
        shown: False gives none.
    """
    curves, shapes = published_curves(con, selection), published_shapes(con, selection)
    if not shown:
        curves, shapes = curves.clear(), shapes.clear()
    sets = curves["published_set"].unique().sort().to_list()
    count = curves.select("published_set", "model").n_unique()
    model = pl.col("model") if len(sets) == 1 else pl.format("{} ({})", "model", "published_set")
    return PublishedBehind(
        curves.select("corruption", "severity", "accuracy", label=model),
        shapes.filter(pl.col("shape").is_in(FALLING)).select(
            "corruption", "shape", "curvature", "total_drop", label=model
        ),
        f"{format_count(count, 'published model')} ({'; '.join(sets)})" if count else "",
        other_images_phrase(selection),
    )  # fmt: skip


def other_images_phrase(selection: Selection) -> str:
    """That published accuracies are of other images than a selection's, and in what these are known to differ.

    Of all images of a dataset without a note, under a published corrupted dataset, they may be the same.
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
