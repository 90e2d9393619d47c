"""The report's tables: figures with their intervals, as text that a template only has to lay out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.judging.findings.shape import shape_label
from failmodes.analysis.render.blocks import EMPTY, MOST_LEVELS, Cell, Table
from failmodes.analysis.render.formatting import (
    format_interval,
    format_number,
    format_percent,
    format_severity,
    join_names,
    label_with_extra,
    smallest_shown_sentence,
)
from failmodes.analysis.report.curve_tables import curve_tables
from failmodes.analysis.report.smallest_shown import (
    shown_between_models,
    shown_from_clean,
    shown_of_attention,
    shown_of_calibration,
    shown_of_predictions,
    shown_over_seeds,
)
from failmodes.analysis.selection import Selection, corruption_labels, read_for_selection
from failmodes.analysis.statistics.model_accuracy import best_and_worst, seed_curves
from failmodes.analysis.statistics.sufficiency import difference_shown
from failmodes.analysis.trained_models import TrainedModel, trained_models
from failmodes.warehouse.database.own_tables import SHAPE_LABELS
from failmodes.warehouse.schema import CLEAN

ATTENTION_COLUMNS = {  # heading and digits by column of the view
    "median_centroid_shift": ("Shift", 3), "null_median_centroid_shift": ("Shift from another image", 3),
    "mean_cosine": ("Cosine", 3), "null_mean_cosine": ("Cosine, another image", 3),
    "null_class_mean_cosine": ("Cosine, another of the class", 3),
    "mean_spread": ("Spread", 3), "mean_attention_entropy_nats": ("Entropy", 2), "mean_mass": ("Mass", 2),
    "mean_mask_share": ("Mask", 3),
}  # fmt: skip

Names = Mapping[str, str]  # human name by corruption


def tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """Tables of a selection in the order of a report: all models, then each; of many the best and the worst."""
    names, shown = corruption_names(con, selection), best_and_worst(con, selection)
    found = [_summary(con, selection)]
    found += [_over_seeds(con, selection, n, names) for n in trained_models(shown.evaluations) if n.has_several_seeds]
    for evaluation in shown.evaluations:
        one = selection.only(evaluation)
        found += [
            table._replace(model=evaluation.label)
            for table in (
                _accuracy(con, one, evaluation.label, names),
                _shapes(con, one, evaluation.label, names),
                _steps(con, one, evaluation.label, names),
                *curve_tables(con, one, names),
                _predictions(con, one, evaluation.label, names),
                _calibration(con, one, evaluation.label, names),
                *_attention(con, one, evaluation.label, names),
            )
        ]
    return found


def corruption_names(con: duckdb.DuckDBPyConnection, selection: Selection) -> Names:
    """Human name by corruption, clean first, with extras marked as such."""
    labels = corruption_labels(con)
    return {c: label_with_extra(labels[c], is_extra=c in selection.extras) for c in (CLEAN, *selection.corruptions)}


def figure(row: Mapping[str, Any], column: str, digits: int = 1, *, scale: float = 100, signed: bool = False) -> Cell:
    """A column of a row, scaled, with the interval that its columns _low and _high hold; a dash for null."""
    if row[column] is None:
        return Cell(EMPTY)
    text = format_number(scale * row[column], digits, signed=signed)
    if f"{column}_low" not in row:
        return Cell(text)
    return Cell(text, format_interval(row[f"{column}_low"], row[f"{column}_high"], digits, scale))


def _summary(con: duckdb.DuckDBPyConnection, selection: Selection) -> Table:
    rows = con.sql("from robustness_by_model where evaluation_id = any(?)", params=[selection.ids]).pl()
    by_id = {row["evaluation_id"]: row for row in rows.rows(named=True)}
    models, totals = trained_models(selection.evaluations), []
    for model in models:
        of_runs = [by_id[run.evaluation_id] for run in model.runs]
        if model.has_several_seeds:
            totals.append((Cell(model.label_with_seeds), *_seed_cells(of_runs)))
        with_rows = zip(model.runs, of_runs, strict=True)
        totals += [(Cell(run.label), *_summary_cells(row)) for run, row in with_rows]
    over_seeds = ""
    if any(model.has_several_seeds for model in models):
        over_seeds = " Of a model with several training seeds the mean, \u00b1 the standard deviation between seeds."
    return Table(
        "Models",
        f"Accuracy clean and averaged over {selection.averaged_phrase} and whole severities, and the mean corruption "
        f"error, not normalized. All in per cent.{over_seeds}{shown_between_models(con, selection)}",
        ("Model", "Clean", "Mean corrupted", "Mean corruption error", "Corruptions"),
        tuple(totals),
    )


def _seed_cells(rows: Sequence[dict[str, Any]]) -> Iterable[Cell]:
    """Means over training runs, and beneath each the standard deviation between them."""
    for column in ("clean_accuracy", "mean_corrupted_accuracy", "mean_corruption_error"):
        values = [row[column] for row in rows]
        if None in values:
            yield Cell(EMPTY)
            continue
        yield Cell(format_number(100 * mean(values)), f"\u00b1 {format_number(100 * stdev(values))}")
    yield Cell(str(min(row["corruption_count"] for row in rows)))


def _summary_cells(row: dict[str, Any]) -> Iterable[Cell]:
    """Figures of one model; beneath the mean error that of the extra corruptions, which stand apart."""
    extra, extras = row["mean_extra_corruption_error"], row["extra_corruption_count"]
    yield figure(row, "clean_accuracy")
    yield figure(row, "mean_corrupted_accuracy")
    small = f"extras {format_number(100 * extra)}" if extras else ""
    yield figure(row, "mean_corruption_error")._replace(small=small)
    yield Cell(str(row["corruption_count"]), f"and {extras} extra" if extras else "")


def _over_seeds(con: duckdb.DuckDBPyConnection, selection: Selection, model: TrainedModel, names: Names) -> Table:
    table = _by_severity(
        seed_curves(con, selection, model),
        f"Accuracy of {model.label_with_seeds}",
        f"Per cent, the mean over training seeds {join_names(map(str, model.seeds))} with its 95% interval "
        f"over seeds and images, on {selection.images}.{shown_over_seeds(con, selection, model)}",
        "accuracy_by_model",
        names,
        lambda row: figure(row, "accuracy"),
    )
    return table._replace(model=model.label)


def _accuracy(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    return _by_severity(
        read_for_selection(con, "accuracy_by_severity", selection),
        f"Accuracy of {label}",
        f"Per cent, with the exact 95% interval, on {selection.images}.{shown_from_clean(con, selection)}",
        "accuracy_by_severity",
        names,
        lambda row: figure(row, "accuracy"),
    )


def _predictions(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    return _by_severity(
        read_for_selection(con, "predictions_by_severity", selection),
        f"Answers of {label}",
        "The commonest answer and its share of all answers; beneath, the least known class and its accuracy. Per cent."
        f"{shown_of_predictions(con, selection)}",
        "predictions_by_severity",
        names,
        lambda row: Cell(
            f"{row['top_prediction_name'] or ''} {figure(row, 'top_prediction_share').text}".strip(),
            f"least: {row['worst_class_name']} {figure(row, 'worst_class_accuracy').text}",
        ),
    )


def _calibration(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    cells = read_for_selection(con, "calibration_by_severity", selection)
    bins = cells["bin_count"][0] if len(cells) else 0
    return _by_severity(
        cells,
        f"Calibration of {label}",
        f"Expected calibration error in {bins} equal bins (0\u20131), with its 95% interval; then confidence "
        "minus accuracy in points."
        f"{shown_of_calibration(cells)}",
        "calibration_by_severity",
        names,
        _calibration_cell,
    )


def _calibration_cell(row: dict[str, Any]) -> Cell:
    """ECE with its interval; then confidence minus accuracy."""
    error = figure(row, "ece", 3, scale=1)
    gap = figure(row, "overconfidence", signed=True).text
    return error._replace(small=f"{error.small}; {gap}" if error.small else gap)


def _by_severity(
    cells: pl.DataFrame, caption: str, note: str, view: str, names: Names, cell: Callable[[dict[str, Any]], Cell]
) -> Table:
    """Corruptions against severities; of a dense grid the whole ones, and the note says which `view` has all."""
    levels = sorted(cells["severity"].unique().to_list())
    shown = levels if len(levels) <= MOST_LEVELS else [s for s in levels if not s % 1]
    if len(shown) < len(levels):
        note += f" Whole severities; all {len(levels)} are in the view {view}."
    found = {(r["corruption"], r["severity"]): cell(r) for r in cells.rows(named=True)}
    return _corruption_table(caption, note, {s: format_severity(s) for s in shown}, names, found)


def _steps(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    pairing = "paired" if selection.shared["paired"] else "unpaired"
    steps = read_for_selection(con, "steps", selection).sort("severity_from").rows(named=True)
    shown = difference_shown(
        [row["accuracy_change_low"] for row in steps], [row["accuracy_change_high"] for row in steps]
    )
    found = {
        (row["corruption"], (row["severity_from"], row["severity_to"])): figure(row, "accuracy_change", signed=True)
        for row in steps
    }
    return _corruption_table(
        f"Steps of {label}",
        f"Change in accuracy from one severity to the next, in points, with its {pairing} interval (Newcombe)."
        f"{smallest_shown_sentence(shown.tolist(), 'step')}",
        {span: " to ".join(map(format_severity, span)) for _, span in found},
        names,
        found,
    )


def _corruption_table(
    caption: str, note: str, columns: Mapping[Any, str], names: Names, cells: Mapping[tuple[str, Any], Cell]
) -> Table:
    """A row a corruption that has cells; `cells` by corruption and key of `columns`, a dash where one is missing."""
    present = {corruption for corruption, _ in cells}
    rows = (
        (Cell(name), *(cells.get((corruption, key), Cell(EMPTY)) for key in columns))
        for corruption, name in names.items()
        if corruption in present
    )
    return Table(caption, note, ("Corruption", *columns.values()), tuple(rows))


def _shapes(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    shapes, sweep = read_for_selection(con, "shapes", selection), read_for_selection(con, "shape_sweep", selection)
    return Table(
        f"Shapes of {label}",
        "Total drop, clean to last severity, in points; curvature: mean height above the chord as a share of the drop; "
        "largest single step with its share of the drop; stability: share of resamples with the sample's shape; "
        "thresholds: pairs of settings that give the sample the same shape, and what the others give."
        f"{shown_from_clean(con, selection)}",
        (
            "Corruption",
            "Shape",
            "Total drop",
            "Curvature (late +, early \u2212)",
            "Largest step",
            "Stability",
            "Thresholds",
        ),
        tuple(
            (Cell(names[row["corruption"]]), *_shape_cells(row, sweep.filter(corruption=row["corruption"])))
            for row in shapes.sort("total_drop", descending=True).rows(named=True)
        ),
    )


def _shape_cells(row: dict[str, Any], sweep: pl.DataFrame) -> Iterable[Cell]:
    same = int((sweep["shape"] == row["sample_shape"]).sum())
    others = [SHAPE_LABELS[s] for s in sweep["shape"].unique(maintain_order=True) if s != row["sample_shape"]]
    span = f"{format_severity(row['largest_step_from'])} to {format_severity(row['largest_step_to'])}"
    share = "" if row["largest_step_share"] is None else f", {format_percent(row['largest_step_share'], 0)}"
    yield Cell(shape_label(row), row["reason"] or "")
    yield figure(row, "total_drop")
    yield figure(row, "curvature", 2, scale=1, signed=True)
    yield figure(row, "largest_step")._replace(small=span + share)
    yield Cell("" if row["stability"] is None else format_percent(row["stability"], 0))
    yield Cell(f"{same} of {len(sweep)}", ", ".join(others))


def _attention(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> list[Table]:
    cells = read_for_selection(con, "attention_drift", selection)
    last = cells.filter(pl.col("severity") == pl.col("severity").max().over("corruption"))
    clean = cells.filter(severity=0.0).head(1).with_columns(corruption=pl.lit(CLEAN))
    found = {
        (row["corruption"], column): figure(row, column, digits, scale=1)
        for row in pl.concat([clean, last]).rows(named=True)
        for column, (_, digits) in ATTENTION_COLUMNS.items()
    }
    if not len(last):
        return []
    table = _corruption_table(
        f"Attention of {label} at the last severity",
        "For the class predicted on the clean image. Shift: median distance of the centroid from the clean one, in "
        "image widths; cosine: similarity to the clean map; the baseline of both is another image's clean map, or that "
        "of another image of the class; spread in image widths, entropy in nats, mass in logits; mask: "
        f"share of the mass inside the object mask.{shown_of_attention(con, selection)}",
        {column: heading for column, (heading, _) in ATTENTION_COLUMNS.items()},
        names,
        found,
    )
    return [table]
