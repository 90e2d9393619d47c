"""The tables of a report: values with their intervals, as text."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import mean, stdev
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.charts.style.series import protocol_phrase
from failmodes.analysis.evaluations.selection import (
    Selection,
    corruption_labels,
    corruption_names,
    read_for_selection,
    select,
    words_of_runs,
)
from failmodes.analysis.evaluations.trained_models import TrainedModel, noun_of_runs, trained_models
from failmodes.analysis.judging.findings.shape import shape_label
from failmodes.analysis.render.blocks import EMPTY, Block, Document, Section, Sentence, Table, TableCell, severity_table
from failmodes.analysis.render.formatting import (
    NO_BREAK,
    format_count,
    format_interval,
    format_number,
    format_p,
    format_percent,
    format_severity,
    join_names,
    lower_label,
)
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.estimate import Estimate
from failmodes.analysis.statistics.failure_order import AT_LAST
from failmodes.analysis.statistics.level_axes import level_axes
from failmodes.analysis.statistics.model_accuracy import (
    MeanAccuracy,
    best_and_worst,
    normalized_errors,
    run_accuracies,
    seed_curves,
    shown_phrase,
)
from failmodes.analysis.statistics.model_pairs import compare_models_of, compare_pairs, rank_by_wins
from failmodes.analysis.statistics.published import PublishedComparison, compare_with_published
from failmodes.warehouse.curve_shapes import SHAPE_LABELS
from failmodes.warehouse.schema import CLEAN

ATTENTION_COLUMNS = {  # heading and digits by column of the view
    "median_centroid_shift": ("Shift", 3), "null_median_centroid_shift": ("Shift from another image", 3),
    "mean_cosine": ("Cosine", 3), "null_mean_cosine": ("Cosine, another image", 3),
    "null_class_mean_cosine": ("Cosine, another of the class", 3),
    "mean_spread": ("Spread", 3), "mean_attention_entropy_nats": ("Entropy", 2), "mean_mass": ("Mass", 2),
    "mean_mask_share": ("Mask", 3),
}  # fmt: skip
SHAPE_COLUMNS = ("Shape", "Stability", "Total drop", "Curvature", "Largest step")
SHAPES_NOTE = (
    "Total drop (clean to last severity) and largest step in points. Stability: share of resamples with this shape. "
    "Curvature: mean height above the chord as a share of the drop; positive: late, negative: early. Rank: by total "
    "drop, with a simultaneous interval over all ranks. Threshold: whether accuracy drops at least twice as fast after "
    "a break as before it. Settings: shape thresholds that give the same shape, and the shapes that others give. More "
    "in the tables curve_fits, class_ranks and shapes_over_distortion of the warehouse."
)
ATTENTION_NOTE = (
    "For the class predicted on the clean image. Shift: median shift of the centroid from the clean image, in image "
    "widths; cosine: similarity to the clean map; null: the clean map of another image, or of another image of the "
    "class; spread in image widths, entropy in nats, mass in logits; mask: share of the mass inside the object mask."
)
NORMALIZED_NOTE = (
    " mCE (Hendrycks & Dietterich 2019): errors summed over severities, divided by AlexNet's as published, averaged "
    "over the 15 headline corruptions; 100 is as many errors as AlexNet."
)
NO_CELLS = "\u00b7"  # instead of 0 in the table of all pairs
SAME_MODEL = "Training runs of one model are not compared with each other."

Names = Mapping[str, str]  # label by corruption
Row = dict[str, Any]


def tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """Tables of a selection in report order: all models, then each model; of many, the best and the worst."""
    names = {CLEAN: corruption_labels(con)[CLEAN]} | corruption_names(con, selection)
    shown = best_and_worst(con, selection)
    made = [_summary(con, selection), *_levels(con, selection, names)]
    made += [_over_seeds(con, selection, n, names) for n in trained_models(shown.evaluations) if n.has_several_seeds]
    for evaluation in shown.evaluations:
        of_model = _tables_of_model(con, selection.only(evaluation), evaluation.label, names)
        made += [table._replace(model=evaluation.label) for table in of_model if table.rows]
    return made


def figure(
    row: Mapping[str, Any], column: str, digits: int = 1, *, scale: float = 100, signed: bool = False
) -> TableCell:
    """A scaled column of a row with the interval of its columns _low and _high; a dash for null."""
    if row[column] is None:
        return TableCell(EMPTY)
    text = format_number(scale * row[column], digits, signed=signed)
    if f"{column}_low" not in row:
        return TableCell(text)
    return TableCell(text, format_interval(row[f"{column}_low"], row[f"{column}_high"], digits, scale))


def shape_cells(row: Row) -> tuple[TableCell, ...]:
    """The cells of SHAPE_COLUMNS of a row of the table `shapes`."""
    return (
        TableCell(shape_label(row)),
        TableCell(EMPTY if row["stability"] is None else format_percent(row["stability"], 0)),
        figure(row, "total_drop"),
        figure(row, "curvature", 2, scale=1, signed=True),
        figure(row, "largest_step")._replace(small=f"({_between(row, 'largest_step_from', 'largest_step_to')})"),
    )


def shapes_document(con: duckdb.DuckDBPyConnection) -> Document:
    """The shapes of every evaluation, the largest drop of each model first, as `failmodes shapes` prints them.

    Args:
        con: the warehouse, with current shapes.
    """
    names = corruption_labels(con)
    settings = stored_settings(con)
    note = (
        f"Drops and steps in points. Flat below {settings.flat_below:g}; curvature threshold "
        f"{settings.curvature_threshold:g}; {settings.resamples:,} resamples with seed {settings.seed}; intervals "
        f"{format_percent(settings.interval_level, 0)}."
    )
    columns = ("Model", "Corruption", *SHAPE_COLUMNS)
    blocks: list[Block] = []
    data: list[dict[str, Any]] = []
    for selection in select(con):
        shapes = read_for_selection(con, "shapes", selection).sort("total_drop", descending=True)
        rows = sorted(shapes.rows(named=True), key=lambda row: selection.ids.index(row["evaluation_id"]))
        data += rows
        cells = tuple((TableCell(row["label"]), TableCell(names[row["corruption"]]), *shape_cells(row)) for row in rows)
        left_out = (Sentence(evaluation.sentence, "note") for evaluation in selection.left_out)
        table = Table("Shapes", note, columns, cells, texts=columns[:3])
        blocks.append(Section(selection.images, (table, *left_out)))
    return Document("Shapes", tuple(blocks), {"shapes": data})


def _summary(con: duckdb.DuckDBPyConnection, selection: Selection) -> Table:
    accuracies = run_accuracies(con, selection)
    lines = []
    normalized = _normalized(con, selection)
    for model in trained_models(selection.evaluations):
        if model.has_several_seeds:
            blank = (TableCell(EMPTY),) * bool(normalized)
            of_runs = [accuracies[run] for run in model.runs]
            lines.append((TableCell(model.label_with_seeds), *_seed_cells(of_runs, selection), *blank))
        lines += [
            (TableCell(run.label), *_summary_cells(accuracies[run], selection), *normalized.get(run.evaluation_id, ()))
            for run in model.runs
        ]
    words = words_of_runs(selection.evaluations)
    over_seeds = f" Rows of several {words.seed}s: mean \u00b1 standard deviation over {words.short_seed}s."
    return Table(
        "Models",
        f"Accuracy on clean images and averaged over {selection.averaged_phrase} and whole severities, and plain mean "
        "corruption error: the mean of the errors, not divided by a baseline's. In percent."
        f"{NORMALIZED_NOTE if normalized else ''}{over_seeds if len(lines) > len(accuracies) else ''}",
        ("Model", "Clean", "Mean corrupted", "Mean corruption error", "Corruptions", *["mCE"] * bool(normalized)),
        tuple(lines),
    )


def _levels(con: duckdb.DuckDBPyConnection, selection: Selection, names: Names) -> list[Table]:
    """The values of levels by severity; no table if none has one."""
    axes = level_axes(con, selection)
    cells = {
        (corruption, severity): TableCell(axis.label(severity))
        for corruption, axis in axes.items()
        for severity in axis.values
    }
    note = "Value of each level by severity, its rank from the reference level (0) on."
    return [severity_table("Levels", note, names, cells, "the table levels")] if cells else []


def _normalized(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, tuple[TableCell]]:
    """Normalized mean corruption error with AlexNet as published, by evaluation; empty unless one has it."""
    errors = normalized_errors(con, selection)
    if not any(mce is not None for mce, _ in errors.values()):
        return {}
    return {
        key: (TableCell(EMPTY, reason or "") if mce is None else TableCell(format_number(100 * mce)),)
        for key, (mce, reason) in errors.items()
    }


def _seed_cells(runs: Sequence[MeanAccuracy], selection: Selection) -> Iterable[TableCell]:
    """Means and standard deviations over training runs."""
    clean = [run.clean.value for run in runs if run.clean is not None]
    corrupted = [run.corrupted.value for run in runs if run.corrupted is not None]
    for values in (clean, corrupted, [1 - value for value in corrupted]):
        if len(values) < len(runs):
            yield TableCell(EMPTY)
        else:
            yield TableCell(format_number(100 * mean(values)), f"\u00b1 {format_number(100 * stdev(values))}")
    yield TableCell(str(min(len(_of(run, selection.averaged)) for run in runs)))


def _summary_cells(accuracy: MeanAccuracy, selection: Selection) -> Iterable[TableCell]:
    """Values of one model; the error of extra corruptions is separate."""
    averaged = _of(accuracy, selection.averaged)
    extras = _of(accuracy, [name for name in selection.corruptions if name not in selection.averaged])
    mean_value = accuracy.corrupted and accuracy.corrupted.value
    yield TableCell(EMPTY if accuracy.clean is None else format_number(100 * accuracy.clean.value))
    yield TableCell(EMPTY if mean_value is None else format_number(100 * mean_value))
    yield TableCell(
        EMPTY if mean_value is None else format_number(100 * (1 - mean_value)),
        f"extras {format_number(100 * (1 - mean(extras)))}" if extras else "",
    )
    yield TableCell(str(len(averaged)), f"and {len(extras)} extra" if extras else "")


def _of(accuracy: MeanAccuracy, corruptions: Iterable[str]) -> list[float]:
    """The mean accuracies under some corruptions, of those that have one."""
    return [accuracy.by_corruption[name].value for name in corruptions if name in accuracy.by_corruption]


def _over_seeds(con: duckdb.DuckDBPyConnection, selection: Selection, model: TrainedModel, names: Names) -> Table:
    words = words_of_runs(model.runs)
    table = _by_severity(
        seed_curves(con, selection, model),
        f"Accuracy of {model.label_with_seeds}",
        f"Percent, mean over {words.seed}s {join_names(map(str, model.seeds))} with its 95% interval over "
        f"{words.short_seed}s and images, on {selection.images}.",
        "accuracy_by_model",
        names,
        lambda row: figure(row, "accuracy"),
    )
    return table._replace(model=model.label)


def _tables_of_model(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> list[Table]:
    """The tables of one model."""
    accuracy, predictions, calibration = (
        read_for_selection(con, f"{name}_by_severity", selection) for name in ("accuracy", "predictions", "calibration")
    )
    return [
        _by_severity(
            accuracy,
            f"Accuracy of {label}",
            f"Percent, with exact 95% intervals, on {selection.images}.",
            "accuracy_by_severity",
            names,
            lambda row: figure(row, "accuracy"),
        ),
        _shapes(con, selection, label, names),
        _by_severity(
            predictions,
            f"Predictions of {label}",
            "Most frequent prediction and its share; small: class of lowest accuracy. In percent.",
            "predictions_by_severity",
            names,
            lambda row: TableCell(
                f"{row['top_prediction_name'] or ''} {figure(row, 'top_prediction_share').text}".strip(),
                f"lowest: {row['worst_class_name']} {figure(row, 'worst_class_accuracy').text}",
            ),
        ),
        _by_severity(
            calibration,
            f"Calibration of {label}",
            f"Expected calibration error in {calibration['bin_count'].max()!s} equal bins (0\u20131), with its 95% "
            "interval; then overconfidence (confidence minus accuracy) in points.",
            "calibration_by_severity",
            names,
            _calibration_cell,
        ),
        _attention(con, selection, label, names),
    ]


def _calibration_cell(row: Row) -> TableCell:
    """ECE with its interval; then overconfidence."""
    error = figure(row, "ece", 3, scale=1)
    gap = figure(row, "overconfidence", signed=True).text
    return error._replace(small=f"{error.small}; {gap}" if error.small else gap)


def _by_severity(
    rows: pl.DataFrame, caption: str, note: str, view: str, names: Names, cell: Callable[[Row], TableCell]
) -> Table:
    cells = {(row["corruption"], row["severity"]): cell(row) for row in rows.rows(named=True)}
    return severity_table(caption, note, names, cells, f"the view {view}")


def _shapes(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    shapes, sweep, points, ranks = (
        read_for_selection(con, name, selection)
        for name in ("shapes", "shape_sweep", "change_points", "corruption_ranks")
    )
    thresholds = {row["corruption"]: _threshold(row) for row in points.rows(named=True)}
    rank_cells = {row["corruption"]: _rank(row) for row in ranks.filter(measure=AT_LAST).rows(named=True)}
    rows = (
        (
            TableCell(names[row["corruption"]]),
            TableCell(shape_label(row), row["reason"] or ""),
            *shape_cells(row)[1:],
            rank_cells.get(row["corruption"], TableCell(EMPTY)),
            thresholds.get(row["corruption"], TableCell(EMPTY)),
            _settings(row["sample_shape"], sweep.filter(corruption=row["corruption"])["shape"]),
        )
        for row in shapes.sort("total_drop", descending=True).rows(named=True)
    )
    columns = ("Corruption", *SHAPE_COLUMNS, "Rank", "Threshold", "Settings")
    return Table(f"Shapes of {label}", SHAPES_NOTE, columns, tuple(rows), texts=("Shape", "Threshold", "Settings"))


def _rank(row: Row) -> TableCell:
    if row["rank"] is None:
        return TableCell(EMPTY, f"not ranked: {row['reason']}")
    return TableCell(f"{row['rank']} of {row['ranked_count']}", f"{row['rank_low']} to {row['rank_high']}")


def _threshold(row: Row) -> TableCell:
    """The verdict on a row of `change_points`, with its reason, or where the curve breaks."""
    if row["reason"]:
        return TableCell(row["threshold"], row["reason"])
    where = "no break" if row["break_at"] is None else f"break between {_between(row, 'break_from', 'break_to', 'and')}"
    return TableCell(row["threshold"], f"{where}, p{NO_BREAK}{format_p(row['adjusted_p_value'])}")


def _settings(shape: str, shapes: pl.Series) -> TableCell:
    """Number of settings that give a curve the same shape, and the shapes of the others."""
    others = (SHAPE_LABELS[other] for other in shapes.unique(maintain_order=True) if other != shape)
    return TableCell(f"{(shapes == shape).sum()} of {len(shapes)}", ", ".join(others))


def _between(row: Row, start: str, end: str, word: str = "to") -> str:
    return f"{format_severity(row[start])} {word} {format_severity(row[end])}"


def _attention(con: duckdb.DuckDBPyConnection, selection: Selection, label: str, names: Names) -> Table:
    cells = read_for_selection(con, "attention_drift", selection)
    last = cells.filter(pl.col("severity") == pl.col("severity").max().over("corruption"))
    clean = cells.filter(severity=0.0).head(1).with_columns(corruption=pl.lit(CLEAN))
    by_corruption = {row["corruption"]: row for row in pl.concat([clean, last]).rows(named=True)}
    return Table(
        f"Attention of {label} at the last severity",
        ATTENTION_NOTE,
        ("Corruption", *(heading for heading, _ in ATTENTION_COLUMNS.values())),
        tuple(
            (
                TableCell(name),
                *(figure(row, column, digits, scale=1) for column, (_, digits) in ATTENTION_COLUMNS.items()),
            )
            for corruption, name in names.items()
            if (row := by_corruption.get(corruption))
        ),
    )


def published_tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """One table per published corrupted dataset of the selection's dataset."""
    names = corruption_labels(con)
    return [_table(comparison, selection, names) for comparison in compare_with_published(con, selection)]


