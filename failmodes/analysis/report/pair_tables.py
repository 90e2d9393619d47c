"""The report's table of all pairs of three or more models, image by image."""

import duckdb

from failmodes.analysis.render.blocks import EMPTY, Cell, Table
from failmodes.analysis.selection import Selection
from failmodes.analysis.statistics.model_accuracy import best_and_worst, shown_phrase
from failmodes.analysis.statistics.model_pairs import compare_models_of, compare_pairs, rank_by_wins
from failmodes.analysis.trained_models import noun_of_runs, trained_models

NO_CELLS = "\u00b7"  # zeros would hide the counts

SAME_MODEL = "Training runs of one model are not compared with each other."


def pair_tables(con: duckdb.DuckDBPyConnection, selection: Selection) -> list[Table]:
    """A table of all pairs of a selection; none of two models, which have a section, nor of those that share no cell.

    Rows and columns are models, those that win most pairs first; columns go by the number of the row. Of many models
    it has the best and the worst (see `best_and_worst`), tested as among all.
    """
    pairs = compare_pairs(con, selection)
    if len(trained_models(selection.evaluations)) < 3 or not pairs:
        return []
    ranked, shown = rank_by_wins(compare_models_of(con, selection)), best_and_worst(con, selection)
    texts = {
        (one, other): str(pair.won_by(side) or NO_CELLS)
        for pair in pairs
        for one, other, side in ((pair.a, pair.b, "a"), (pair.b, pair.a, "b"))
    }
    counts = [len(pair.cells) for pair in pairs]
    of = f"of {counts[0]}" if len(set(counts)) == 1 else f"of up to {max(counts)}"
    subject = "it is" if all(len(count.model.runs) == 1 for count in ranked) else "its model is"
    standing = enumerate(((run, count) for count in ranked for run in count.model.runs), start=1)
    order = [(rank, run, count) for rank, (run, count) in standing if run in shown.evaluations]
    rows = (
        (f"{rank}. {run.label}", str(count.won), str(count.lost),
         *(texts.get((run, other), EMPTY) for _, other, _ in order))
        for rank, run, count in order
    )  # fmt: skip
    note = (
        f"Number of cells, {of}, in which the model of the row is more accurate than that of the column (dot: in "
        f"none): exact McNemar tests with Holm's correction over all {sum(counts):,} cells of all pairs. Ahead of and "
        f"behind: models that {subject} more or less accurate than on average over corruptions (paired differences, "
        "Holm's correction over pairs). Checkpoints, not architectures."
    )
    of_runs = "" if noun_of_runs(selection.evaluations) == "model" else SAME_MODEL
    return [
        Table(
            "Models against each other, image by image",
            " ".join(filter(None, (note, shown_phrase(shown), of_runs))),
            ("Model", "Ahead of", "Behind", *(str(rank) for rank, *_ in order)),
            tuple(tuple(map(Cell, row)) for row in rows),
        )
    ]
