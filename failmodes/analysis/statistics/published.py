"""Published curves: their shapes, without intervals, and the ranks of a selection's models among them.

A published curve is one mean accuracy per severity, without per-image rows, so nothing here is a test.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import duckdb
import numpy as np
import polars as pl

from failmodes.analysis.evaluations.comparability import protocol_titled, unlike_published
from failmodes.analysis.evaluations.selection import Selection, averaged_severities
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.statistics.curve_shape import (
    MIN_POINTS,
    ShapeSettings,
    curvature,
    shape_of_curve,
    total_drop,
)
from failmodes.analysis.statistics.derived_rows import DerivedTable, replace_rows
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.model_accuracy import model_accuracies
from failmodes.runtime.hashing import identity_of, source_hash
from failmodes.warehouse.database.connection import read_once
from failmodes.warehouse.database.published import published_of
from failmodes.warehouse.database_schema import PUBLISHED_SHAPES
from failmodes.warehouse.schema import CLEAN, MAX_SEVERITY

# A warehouse from outside may contain anything
_SOUND = f"accuracy between 0 and 1 and severity between 0 and {MAX_SEVERITY}"


class PublishedMean(NamedTuple):
    """A published model: clean accuracy (None if not published) and mean corrupted accuracy, 0-1."""

    model: str
    architecture: str | None
    clean: float | None
    corrupted: float


class Standing(NamedTuple):
    """The rank of a model among published ones.

    Attributes:
        model: the model, of one training run or several.
        clean: its accuracy on clean images.
        corrupted: its mean corrupted accuracy.
        rank: 1 and the number of published models whose mean is higher.
        best: the rank of the upper end of its interval.
        worst: the rank of the lower end.
    """

    model: TrainedModel
    clean: Estimate
    corrupted: Estimate
    rank: int
    best: int
    worst: int


class PublishedComparison(NamedTuple):
    """Mean corrupted accuracy of published models and of a selection, over the same corruptions and severities.

    Where `differences` names respects in which their protocols differ, the selection's models are not ranked.
    """

    published_set: str
    corruptions: tuple[str, ...]
    severities: tuple[float, ...]
    published: tuple[PublishedMean, ...]
    standings: tuple[Standing, ...]
    differences: tuple[str, ...] = ()


def unlike(selection: Selection, published_set: str) -> tuple[str, ...] | None:
    """The respects in which accuracies of a selection differ from those of a published table.

    None if no registered protocol has the name of the table: then nobody knows.
    """
    protocol = protocol_titled(published_set)
    if protocol is None:
        return None
    return tuple(unlike_published([evaluation.facts for evaluation in selection.evaluations], protocol))


def published_made(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> DerivedTable:
    """The inputs of the shapes of published models."""
    rows = _sound_rows(con)
    inputs = {"": identity_of([rows, settings.flat_below, settings.curvature_threshold])} if rows else {}
    return DerivedTable(PUBLISHED_SHAPES.name, source_hash("failmodes.analysis.statistics"), inputs)


def update_published_shapes(con: duckdb.DuckDBPyConnection, settings: ShapeSettings) -> bool:
    """Describe published curves if the stored shapes are not current; see `update_shapes`."""
    made = published_made(con, settings)
    if not made.due(con):
        return False
    used = {"flat_below": settings.flat_below, "curvature_threshold": settings.curvature_threshold}
    shapes = [row | used for row in _shapes(_sound_rows(con), settings)]
    replace_rows(con, PUBLISHED_SHAPES, shapes)
    made.record(con)
    return True


def _sound_rows(con: duckdb.DuckDBPyConnection) -> list[tuple[str, str, str, float, float]]:
    return con.execute(
        "select published_set, model, corruption, severity::double, accuracy from published_accuracy "
        f"where {_SOUND} order by all"
    ).fetchall()


@read_once
def published_curves(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Points of the published models on the selection's dataset under its corruptions, from clean on.

    Returns:
        published_set, model, architecture, corruption, severity (float), accuracy (0-1); empty if there are none.
    """
    names = published_of(con, selection.shared["dataset_name"], selection.shared["dataset_label"])
    frame: pl.DataFrame = con.sql(
        f"""
        with points as (from published_accuracy where published_set = any($1) and {_SOUND}),
        curves as (
            select distinct published_set, model, corruption from points where corruption = any($2)
        )
        select published_set, model, points.architecture, curves.corruption, severity::double as severity, accuracy
        from points inner join curves using (published_set, model)
        where points.corruption = curves.corruption or points.corruption = $3
        order by all
        """,
        params=[names, list(selection.corruptions), CLEAN],
    ).pl()
    return frame