def _table(comparison: PublishedComparison, selection: Selection, names: dict[str, str]) -> Table:
    """Published models and those of the selection (marked), sorted by accuracy."""
    count = len(comparison.published)
    is_ranked = not comparison.differences
    rows = [
        (model.corrupted, (TableCell(model.model), TableCell(model.architecture or EMPTY),
         TableCell(EMPTY if model.clean is None else format_number(100 * model.clean)),
         TableCell(format_number(100 * model.corrupted)), TableCell("")))
        for model in comparison.published
    ]  # fmt: skip
    rows += [
        (standing.corrupted.value, (TableCell(f"\u2192 {standing.model.label_with_seeds}"),
         TableCell(standing.model.runs[0].facts["architecture"]), _with_interval(standing.clean),
         _with_interval(standing.corrupted),
         TableCell(str(standing.rank), f"[{standing.best}, {standing.worst}]") if is_ranked else TableCell(EMPTY)))
        for standing in comparison.standings
    ]  # fmt: skip
    over = join_names(lower_label(names[corruption]) for corruption in comparison.corruptions)
    seeds = (
        " and over training seeds" if any(standing.model.has_several_seeds for standing in comparison.standings) else ""
    )
    ordered = sorted(rows, key=lambda row: -row[0]) if is_ranked else [*rows[count:], *rows[:count]]
    rank = (
        "Rank: among the published models, with the ranks of the interval ends."
        if is_ranked
        else "Your models come first and have no rank."
    )
    return Table(
        f"{'Among' if is_ranked else 'Beside'} {format_count(count, 'published model')} ({comparison.published_set})",
        f"Accuracy in percent, clean and averaged over {over} at severities "
        f"{join_names(map(format_severity, comparison.severities))}. \u2192 marks your models, on {selection.images}, "
        f"with intervals over these images{seeds}. {rank} Published accuracies are "
        f"{protocol_phrase(selection, [comparison.published_set])} and have no interval.",
        ("Model", "Architecture", "Clean", "Mean corrupted", f"Rank of {count + 1}"),
        tuple(cells for _, cells in ordered),
    )


