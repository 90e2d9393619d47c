"""The section of a report on natural shifts: chart, table, and what restricts the comparison."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.charts.registry import draw_selection
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.render.blocks import Block, Cell, Section, Sentence, Table
from failmodes.analysis.report.report_charts import OF_SHIFTS, report_chart
from failmodes.analysis.report.report_tables import figure
from failmodes.analysis.statistics.shifts import FEWEST_MODELS, classes_note, shift_rows

COLUMNS = ("Shift", "Model", "Accuracy", "Clean", "Gap", "Images", "Clean images")
NOTE = (
    "Accuracy under the shift and clean accuracy on the same classes in percent with exact 95% intervals; gap: clean "
    "minus shifted accuracy in points, with its 95% interval of independent samples."
)
ROBUSTNESS_NOTE = (
    " Effective robustness (Taori et al. 2020): points above the line fitted on the logits of both accuracies over the "
    f"models here, at least {FEWEST_MODELS}."
)


def shift_sections(con: duckdb.DuckDBPyConnection, selection: Selection, number: int = 1) -> list[Section]:
    """The section on natural shifts; empty without any.

    Args:
        con: the warehouse.
        selection: of the part.
        number: of the part.
    """
    rows = shift_rows(con, selection)
    if rows.is_empty():
        return []
    chart = report_chart(OF_SHIFTS, partial(draw_selection, OF_SHIFTS, con, selection))
    blocks: tuple[Block, ...] = (chart, *(Sentence(line, "note") for line in _protocols(rows)), shift_table(rows))
    return [Section("Natural shifts", blocks, anchor=f"shifts-{number}")]


def shift_limitations(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[str]:
    """One sentence per shift whose accuracies are of some classes only."""
    return [
        f"Accuracy under {row['shift']} and its clean accuracy are of {note}: neither compares with the accuracy of "
        "the curves."
        for row in _first_rows(shift_rows(con, selection))
        if (note := _classes(row))
    ]


def shift_table(rows: pl.DataFrame) -> Table:
    """A row for each shift and model."""
    has_line = rows["effective_robustness"].drop_nulls().len() > 0
    lines = tuple(
        (
            Cell(row["shift"], _classes(row)),
            Cell(row["label"]),
            figure(row, "accuracy"),
            figure(row, "clean_accuracy"),
            figure(row, "gap", signed=True),
            *([figure(row, "effective_robustness", signed=True)] if has_line else []),
            Cell(f"{row['image_count']:,}"),
            Cell(f"{row['clean_image_count']:,}"),
        )
        for row in rows.rows(named=True)
    )
    columns = (*COLUMNS[:5], *(["Effective robustness"] if has_line else []), *COLUMNS[5:])
    return Table("Natural shifts", NOTE + ROBUSTNESS_NOTE * has_line, columns, lines, texts=("Model",))


def _protocols(rows: pl.DataFrame) -> Iterator[str]:
    """What each shift is compared with, and where that is defined."""
    for row in _first_rows(rows):
        parts = [f"compared with {row['clean']}", _classes(row), row["note"]]
        source = f" ({row['source']})" if row["source"] else ""
        yield f"{row['shift']}: {', '.join(filter(None, parts))}{source}."


def _first_rows(rows: pl.DataFrame) -> list[dict[str, Any]]:
    """One row per shift."""
    found: list[dict[str, Any]] = rows.unique("shift", keep="first", maintain_order=True).rows(named=True)
    return found


def _classes(row: dict[str, Any]) -> str:
    return classes_note(row["class_count"], row["clean_class_count"], is_restricted=row["restricted"])
