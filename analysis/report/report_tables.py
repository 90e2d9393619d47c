"""The report's tables: figures with their intervals, as text that a template only has to lay out."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import duckdb
import polars as pl

from failmodes.analysis.formatting import (
    SHAPE_WORDS,
    format_interval,
    format_number,
    format_percent,
    format_severity,
    label_with_extra,
)
from failmodes.analysis.selection import EvaluationInfo, Selection, corruption_labels, read_for_selection
from failmodes.warehouse.schema import CLEAN

EMPTY = "\u2013"

MOST_LEVELS = 11  # severities side by side in a table


class TableCell(NamedTuple):
    """A figure and, in smaller type beneath it, its interval or remark."""

    text: str
    small: str = ""


class ReportTable(NamedTuple):
    """A table: caption, what it means, the names of its columns, and rows that begin with their name."""

    caption: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]


def tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[ReportTable]:
    """Tables of a selection in the order of a report: all networks, then each; for pairs see `report_pairs`."""
    names = corruption_names(con, selection)
    found = [_summary(con, selection)]
    for evaluation in selection.evaluations:
        one = selection.only(evaluation)
        found += [
            _accuracy(con, one, evaluation, names),
            _shapes(con, one, evaluation, names),
            _steps(con, one, evaluation, names),
            _calibration(con, one, evaluation, names),
            *_attention(con, one, evaluation, names),
        ]
    return found


def corruption_names(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, str]:
    """Human name by corruption, clean first, with extras marked as such."""
    labels = corruption_labels(con)
    return {c: label_with_extra(labels[c], is_extra=c in selection.extras) for c in (CLEAN, *selection.corruptions)}


def _summary(con: duckdb.DuckDBPyConnection, selection: Selection) -> ReportTable:
    rows = con.sql("from robustness_by_model where evaluation_id = any(?)", params=[selection.ids]).pl()
    by_id = {row["evaluation_id"]: row for row in rows.rows(named=True)}
    return ReportTable(
        "Networks",
        f"Accuracy clean and averaged over {selection.averaged_words} and whole severities, and the mean corruption "
        "error, not normalised. All in per cent.",
        ("Network", "Clean", "Mean corrupted", "Mean corruption error", "Corruptions"),
        tuple((TableCell(e.label), *_summary_cells(by_id[e.evaluation_id])) for e in selection.evaluations),
    )


def _summary_cells(row: dict[str, Any]) -> Iterable[TableCell]:
    """Figures of one network; beneath the mean error that of the extra corruptions, which stand apart."""
    extra, extras = row["mean_extra_corruption_error"], row["extra_corruption_count"]
    for column in ("clean_accuracy", "mean_corrupted_accuracy"):
        yield TableCell(EMPTY if row[column] is None else format_number(100 * row[column]))
    error = row["mean_corruption_error"]
    yield TableCell(
        EMPTY if error is None else format_number(100 * error), f"extras {format_number(100 * extra)}" if extras else ""
    )
    yield TableCell(str(row["corruption_count"]), f"and {extras} extra" if extras else "")


def _accuracy(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, names: dict[str, str]
) -> ReportTable:
    cells = read_for_selection(con, "accuracy_by_severity", selection)
    return ReportTable(
        f"Accuracy of {evaluation.label}",
        f"Per cent, with Wilson's 95\u00a0% interval, on {selection.images}."
        + _dense_words(cells, "accuracy_by_severity"),
        *_by_severity(
            cells,
            names,
            lambda r: TableCell(
                format_number(100 * r["accuracy"]), format_interval(r["accuracy_low"], r["accuracy_high"])
            ),
        ),
    )


def _calibration(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, names: dict[str, str]
) -> ReportTable:
    cells = read_for_selection(con, "calibration_by_severity", selection)
    bins = cells["bin_count"][0] if len(cells) else 0
    return ReportTable(
        f"Calibration of {evaluation.label}",
        f"Expected calibration error in {bins} equal bins (0\u20131); beneath, confidence minus accuracy in points."
        + _dense_words(cells, "calibration_by_severity"),
        *_by_severity(
            cells,
            names,
            lambda r: TableCell(format_number(r["ece"], 3), format_number(100 * r["overconfidence"], 1, signed=True)),
        ),
    )


def _by_severity(
    cells: pl.DataFrame, names: dict[str, str], cell: Callable[[dict[str, Any]], TableCell]
) -> tuple[tuple[str, ...], tuple[tuple[TableCell, ...], ...]]:
    """Columns and rows of a table of corruptions against severities."""
    levels = _shown_levels(cells)
    found = {(r["corruption"], r["severity"]): cell(r) for r in cells.rows(named=True)}
    present = set(cells["corruption"].to_list())
    rows = tuple(
        (TableCell(name), *(found.get((corruption, s), TableCell(EMPTY)) for s in levels))
        for corruption, name in names.items()
        if corruption in present
    )
    return ("Corruption", *(format_severity(s) for s in levels)), rows


def _shown_levels(cells: pl.DataFrame) -> list[float]:
    """All severities, or of a dense grid the whole ones."""
    levels = sorted(cells["severity"].unique().to_list())
    return levels if len(levels) <= MOST_LEVELS else [s for s in levels if not s % 1]


def _dense_words(cells: pl.DataFrame, view: str) -> str:
    """Where the severities are that a table leaves out."""
    count, shown = cells["severity"].n_unique(), len(_shown_levels(cells))
    return "" if count == shown else f" Whole severities; all {count} are in the view {view}."


def _shapes(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, names: dict[str, str]
) -> ReportTable:
    shapes, sweep = read_for_selection(con, "shapes", selection), read_for_selection(con, "shape_sweep", selection)
    return ReportTable(
        f"Shapes of {evaluation.label}",
        "Total drop, clean to last severity, in points; bow \u03ba, positive where the curve falls late; largest "
        "single step with its share of the drop; stability: share of resamples with the same class; thresholds: pairs "
        "of settings that give the same class, and what the others give.",
        ("Corruption", "Shape", "Total drop", "Bow \u03ba", "Largest step", "Stability", "Thresholds"),
        tuple(
            (TableCell(names[row["corruption"]]), *_shape_cells(row, sweep.filter(corruption=row["corruption"])))
            for row in shapes.sort("total_drop", descending=True).rows(named=True)
        ),
    )


def _shape_cells(row: dict[str, Any], sweep: pl.DataFrame) -> Iterable[TableCell]:
    same = int((sweep["shape"] == row["shape"]).sum())
    others = [SHAPE_WORDS[s] for s in sweep["shape"].unique(maintain_order=True) if s != row["shape"]]
    span = f"{format_severity(row['largest_step_from'])} to {format_severity(row['largest_step_to'])}"
    share = "" if row["largest_step_share"] is None else f", {format_percent(row['largest_step_share'], 0)}"
    yield TableCell(SHAPE_WORDS[row["shape"]])
    yield TableCell(
        format_number(100 * row["total_drop"]), format_interval(row["total_drop_low"], row["total_drop_high"])
    )
    if row["bow"] is None:
        yield TableCell(EMPTY)
    else:
        yield TableCell(
            format_number(row["bow"], 2, signed=True), format_interval(row["bow_low"], row["bow_high"], 2, 1)
        )
    yield TableCell(format_number(100 * row["largest_step"]), span + share)
    yield TableCell(format_percent(row["stability"], 0))
    yield TableCell(f"{same} of {len(sweep)}", ", ".join(others))


def _steps(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, names: dict[str, str]
) -> ReportTable:
    steps = read_for_selection(con, "steps", selection).sort("severity_from")
    spans = steps.select("severity_from", "severity_to").unique(maintain_order=True).rows()
    found = {
        (r["corruption"], r["severity_from"], r["severity_to"]): TableCell(
            format_number(100 * r["accuracy_change"], 1, signed=True),
            format_interval(r["accuracy_change_low"], r["accuracy_change_high"]),
        )
        for r in steps.rows(named=True)
    }
    corruptions = [c for c in selection.corruptions if c in steps["corruption"].to_list()]
    return ReportTable(
        f"Steps of {evaluation.label}",
        "Change in accuracy from one severity to the next, in points, with its paired bootstrap interval.",
        ("Corruption", *(f"{format_severity(a)} to {format_severity(b)}" for a, b in spans)),
        tuple((TableCell(names[c]), *(found.get((c, *span), TableCell(EMPTY)) for span in spans)) for c in corruptions),
    )


def _attention(
    con: duckdb.DuckDBPyConnection, selection: Selection, evaluation: EvaluationInfo, names: dict[str, str]
) -> list[ReportTable]:
    cells = read_for_selection(con, "attention_drift", selection).filter(target="clean")
    last = cells.filter(pl.col("severity") == pl.col("severity").max().over("corruption")).sort("corruption_order")
    if last.is_empty():
        return []
    clean = cells.filter(severity=0.0).head(1).with_columns(corruption=pl.lit(CLEAN))
    columns = (
        ("median_centroid_shift", 3), ("null_median_centroid_shift", 3), ("mean_cosine", 3), ("null_mean_cosine", 3),
        ("null_class_mean_cosine", 3), ("mean_spread", 3), ("mean_attention_entropy_nats", 2), ("mean_mass", 2),
        ("mean_mask_share", 3),
    )  # fmt: skip
    rows = (*clean.rows(named=True), *last.rows(named=True))
    return [
        ReportTable(
            f"Attention of {evaluation.label} at the last severity",
            "For the class predicted on the clean image. Shift: median distance of the centroid from the clean one, in "
            "image widths; cosine: similarity to the clean map; null: the same against another image's clean map, and "
            "against another image of the same class; spread in image widths, entropy in nats, mass in logits; mask: "
            "share of the mass inside the object mask.",
            ("Corruption", "Shift", "Null", "Cosine", "Null", "Null, same class", "Spread", "Entropy", "Mass", "Mask"),
            tuple(
                (TableCell(names[r["corruption"]]), *(TableCell(EMPTY if r[c] is None else format_number(r[c], digits))
                                                for c, digits in columns))
                for r in rows
            ),
        )
    ]  # fmt: skip