def _with_interval(estimate: Estimate) -> TableCell:
    return TableCell(format_number(100 * estimate.value), format_interval(estimate.low, estimate.high))


def pair_tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """A table of all pairs of three or more models that share cells.

    Rows and columns are models, those that win most pairs first; columns are numbered like rows. Of many models, it has
    the best and the worst (see `best_and_worst`), tested among all.
    """
    cells = compare_pairs(con, selection)
    if len(trained_models(selection.evaluations)) < 3 or cells.is_empty():
        return []
    ranked = rank_by_wins(compare_models_of(con, selection))
    shown = best_and_worst(con, selection)
    pairs = cells.group_by("a", "b").agg(
        count=pl.len(), won=(pl.col("winner") == pl.col("a")).sum(), lost=(pl.col("winner") == pl.col("b")).sum()
    )
    texts = {(a, b): str(won or NO_CELLS) for a, b, won in pairs.select("a", "b", "won").rows()}
    texts |= {(b, a): str(lost or NO_CELLS) for a, b, lost in pairs.select("a", "b", "lost").rows()}
    counts = pairs["count"].to_list()
    of = f"of {counts[0]}" if len(set(counts)) == 1 else f"of up to {max(counts)}"
    subject = "it is" if all(len(count.model.runs) == 1 for count in ranked) else "its model is"
    standing = enumerate(((run, count) for count in ranked for run in count.model.runs), start=1)
    order = [(rank, run, count) for rank, (run, count) in standing if run in shown.evaluations]
    rows = (
        (f"{rank}. {run.label}", str(count.won), str(count.lost),
         *(texts.get((run.evaluation_id, other.evaluation_id), EMPTY) for _, other, _ in order))
        for rank, run, count in order
    )  # fmt: skip
    note = (
        f"Number of cells, {of}, in which the model of the row is more accurate than that of the column (dot: none): "
        f"exact McNemar tests with Holm's correction over all {len(cells):,} cells of all pairs. Ahead of and "
        f"behind: models that {subject} more or less accurate than on average over corruptions (paired differences, "
        "Holm's correction over pairs). Checkpoints, not architectures."
    )
    of_runs = "" if noun_of_runs(selection.evaluations) == "model" else SAME_MODEL
    return [
        Table(
            "Models against each other, image by image",
            " ".join(filter(None, (note, shown_phrase(shown), of_runs))),
            ("Model", "Ahead of", "Behind", *(str(rank) for rank, *_ in order)),
            tuple(tuple(map(TableCell, row)) for row in rows),
        )
    ]