@read_once
def published_shapes(con: duckdb.DuckDBPyConnection, selection: Selection) -> pl.DataFrame:
    """Rows of `published_shapes` that belong to `published_curves`."""
    keys = ["published_set", "model", "corruption"]
    shapes: pl.DataFrame = con.sql("from published_shapes order by all").pl()
    return shapes.join(published_curves(con, selection).select(keys).unique(), on=keys, how="semi")


def compare_with_published(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[PublishedComparison]:
    """Rank the models of a selection among those of each set of published models of its dataset.

    Means are over the selection's averaged corruptions that are published at all of its averaged severities.
    """
    curves = published_curves(con, selection)
    comparisons = (
        _comparison(con, selection, published)
        for published in curves.partition_by("published_set", maintain_order=True)
    )
    return [comparison for comparison in comparisons if comparison is not None]


def _comparison(
    con: duckdb.DuckDBPyConnection, selection: Selection, curves: pl.DataFrame
) -> PublishedComparison | None:
    severities = {
        c: averaged_severities(severity for name, severity in selection.shared_cells if name == c)
        for c in selection.averaged
    }
    published = set(curves.select("corruption", "severity").unique().rows())
    common = tuple(c for c in selection.averaged if all((c, s) in published for s in severities[c]))
    if not common:
        return None
    cells = pl.DataFrame(
        [(c, s) for c in common for s in severities[c]], schema=["corruption", "severity"], orient="row"
    )
    by_model = curves.join(cells, on=["corruption", "severity"]).group_by("model", "architecture", "corruption")
    means = by_model.agg(pl.col("accuracy").mean()).group_by("model", "architecture").agg(pl.col("accuracy").mean())
    clean = dict(curves.filter(severity=0).select("model", "accuracy").rows())
    listed = [PublishedMean(model, kind, clean.get(model), mean) for model, kind, mean in means.rows()]
    ours = model_accuracies(con, replace(selection, corruptions=common, extras=()))
    standings = []
    for model, accuracy in ours.items():
        if accuracy.corrupted is not None and accuracy.clean is not None:
            value, low, high = accuracy.corrupted[:3]
            ranks = (1 + sum(other.corrupted > bound for other in listed) for bound in (value, high, low))
            standings.append(Standing(model, accuracy.clean, accuracy.corrupted, *ranks))
    return PublishedComparison(
        published_set=curves["published_set"][0],
        corruptions=common,
        severities=tuple(sorted({s for c in common for s in severities[c]})),
        published=tuple(sorted(listed, key=lambda mean: (-mean.corrupted, mean.model))),
        standings=tuple(sorted(standings, key=lambda standing: (-standing.corrupted.value, standing.model.label))),
        differences=unlike(selection, curves["published_set"][0]) or (),
    )


def _shapes(rows: list[tuple[str, str, str, float, float]], settings: ShapeSettings) -> list[dict[str, Any]]:
    """Shape, total drop and curvature of each curve of at least three points, clean included, without intervals."""
    clean = {(name, model): accuracy for name, model, corruption, _, accuracy in rows if corruption == CLEAN}
    curves: dict[tuple[str, str, str], dict[float, float]] = {}
    for name, model, corruption, severity, accuracy in rows:
        if corruption != CLEAN and (name, model) in clean:
            curve = curves.setdefault((name, model, corruption), {0.0: clean[name, model]})
            curve[severity] = accuracy
    shapes = []
    for (name, model, corruption), curve in curves.items():
        if len(curve) >= MIN_POINTS:
            accuracies = np.array(list(curve.values()))
            severities = np.array(list(curve))
            drop = float(total_drop(accuracies))
            shapes.append(
                {
                    "published_set": name,
                    "model": model,
                    "corruption": corruption,
                    "shape": shape_of_curve(accuracies, severities, settings),
                    "total_drop": drop,
                    "curvature": float(curvature(accuracies, severities)) if drop > 0 else None,
                    "severity_count": len(severities) - 1,
                }
            )
    return shapes
