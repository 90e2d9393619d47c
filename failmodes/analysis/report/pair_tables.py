"""The report's tables of pairs of models, image by image: each pair, or of many models all pairs in one."""

from collections.abc import Collection, Sequence

import duckdb

from failmodes.analysis.render.blocks import EMPTY, Cell, Table
from failmodes.analysis.render.formatting import MAX_LISTED, format_number, format_severity, smallest_shown_sentence
from failmodes.analysis.report.report_tables import Names, corruption_names
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.analysis.statistics.model_pairs import PairTest, WinCount, compare_models_of, compare_pairs, rank_by_wins
from failmodes.analysis.statistics.shares import ALPHA, smallest_detectable_difference
from failmodes.analysis.trained_models import noun_of_runs

NO_CELLS = "\u00b7"  # in the table of all pairs: zeros would hide the counts

SAME_MODEL = "Training runs of one model are not compared with each other."


def pair_tables(
    con: duckdb.DuckDBPyConnection, selection: Selection, compared: Collection[frozenset[str]] = ()
) -> list[Table]:
    """A table for each pair of up to four models, or one for all pairs of more; none of runs of one model.

    Of many models it has the pairs of the best and the worst (see `best_and_worst`), tested as among all.

    Pairs that are `compared` elsewhere in the report, as sets of evaluation ids, have no table of their own.
    """
    pairs, names = compare_pairs(con, selection), corruption_names(con, selection)
    apart = [pair for pair in pairs if frozenset((pair.a.evaluation_id, pair.b.evaluation_id)) not in compared]
    if pairs and len(selection.evaluations) > MAX_LISTED:
        ranked = rank_by_wins(compare_models_of(con, selection))
        found = [_all_pairs(pairs, ranked, best_and_worst(con, selection))]
    else:
        tests = sum(len(pair.cells) for pair in pairs)
        found = [_pair(pair, names, selection.image_count, tests) for pair in apart]
    if noun_of_runs(selection.evaluations) == "model":
        return found
    return [table._replace(note=f"{table.note} {SAME_MODEL}") for table in found]


def _pair(pair: PairTest, names: Names, images: int, tests: int) -> Table:
    winners = {"a": pair.a.label, "b": pair.b.label, "": "inconclusive"}
    last = {c.corruption: c.severity for c in sorted(pair.cells, key=lambda c: c.severity)}
    shown = [c for c in pair.cells if c.severity == last[c.corruption]]
    rows = (
        (
            names[c.corruption],
            format_severity(c.severity),
            f"{c.only_a:,}",
            f"{c.only_b:,}",
            "< 0.001" if c.adjusted_p < 0.001 else format_number(c.adjusted_p, 3),
            winners[c.winner],
        )
        for c in sorted(shown, key=lambda c: (c.severity > 0, c.corruption))
    )
    differing = [(c.only_a + c.only_b) / images for c in shown]
    effective = images * pair.cells[0].independent
    least = smallest_detectable_difference(differing, effective, level=1 - ALPHA / tests)
    return Table(
        f"{pair.a.label} and {pair.b.label}, image by image",
        "Images that only one of the two gets right, clean and at the last severity; p value of the "
        "exact McNemar test with Holm's correction over all cells of all pairs. Checkpoints, not architectures."
        f"{smallest_shown_sentence(least.tolist(), 'difference in a cell, at the strictest step of the correction,')}",
        ("Corruption", "Severity", f"Only {pair.a.label}", f"Only {pair.b.label}", "p", "More often right"),
        tuple(tuple(map(Cell, row)) for row in rows),
    )


def _all_pairs(pairs: Sequence[PairTest], ranked: Sequence[WinCount], shown: Selection) -> Table:
    """Rows and columns are models, those that win most pairs first; columns go by the number of the row."""
    runs = set(shown.evaluations)
    texts = {
        (one, other): str(pair.won_by(side) or NO_CELLS)
        for pair in pairs
        if {pair.a, pair.b} <= runs
        for one, other, side in ((pair.a, pair.b, "a"), (pair.b, pair.a, "b"))
    }
    cells = {len(pair.cells) for pair in pairs}
    of = f"of {cells.pop()}" if len(cells) == 1 else f"of up to {max(cells)}"
    subject = "it is" if all(len(count.model.runs) == 1 for count in ranked) else "its model is"
    standing = enumerate(((run, count) for count in ranked for run in count.model.runs), start=1)
    order = [(rank, run, count) for rank, (run, count) in standing if run in runs]
    rows = (
        (
            f"{rank}. {run.label}",
            str(count.won),
            str(count.lost),
            *(texts.get((run, other), EMPTY) for _, other, _ in order),
        )
        for rank, run, count in order
    )
    return Table(
        "Models against each other, image by image",
        f"Number of cells, {of}, in which the model of the row is right more often than that of the column (dot: in "
        f"none): exact McNemar tests with Holm's correction over all {sum(len(pair.cells) for pair in pairs):,} "
        f"cells of all pairs. Ahead of and behind: models that {subject} right more or less often than on average over "
        "corruptions (paired differences, Holm's correction over pairs). Checkpoints, not architectures. "
        f"{shown_phrase(shown)}".rstrip(),
        ("Model", "Ahead of", "Behind", *(str(rank) for rank, *_ in order)),
        tuple(tuple(map(Cell, row)) for row in rows),
    )
