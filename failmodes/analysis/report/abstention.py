"""Abstention as blocks: the thresholds, what they accept and get wrong, and prediction sets."""

from collections.abc import Collection, Iterator
from typing import Any

import duckdb
import polars as pl

from failmodes.analysis.evaluations.selection import Selection, corruption_names, read_for_selection, select
from failmodes.analysis.judging.abstention import HALF, stored_thresholds, threshold_sentence
from failmodes.analysis.render.blocks import Block, Document, Section, Sentence, Table, TableCell, severity_table
from failmodes.analysis.render.formatting import format_severity, join_names
from failmodes.analysis.report.report_tables import figure
from failmodes.warehouse.metrics.conformal import COVERAGE

SELECTIVE, CONFORMAL = "selective_by_severity", "conformal_by_severity"  # views
# Caption, digits and scale by column of each view
ACCEPTED = {"accepted_share": ("Accepted", 1, 100.0), "error_accepted": ("Error among accepted", 1, 100.0)}
SETS = {
    "lac_coverage": ("LAC coverage", 1, 100.0), "lac_set_size": ("LAC size", 2, 1.0),
    "aps_coverage": ("APS coverage", 1, 100.0), "aps_set_size": ("APS size", 2, 1.0),
}  # fmt: skip
NOTES = {
    SELECTIVE: f"In percent, on the images that nothing was chosen on: thresholds are chosen on {HALF}.",
    CONFORMAL: (
        f"Coverage: share of images whose set holds the label; sets are calibrated for {COVERAGE:.0%} on the same "
        "half. Size: mean number of classes in a set, 0 for an empty one. LAC: classes by probability; APS: by "
        "cumulative probability, not randomized."
    ),
}


def abstention_blocks(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Block]:
    """Thresholds, and what they and sets do at the last severity of each corruption; empty if no score is stored."""
    if not any(row["image_count"] for row in stored_thresholds(con, selection)):
        return []
    return [*_sentences(con, selection), *_at_last(con, selection)]


def thresholds_document(con: duckdb.DuckDBPyConnection, evaluations: Collection[str]) -> Document:
    """Thresholds with every severity, and sets, as `failmodes threshold` prints them.

    Args:
        con: the warehouse, with current findings.
        evaluations: their identities.
    """
    blocks: list[Block] = []
    for selection in select(con):
        for run in selection.evaluations:
            if run.evaluation_id in evaluations:
                own = selection.only(run)
                last = (Section("At the last severity", (table,)) for table in _at_last(con, own))
                blocks.append(Section(run.label, (*_sentences(con, own), *_by_severity(con, own), *last)))
    return Document("Thresholds", tuple(blocks), {})


def _sentences(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Sentence]:
    for row in stored_thresholds(con, selection):
        yield Sentence(threshold_sentence(row))
    with_sets = set(read_for_selection(con, CONFORMAL, selection)["label"])
    if lacking := [label for label in selection.labels.values() if label not in with_sets]:
        yield Sentence(
            f"Prediction sets of {join_names(lacking)} are not measurable: not all logits are stored.", "note"
        )


def _cell(row: dict[str, Any], column: str) -> TableCell:
    _, digits, scale = (ACCEPTED | SETS)[column]
    return figure(row, column, digits, scale=scale)


def _at_last(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Table]:
    """A row for the clean images of each model, and for each corruption at its last severity; none without figures."""
    keys, names = ["label", "corruption", "severity"], corruption_names(con, selection)
    views = [read_for_selection(con, view, selection) for view in (SELECTIVE, CONFORMAL)]
    measures = {**(ACCEPTED if len(views[0]) else {}), **(SETS if len(views[1]) else {})}
    rows = views[0].join(views[1], on=keys, how="full", coalesce=True).with_columns(
        images=pl.when(severity=0).then(pl.lit("Clean")).otherwise(
            pl.col("corruption").replace(names) + " " + pl.col("severity").map_elements(format_severity, pl.String)
        ),
        place=pl.when(severity=0).then(-1).otherwise(pl.col("corruption").replace_strict(
            {name: place for place, name in enumerate(names)}, default=-1
        )),
    )  # fmt: skip
    last = rows.sort("severity").unique(["label", "place"], keep="last")
    order = {label: place for place, label in enumerate(selection.labels.values())}
    lines = tuple(
        (TableCell(row["label"]), TableCell(row["images"]), *(_cell(row, column) for column in measures))
        for row in sorted(last.rows(named=True), key=lambda row: (order[row["label"]], row["place"]))
    )
    if lines:
        columns = ("Model", "Images", *(caption for caption, *_ in measures.values()))
        note = " ".join([NOTES[SELECTIVE], *([NOTES[CONFORMAL]] if len(views[1]) else [])])
        yield Table(
            "Accepted predictions and prediction sets", note, columns, lines, texts=columns[:2], is_stacked=True
        )


def _by_severity(con: duckdb.DuckDBPyConnection, selection: Selection) -> Iterator[Section]:
    """A table of corruptions by severities for each measure at the threshold; none without one."""
    rows, names = read_for_selection(con, SELECTIVE, selection).rows(named=True), corruption_names(con, selection)
    for column, (caption, *_) in ACCEPTED.items() if rows and names else ():
        cells = {(row["corruption"], row["severity"]): _cell(row, column)._replace(small="") for row in rows}
        yield Section(caption, (severity_table(caption, NOTES[SELECTIVE], names, cells, f"the view {SELECTIVE}"),))
