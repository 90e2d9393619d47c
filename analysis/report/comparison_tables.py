"""The report's tables of networks against each other: one a pair, or one matrix of all pairs of many networks."""

from collections.abc import Sequence

import duckdb

from failmodes.analysis.formatting import MAX_LISTED, format_number, format_severity
from failmodes.analysis.report.report_tables import EMPTY, ReportTable, TableCell, corruption_names
from failmodes.analysis.selection import EvaluationInfo, Selection
from failmodes.analysis.statistics.mcnemar import PairTest, compare_pairs, correct_jointly, rank_by_wins

NO_CELLS = "\u00b7"  # of a matrix: zeros would hide the counts


def pair_tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[ReportTable]:
    """A table for each pair of up to four networks, or one for all pairs of more."""
    pairs = compare_pairs(con, selection)
    if pairs and len(selection.evaluations) > MAX_LISTED:
        return [_matrix(correct_jointly(pairs))]
    names = corruption_names(con, selection)
    return [_pair(pair, names) for pair in pairs]


def _matrix(pairs: Sequence[PairTest]) -> ReportTable:
    """Rows and columns are the networks, those that win most pairs first; columns go by the number of the row."""
    ranked = rank_by_wins(pairs)
    won: dict[tuple[EvaluationInfo, EvaluationInfo], int] = {}
    for pair in pairs:
        won[pair.a, pair.b], won[pair.b, pair.a] = pair.won_by("a"), pair.won_by("b")
    cells = {len(pair.cells) for pair in pairs}
    of = f"of {cells.pop()}" if len(cells) == 1 else f"of up to {max(cells)}"
    order = [standing.evaluation for standing in ranked]
    return ReportTable(
        "Networks against each other, image by image",
        f"Number of cells, {of}, in which the network of the row is right more often than that of the column (dot: in "
        "none): exact "
        f"McNemar tests with Holm's correction over all {sum(len(pair.cells) for pair in pairs):,} cells of all "
        "pairs. Ahead of and behind: networks that it is right more or less often than in at least one cell, and not "
        "the other way round in any. Checkpoints, not architectures.",
        ("Network", "Ahead of", "Behind", *(str(place) for place in range(1, len(order) + 1))),
        tuple(
            (TableCell(f"{place}. {s.evaluation.label}"), TableCell(str(s.won)), TableCell(str(s.lost)),
             *(_won(won.get((s.evaluation, other))) for other in order))
            for place, s in enumerate(ranked, start=1)
        ),
    )  # fmt: skip


def _won(cells: int | None) -> TableCell:
    return TableCell(EMPTY) if cells is None else TableCell(str(cells) if cells else NO_CELLS)


def _pair(pair: PairTest, names: dict[str, str]) -> ReportTable:
    winners = {"a": pair.a.label, "b": pair.b.label, "": "undecided"}
    last = {c.corruption: c.severity for c in sorted(pair.cells, key=lambda c: c.severity)}
    shown = [c for c in pair.cells if c.severity == last[c.corruption]]
    return ReportTable(
        f"{pair.a.label} and {pair.b.label}, image by image",
        f"Images that only one of the two gets right, clean and at the last severity; p value of the exact McNemar "
        f"test with Holm's correction over all {len(pair.cells)} cells. Checkpoints, not architectures.",
        ("Corruption", "Severity", f"Only {pair.a.label}", f"Only {pair.b.label}", "p", "More often right"),
        tuple(
            (TableCell(names[c.corruption]), TableCell(format_severity(c.severity)), TableCell(f"{c.only_a:,}"),
             TableCell(f"{c.only_b:,}"), TableCell(_p_value(c.adjusted_p)), TableCell(winners[c.winner]))
            for c in sorted(shown, key=lambda c: (c.severity > 0, c.corruption))
        ),
    )  # fmt: skip


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else format_number(p, 3)
