"""The report's tables about curves beside their shapes: which breaks first, the two axes of shape, fitted curves."""

from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.charts.distortion_shapes import AXIS_NAMES
from failmodes.analysis.render.blocks import EMPTY, Cell, Table
from failmodes.analysis.render.formatting import (
    capitalize_first,
    format_count,
    format_interval,
    format_number,
    format_severity,
    smallest_shown_sentence,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, read_for_selection
from failmodes.analysis.statistics.failure_order import AT_LAST, ON_AVERAGE
from failmodes.warehouse.database.own_tables import SHAPE_LABELS

MOST_CLASSES = 30  # rows of a table of classes
SMALLEST_P = 0.001  # a smaller p value is printed as below it
LACKING_P = 0.05  # below it a curve is said not to fit
FUNCTION_NAMES = {"linear": "straight line", "logistic": "logistic", "weibull": "Weibull", "exponential": "exponential"}
RANKS_NOTE = (
    "Accuracy lost in points, the largest loss first, and the rank with its interval: such intervals hold for all "
    "ranks together, and where two overlap the order of the two is open"
)
Names = Mapping[str, str]


def curve_tables(con: duckdb.DuckDBPyConnection, selection: Selection, names: Names) -> list[Table]:
    """Which corruptions and classes break first, shapes over distortion, and fits, of the selection's one model."""
    (evaluation,) = selection.evaluations
    found = (
        _corruption_ranks(con, selection, evaluation, names),
        _class_ranks(con, evaluation),
        _axes(con, selection, evaluation.label, names),
        _fits(con, selection, evaluation.label, names),
    )
    return [table for table in found if table.rows]


def _corruption_ranks(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, names: Names
) -> Table:
    rows = read_for_selection(con, "corruption_ranks", selection)
    rows = rows.with_columns(name=pl.col("corruption").replace_strict(dict(names), return_dtype=pl.String))
    return Table(
        f"Which corruption breaks {evaluation.label} first",
        f"{RANKS_NOTE}.{_shown_phrase(rows, 'corruptions')}",
        ("Corruption", "Lost at the last severity", "Rank", "Lost on average", "Rank on average"),
        tuple(_ranked_rows(rows)),
    )


def _class_ranks(con: duckdb.DuckDBPyConnection, evaluation: EvaluationInfo) -> Table:
    rows = con.sql(
        "select class_ranks.*, coalesce(class_name, class_index::varchar) as name from class_ranks "
        "inner join evaluations using (evaluation_id) left join classes using (dataset_id, class_index) "
        "where evaluation_id = $1 order by class_index",
        params=[evaluation.evaluation_id],
    ).pl()
    count = rows["class_index"].n_unique()
    cut = f" The first {MOST_CLASSES} of {count}; all are in the table class_ranks." if count > MOST_CLASSES else ""
    return Table(
        f"Which class breaks {evaluation.label} first",
        f"{RANKS_NOTE}; averaged over corruptions.{_shown_phrase(rows, 'classes')}{cut}",
        ("Class", "Lost at the last severity", "Rank", "Lost on average", "Rank on average"),
        tuple(_ranked_rows(rows))[:MOST_CLASSES],
    )


def _ranked_rows(rows: pl.DataFrame) -> Iterable[tuple[Cell, ...]]:
    """A row a name, those that lose most at the last severity first and those that are not ranked at the end."""
    on_average = {row["name"]: row for row in rows.filter(measure=ON_AVERAGE).rows(named=True)}
    at_last = rows.filter(measure=AT_LAST).sort(
        pl.col("rank").is_null(), "accuracy_drop", descending=[False, True], maintain_order=True
    )
    for row in at_last.rows(named=True):
        average = on_average[row["name"]]
        yield (
            Cell(row["name"], f"not ranked: {row['reason']}" if row["reason"] else ""),
            _loss(row), _rank(row), _loss(average), _rank(average),
        )  # fmt: skip


def _loss(row: Mapping[str, Any]) -> Cell:
    interval = (
        "" if row["accuracy_drop_low"] is None else format_interval(row["accuracy_drop_low"], row["accuracy_drop_high"])
    )
    return Cell(format_number(100 * row["accuracy_drop"]), interval)


def _rank(row: Mapping[str, Any]) -> Cell:
    if row["rank"] is None:
        return Cell(EMPTY)
    return Cell(f"{row['rank']} of {row['ranked_count']}", f"{row['rank_low']} to {row['rank_high']}")


def _shown_phrase(rows: pl.DataFrame, noun: str) -> str:
    """The smallest difference between neighbors in rank that these images could show."""
    known = rows.filter(pl.col("ranked_count") > 1).drop_nulls("smallest_difference_shown")
    return "".join(
        smallest_shown_sentence(
            known.filter(measure=measure)["smallest_difference_shown"].to_list(),
            f"difference between neighboring {noun} {where}",
        )
        for measure, where in ((AT_LAST, "at the last severity"), (ON_AVERAGE, "on average"))
    )


def _axes(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    rows = read_for_selection(con, "shapes_over_distortion", selection).rows(named=True)
    by_curve = {(row["corruption"], row["axis"]): row for row in rows}
    present = [corruption for corruption in names if (corruption, "severity") in by_curve]
    return Table(
        f"Shapes of {label} over severity and over distortion",
        "Shape, and beneath it the curvature, over severity and over the mean distortion of the images at each "
        "severity: severity is an index that a recipe spaces as it does. A shape without its interval is inconclusive.",
        ("Corruption", *(f"Over {name}" for name in AXIS_NAMES.values())),
        tuple(
            (Cell(names[corruption]), *(_axis_cell(by_curve[corruption, axis]) for axis in AXIS_NAMES))
            for corruption in present
        ),
    )


def _axis_cell(row: dict[str, Any]) -> Cell:
    curvature = ""
    if row["curvature"] is not None:
        interval = format_interval(row["curvature_low"], row["curvature_high"], 2, 1)
        curvature = f"{format_number(row['curvature'], 2, signed=True)} {interval}"
    if row["reason"]:
        return Cell(SHAPE_LABELS["inconclusive"], row["reason"])
    return Cell(SHAPE_LABELS[row["shape"]], curvature)


def _fits(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    fits, points = (read_for_selection(con, name, selection) for name in ("curve_fits", "change_points"))
    breaks = {row["corruption"]: row for row in points.rows(named=True)}
    rows = []
    for corruption, name in names.items():
        of_curve = fits.filter(corruption=corruption).sort("quasi_aic", maintain_order=True).rows(named=True)
        if corruption in breaks:
            best = of_curve[0] if of_curve else None
            line = next((row for row in of_curve if row["function"] == "linear"), None)
            rows.append((Cell(name), _threshold_cell(breaks[corruption]), *_slope_cells(breaks[corruption]),
                         _best_cell(best), _lack_cell(best), _lack_cell(line)))  # fmt: skip
    return Table(
        f"How the curves of {label} were fitted",
        "Break: two straight lines that meet against one, by resampled images, corrected for the number of curves; it "
        "is only known to lie between two severities. Threshold: supported where accuracy falls at least twice as fast "
        "beyond the break as before it. Slopes: points a severity. Best fit: of a straight line, a logistic, a Weibull "
        "curve and an exponential the one of smallest quasi-AIC. Lack of fit: whether its residuals are larger than "
        "chance; a curve that does not fit describes no more than the figures do, and one that fits is no proof.",
        ("Corruption", "Threshold", "Slope before", "Slope beyond", "Best fit", "Its lack of fit",
         "Lack of fit of a straight line"),
        tuple(rows),
    )  # fmt: skip


def _threshold_cell(row: Mapping[str, Any]) -> Cell:
    if row["reason"]:
        return Cell(row["threshold"], row["reason"])
    if row["break_at"] is None:
        return Cell(row["threshold"], f"no break shown, p {_p_text(row['adjusted_p_value'])}")
    between = f"{format_severity(row['break_from'])} and {format_severity(row['break_to'])}"
    return Cell(row["threshold"], f"break between {between}, p {_p_text(row['adjusted_p_value'])}")


def _slope_cells(row: Mapping[str, Any]) -> Iterable[Cell]:
    for name in ("slope_before", "slope_after"):
        if row[name] is None:
            yield Cell(EMPTY)
            continue
        text = format_number(100 * row[name], signed=True)
        yield Cell(text, format_interval(row[f"{name}_low"], row[f"{name}_high"]))


def _best_cell(fit: Mapping[str, Any] | None) -> Cell:
    if fit is None:
        return Cell(EMPTY)
    half = "" if fit["location"] is None else f"half lost at severity {format_number(fit['location'])}"
    return Cell(capitalize_first(FUNCTION_NAMES[fit["function"]]), half)


def _lack_cell(fit: Mapping[str, Any] | None) -> Cell:
    """Whether a fit lacks something, in words, with deviance and p value beneath."""
    if fit is None:
        return Cell(EMPTY)
    deviance = (
        f"deviance {format_number(fit['deviance'])}, {format_count(fit['degrees_of_freedom'], 'degree')} of freedom"
    )
    p_value = fit["lack_of_fit_p_value"]
    if p_value is None:
        return Cell("not tested: too few images", deviance)
    words = "does not fit" if p_value < LACKING_P else "no lack of fit shown"
    return Cell(words, f"p {_p_text(p_value)}; {deviance}")


def _p_text(p_value: float) -> str:
    return f"< {SMALLEST_P}" if p_value < SMALLEST_P else format_number(p_value, 3)
