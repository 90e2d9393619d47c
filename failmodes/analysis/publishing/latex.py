r"""Tables for a paper in LaTeX: models by corruptions, and models by natural shifts, with the rules of booktabs.

A value is bold where `compare` shows its model more accurate than every other one of the table, at a level that is
corrected for their number, so that a bold value is no accident of the sample.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import duckdb

from failmodes.analysis.evaluations.comparability import protocol_words
from failmodes.analysis.evaluations.selection import Selection, averaged_severities, corruption_names
from failmodes.analysis.evaluations.trained_models import TrainedModel
from failmodes.analysis.judging.compare import LEVEL, MAX_LEVEL, Comparison, compare_models
from failmodes.analysis.publishing.written import Written
from failmodes.analysis.render.blocks import EMPTY
from failmodes.analysis.render.formatting import format_interval, format_number, format_severity, join_names
from failmodes.analysis.render.row_formats import latex_row, latex_text, write_rows
from failmodes.analysis.statistics.curve_shape import stored_settings
from failmodes.analysis.statistics.estimate import Estimate, estimate_of
from failmodes.analysis.statistics.model_accuracy import MeanAccuracy, model_accuracies, normalized_errors
from failmodes.analysis.statistics.opened_models import opened_model
from failmodes.analysis.statistics.shifts import shift_rows
from failmodes.runtime.errors import QueryError
from failmodes.warehouse.database.query import query_batches
from failmodes.warehouse.output_files import write_output
from failmodes.warehouse.schema import CLEAN

MEAN, MCE = "mean", "mCE"  # columns beside those of corruptions
Value = Estimate | float | None
Values = Mapping[TrainedModel, Mapping[str, Value]]
MOST_UPRIGHT = 6  # column heads; more of them are turned
FIT = r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%"  # as wide as the page at most


class _Table(NamedTuple):
    """Values of models, 0-1 or intervals of them, by column."""

    label: str
    columns: Mapping[str, str]
    values: Values
    caption: str
    best: Mapping[str, TrainedModel]


def write_latex(
    con: duckdb.DuckDBPyConnection, warehouse: Path, selection: Selection, path: Path, force: bool,
    *, intervals: bool = False, query: str = "",
) -> Written:  # fmt: skip
    """Write the tables; with `intervals`, the interval of each value below it; with `query`, its rows instead.

    Raises:
        StudyError, WarehouseError: two models cannot be compared.
        QueryError: the query is invalid, or gives no row.
        StorageError: the file cannot be written.
    """
    if query:
        with query_batches(warehouse, query) as batches:
            rows = [batch for batch in batches if batch.height]
            if not rows:
                raise QueryError("the query gives no row: no table is written")
            write_rows(rows, path, "latex", force=force)
        return Written((path,))
    accuracies = model_accuracies(con, selection)
    tables = [_of_corruptions(con, warehouse, selection, accuracies), *_of_shifts(con, selection, list(accuracies))]
    lines = ["% \\usepackage{booktabs,graphicx}\n"]
    for table in tables:
        level = f"Brackets: {100 * stored_settings(con).interval_level:g}% intervals. " if intervals else ""
        lines += _lines(table._replace(caption=level + table.caption), intervals=intervals)
    write_output(path, "".join(lines).encode(), (".tex",), force=force)
    return Written((path,))


def _of_corruptions(
    con: duckdb.DuckDBPyConnection, warehouse: Path, selection: Selection, accuracies: dict[TrainedModel, MeanAccuracy]
) -> _Table:
    names = corruption_names(con, selection)
    ordered = [*selection.averaged, *(name for name in names if name not in selection.averaged)] if names else []
    values: dict[TrainedModel, dict[str, Value]] = {}
    for model, accuracy in accuracies.items():
        values[model] = {CLEAN: accuracy.clean}
        values[model] |= {name: accuracy.by_corruption.get(name) for name in ordered}
        values[model] |= {MEAN: accuracy.corrupted} if ordered else {}
    columns = {CLEAN: "Clean", **{name: names[name] for name in ordered}} | ({MEAN: "Mean"} if ordered else {})
    errors = normalized_errors(con, selection)
    if any(error is not None for error, _ in errors.values()):
        columns |= {MCE: MCE}
        for model, of_model in values.items():
            of_runs = [errors.get(run.evaluation_id, (None, ""))[0] for run in model.runs]
            known = [error for error in of_runs if error is not None]
            of_model[MCE] = mean(known) if len(known) == len(of_runs) else None
    columns = {name: text for name, text in columns.items() if any(of_model[name] for of_model in values.values())}
    best = _best(con, warehouse, selection, values)
    over = join_names(map(format_severity, averaged_severities(selection.severities)))
    parts = [
        f"Accuracy in percent on {selection.images}",
        *(
            [f"Values under corruption: means over severities {over}; Mean: over {selection.averaged_phrase}"]
            * bool(ordered)
        ),
        *([f"{MCE}: errors relative to AlexNet's as published, lower is better"] if MCE in columns else []),
        *([_bold(len(values))] if len(values) > 1 else []),
    ]
    rest = [*selection.uneven, selection.source_line, f"Protocol: {protocol_words(selection.shared)}."]
    return _Table("robustness", columns, values, ". ".join([*parts, " ".join(rest)]), best)


def _of_shifts(
    con: duckdb.DuckDBPyConnection, selection: Selection, models: Sequence[TrainedModel]
) -> Iterator[_Table]:
    """A table with a column for each natural shift, if there is any."""
    rows = shift_rows(con, selection).rows(named=True)
    if not rows:
        return
    owners = {run.evaluation_id: model for model in models for run in model.runs}
    values: dict[TrainedModel, dict[str, Value]] = {model: {} for model in models}
    for row in rows:
        model = owners[row["own_evaluation_id"]]
        if len(model.runs) == 1:  # of several runs the warehouse has no interval together
            values[model][row["shift"]] = estimate_of(row, "accuracy")
    columns = {row["shift"]: row["shift"] for row in rows}
    caption = f"Accuracy in percent under natural shifts. {selection.source_line}"
    yield _Table("shifts", columns, {model: of_model for model, of_model in values.items() if of_model}, caption, {})


def _bold(count: int) -> str:
    others, corrected = "the other model", ""
    if count > 2:
        others, corrected = f"each of the {count - 1} other models", ", corrected for their number"
    return f"Bold: shown to be more accurate than {others} ({100 * LEVEL:g}% level{corrected})"


def _best(
    con: duckdb.DuckDBPyConnection, warehouse: Path, selection: Selection, values: Values
) -> dict[str, TrainedModel]:
    """The model of each column that `compare` shows to be more accurate than all others."""
    others_of = {model: [other for other in values if other != model] for model in values}
    level = min(MAX_LEVEL, 1 - (1 - LEVEL) / max(1, len(values) - 1))

    @cache
    def comparison(a: TrainedModel, b: TrainedModel) -> Comparison:
        sides = [opened_model(con, warehouse, model) for model in (a, b)]
        return compare_models(*sides, level=level, mixed=bool(selection.mixed))

    best = {}
    for column in [CLEAN, *selection.corruptions, MEAN] if len(values) > 1 else []:
        known = {model: of_model.get(column) for model, of_model in values.items()}
        estimates = {model: value for model, value in known.items() if isinstance(value, Estimate)}
        if len(estimates) < len(values):
            continue
        first = max(estimates, key=lambda model: estimates[model].value)
        if all(column in _won(comparison(other, first)) for other in others_of[first]):
            best[column] = first
    return best


def _won(comparison: Comparison) -> set[str]:
    """The columns in which the candidate is shown to be more accurate."""
    corrupted = comparison.overall if comparison.pair.averaged else None
    clean = comparison.clean if comparison.pair.averaged else comparison.overall
    rows = {CLEAN: clean, MEAN: corrupted} | {row.corruption: row for row in comparison.corruptions}
    return {name for name, row in rows.items() if name and row and row.winner == "b"}


def _lines(table: _Table, *, intervals: bool) -> Iterator[str]:
    yield "\\begin{table*}\n\\centering\n"
    yield f"\\caption{{{latex_text(table.caption.rstrip('.'))}.}}\n\\label{{tab:{table.label}}}\n{FIT}\n"
    yield f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}\n\\toprule\n"
    is_wide = len(table.columns) > MOST_UPRIGHT
    heads = (
        f"\\rotatebox{{90}}{{{latex_text(name)}}}" if is_wide else latex_text(name) for name in table.columns.values()
    )
    yield latex_row(["Model", *heads])
    yield "\\midrule\n"
    for model, values in table.values.items():
        cells = (_cell(values.get(name), is_best=table.best.get(name) == model) for name in table.columns)
        yield latex_row([latex_text(model.label_with_seeds), *cells])
        if intervals:
            yield latex_row(["", *(_interval(values.get(name)) for name in table.columns)])
    yield "\\bottomrule\n\\end{tabular}}\n\\end{table*}\n"


def _cell(value: Value, *, is_best: bool) -> str:
    if value is None:
        return latex_text(EMPTY)
    text = latex_text(format_number(100 * (value.value if isinstance(value, Estimate) else value)))
    return f"\\textbf{{{text}}}" if is_best else text


def _interval(value: Value) -> str:
    if not isinstance(value, Estimate):
        return ""
    return f"{{\\scriptsize {latex_text(format_interval(value.low, value.high))}}}"
