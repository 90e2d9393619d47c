"""A report of many models: which are shown one by one, that it says so, and that tests stay corrected for all."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import duckdb
import pytest
from checkpoint_comparisons import FALLS
from synthetic_results import Synthetic

from failmodes.analysis.evaluations.selection import Selection, select_one
from failmodes.analysis.report.report_tables import NO_CELLS, pair_tables
from failmodes.analysis.statistics import model_accuracy
from failmodes.analysis.statistics.model_accuracy import best_and_worst, drop_rankings, run_accuracies
from failmodes.analysis.statistics.model_pairs import compare_pairs
from failmodes.warehouse.database.connection import open_warehouse


@pytest.fixture
def few_shown(
    many_con: duckdb.DuckDBPyConnection, many_results: Synthetic, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[duckdb.DuckDBPyConnection, Selection]]:
    """Six models, of which a report shows four; a connection that has read nothing yet."""
    monkeypatch.setattr(model_accuracy, "MAX_SHOWN", 4)
    with open_warehouse(many_results.output / "w.duckdb") as con:
        yield con, select_one(con)


def test_the_best_and_the_worst_are_shown(few_shown: tuple[duckdb.DuckDBPyConnection, Selection]) -> None:
    con, selection = few_shown
    means = {run.label: one.corrupted.value for run, one in run_accuracies(con, selection).items() if one.corrupted}
    ranked = sorted(FALLS, key=lambda label: -means[label])
    shown = best_and_worst(con, selection)
    assert {run.label for run in shown.evaluations} == {*ranked[:2], *ranked[-2:]}
    assert shown.picked_from == selection.evaluations
    assert best_and_worst(con, replace(selection, evaluations=selection.evaluations[:4])).picked_from == ()


def test_tests_are_corrected_for_all_models(few_shown: tuple[duckdb.DuckDBPyConnection, Selection]) -> None:
    con, selection = few_shown
    shown = best_and_worst(con, selection)
    of_all = drop_rankings(con, selection)
    assert drop_rankings(con, shown) == {run: of_all[run] for run in shown.evaluations}
    names = selection.labels
    won = Counter(
        (names[winner], names[b if winner == a else a])
        for a, b, winner in compare_pairs(con, selection).select("a", "b", "winner").rows()
        if winner
    )
    (matrix,) = pair_tables(con, selection)
    labels = dict(row[0].text.split(". ") for row in matrix.rows)
    assert set(labels.values()) == {run.label for run in shown.evaluations}
    for row, label in zip(matrix.rows, labels.values(), strict=True):
        others = [(cell.text, labels[rank]) for rank, cell in zip(matrix.columns[3:], row[3:], strict=True)]
        assert [text for text, other in others if other != label] == [
            str(won[label, other] or NO_CELLS) for _, other in others if other != label
        ]
