"""Abstention as blocks: the thresholds, what they accept and get wrong, and prediction sets."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_for_selection, select
from failmodes.analysis.render.blocks import Block, Document, Section, Sentence, Table, TableCell, severity_table
from failmodes.analysis.render.formatting import format_severity, join_names
from failmodes.analysis.report.report_tables import figure
from failmodes.analysis.statistics.abstention import HALF, stored_thresholds, threshold_sentence
from failmodes.warehouse.metrics.conformal import COVERAGE

SELECTIVE, CONFORMAL = "selective_by_severity", "conformal_by_severity"  # views
ACCEPTED_NOTE = f"In percent, on the images that the threshold was not chosen on ({HALF})."
SETS_NOTE = (
    f"Coverage: share of images whose set holds the label, in percent; sets are calibrated for {COVERAGE:.0%} on {HALF}, "
    "and measured on the other images. Size: mean number of classes in a set, 0 for an empty one. LAC: classes by "
    "probability; APS: by cumulative probability, not randomized."
)
# Caption, digits and scale by column of the view
ACCEPTED = {"accepted_share": ("Accepted", 1, 100.0), "error_accepted": ("Error among accepted", 1, 100.0)}
SETS = {
    "lac_coverage": ("LAC coverage", 1, 100.0), "lac_set_size": ("LAC size", 2, 1.0),
    "aps_coverage": ("APS coverage", 1, 100.0), "aps_set_size": ("APS size", 2, 1.0),
}  # fmt: skip


def abstention_blocks(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Block]:
    """Thresholds and, at the last severity of each corruption, what they do; empty if no score is stored."""
    rows = stored_thresholds(con, selection)
    if not any(row["image_count"] for row in rows):
        return []
    tables = _at_last(con, selection, SELECTIVE), _at_last(con, selection, CONFORMAL)
    return [*_sentences(con, selection, rows), *(table for table in tables if table.rows)]


def thresholds_document(con: duckdb.DuckDBPyConnection, evaluations: Collection[str]) -> Document:
    """Thresholds, and all cells of the views of them, as `failmodes threshold` prints them.

    Args:
        con: the warehouse, with current findings.
        evaluations: their identities.
    """
    blocks: list[Block] = []
    for selection in select(con):
        for run in selection.evaluations:
            if run.evaluation_id in evaluations:
                own = selection.only(run)
                sets = _at_last(con, own, CONFORMAL)
                blocks.append(
                    Section(
                        run.label,
                        (
                            *_sentences(con, own, stored_thresholds(con, own)),
                            *_by_severity(con, own),
                            *([Section(sets.caption, (sets,))] if sets.rows else []),
                        ),
                    )
                )
    return Document("Thresholds", tuple(blocks), {})


def _sentences(
    con: duckdb.DuckDBPyConnection, selection: Selection, rows: Sequence[dict[str, Any]]
) -> Iterator[Sentence]:
    for row in rows:
        yield Sentence(threshold_sentence(row))
    with_sets = set(read_for_selection(con, CONFORMAL, selection)["label"])
    if lacking := [label for label in selection.labels.values() if label not in with_sets]:
        yield Sentence(f"Prediction sets of {join_names(lacking)} are not measurable: not all logits are stored.", "note")


def _cell(row: dict[str, Any], column: str) -> TableCell:
    _, digits, scale = (ACCEPTED | SETS)[column]
    return figure(row, column, digits, scale=scale)


def _at_last(con: duckdb.DuckDBPyConnection, selection: Selection, view: str) -> Table:
    """A row of a view for the clean images of each model, and for each corruption at its last severity."""
    names, measures = corruption_names(con, selection), ACCEPTED if view == SELECTIVE else SETS
    columns = ("Model", "Images", *(caption for caption, *_ in measures.values()))
    lines = []
    for label in selection.labels.values():
        rows = read_for_selection(con, view, selection).filter(pl.col("label") == label).sort("severity")
        clean = rows.filter(pl.col("severity") == 0).head(1).rows(named=True)
        last = rows.filter(pl.col("severity") > 0).unique("corruption", keep="last").rows(named=True)
        for row in [*clean, *sorted(last, key=lambda row: [*names].index(row["corruption"]))]:
            where = f"{names[row['corruption']]} {format_severity(row['severity'])}" if row["severity"] else "Clean"
            lines.append((TableCell(label), TableCell(where), *(_cell(row, column) for column in measures)))
    caption, note = ("Accepted predictions", ACCEPTED_NOTE) if view == SELECTIVE else ("Prediction sets", SETS_NOTE)
    return Table(caption, note, columns, tuple(lines), texts=columns[:2])


def _by_severity(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Section]:
    """A table of corruptions by severities for each measure at the threshold; none without one."""
    rows = read_for_selection(con, SELECTIVE, selection).rows(named=True)
    for column, (caption, *_) in ACCEPTED.items() if rows else ():
        cells = {(row["corruption"], row["severity"]): _cell(row, column)._replace(small="") for row in rows}
        names = corruption_names(con, selection)
        yield Section(caption, (severity_table(caption, ACCEPTED_NOTE, names, cells, f"the view {SELECTIVE}"),))
