"""The report's tables of networks against each other: one a pair, or one matrix of all pairs of many networks."""

from collections.abc import Sequence

import duckdb

from analysis.mcnemar import PairTest, compare_pairs, correct_jointly
from analysis.report_tables import EMPTY, Cell, Table, corruption_names
from analysis.selection import Evaluation, Selection
from analysis.standings import standings
from analysis.words import MOST_LISTED, level, number

NONE = "\u00b7"  # of a matrix: zeros would hide the counts


def pair_tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """A table for each pair of up to four networks, or one for all pairs of more."""
    pairs = compare_pairs(con, selection)
    if pairs and len(selection.evaluations) > MOST_LISTED:
        return [_matrix(correct_jointly(pairs))]
    names = corruption_names(con, selection)
    return [_pair(pair, names) for pair in pairs]


def _matrix(pairs: Sequence[PairTest]) -> Table:
    """Rows and columns are the networks, those that win most pairs first; columns go by the number of the row."""
    ranked = standings(pairs)
    won: dict[tuple[Evaluation, Evaluation], int] = {}
    for pair in pairs:
        won[pair.a, pair.b], won[pair.b, pair.a] = pair.won_by("a"), pair.won_by("b")
    cells = {len(pair.cells) for pair in pairs}
    of = f"of {cells.pop()}" if len(cells) == 1 else f"of up to {max(cells)}"
    order = [standing.evaluation for standing in ranked]
    return Table(
        "Networks against each other, image by image",
        f"Number of cells, {of}, in which the network of the row is right more often than that of the column (dot: in "
        "none): exact "
        f"McNemar tests with Holm's correction over all {sum(len(pair.cells) for pair in pairs):,} cells of all "
        "pairs. Ahead of and behind: networks that it is right more or less often than in at least one cell, and not "
        "the other way round in any. Checkpoints, not architectures.",
        ("Network", "Ahead of", "Behind", *(str(place) for place in range(1, len(order) + 1))),
        tuple(
            (Cell(f"{place}. {s.evaluation.label}"), Cell(str(s.won)), Cell(str(s.lost)),
             *(_won(won.get((s.evaluation, other))) for other in order))
            for place, s in enumerate(ranked, start=1)
        ),
    )  # fmt: skip


def _won(cells: int | None) -> Cell:
    return Cell(EMPTY) if cells is None else Cell(str(cells) if cells else NONE)


def _pair(pair: PairTest, names: dict[str, str]) -> Table:
    winners = {"a": pair.a.label, "b": pair.b.label, "": "undecided"}
    last = {c.corruption: c.severity for c in sorted(pair.cells, key=lambda c: c.severity)}
    shown = [c for c in pair.cells if c.severity == last[c.corruption]]
    return Table(
        f"{pair.a.label} and {pair.b.label}, image by image",
        f"Images that only one of the two gets right, clean and at the last severity; p value of the exact McNemar "
        f"test with Holm's correction over all {len(pair.cells)} cells. Checkpoints, not architectures.",
        ("Corruption", "Severity", f"Only {pair.a.label}", f"Only {pair.b.label}", "p", "More often right"),
        tuple(
            (Cell(names[c.corruption]), Cell(level(c.severity)), Cell(f"{c.only_a:,}"),
             Cell(f"{c.only_b:,}"), Cell(_p_value(c.adjusted_p)), Cell(winners[c.winner]))
            for c in sorted(shown, key=lambda c: (c.severity > 0, c.corruption))
        ),
    )  # fmt: skip


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else number(p, 3)
