"""Measures computed again from rows: the values of the views, and what resampled images make of them."""

from collections.abc import Iterator

import duckdb
import numpy as np
import polars as pl
import pytest
from given_runs import given_run, random_columns
from rewritten_shards import cell_of, make_non_finite, reply_with
from sklearn.metrics import roc_auc_score
from synthetic_results import write_synthetic

from failmodes.analysis.statistics.measures import MEASURES, SCORES, certainty_of
from failmodes.analysis.statistics.run_rows import CellKey, CellRows, RunRows, read_run
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

CELL: CellKey = ("fog", 1.0)


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """One model: a cell with images whose logits are no numbers, one with no such numbers at all, one all wrong."""
    folder = tmp_path_factory.mktemp("spoiled")
    made = write_synthetic(folder, images=60, models=("Alpha",), corruptions=("fog", "contrast"))
    make_non_finite(made, cell_of(made, "Alpha", "fog", 2), images=[3, 4, 17])
    make_non_finite(made, cell_of(made, "Alpha", "fog", 3))
    reply_with(made, cell_of(made, "Alpha", "fog", 4), [(index + 1) % 4 for index in range(60)])
    load([made.output], folder / "w.duckdb")
    with open_warehouse(folder / "w.duckdb") as con:
        yield con


def value_of(measure: str, rows: CellRows) -> float | None:
    what = MEASURES[measure]
    if what.contributions:
        found = what.contributions(rows)
        return None if isinstance(found, str) else float(found.mean())
    assert what.resampled is not None
    again = what.resampled(rows, np.ones((1, len(rows["correct"])), np.float32))
    return None if isinstance(again, str) else float(again[0])


def rows_of(run: RunRows, cell: CellKey, measure: str, score: str | None) -> CellRows:
    columns = [*MEASURES[measure].columns, *([SCORES[score][0]] if score else [])]
    rows = run.cell(cell, columns)
    if score:
        rows["certainty"] = certainty_of(rows, score)
    return rows


@pytest.mark.parametrize("source", ["con", "collapsing", "spoiled"])
@pytest.mark.parametrize("measure", MEASURES)
def test_values_are_those_of_the_views(measure: str, source: str, request: pytest.FixtureRequest) -> None:
    con: duckdb.DuckDBPyConnection = request.getfixturevalue(source)
    view, column = MEASURES[measure].view.split(".")
    seen = 0
    for (evaluation_id,) in con.execute("select evaluation_id from evaluations").fetchall():
        run = read_run(con, evaluation_id)
        for score in SCORES if MEASURES[measure].takes_score else (None,):
            of_score = f" and score = '{score}'" if score else ""
            stated = con.sql(
                f"select corruption, severity::double as severity, {column} as value from {view} "
                f"where evaluation_id = '{evaluation_id}' and corruption is not null and severity is not null{of_score}"
            ).pl()
            for corruption, severity, value in stated.rows():
                cell = (corruption, severity) if severity else ("none", 0.0)
                found = value_of(measure, rows_of(run, cell, measure, score))
                assert found == (None if value is None else pytest.approx(value, rel=1e-5, abs=1e-6)), cell
                seen += 1
    assert seen > 10


@pytest.fixture(scope="module")
def run() -> RunRows:
    rng = np.random.default_rng(3)
    correct = rng.random((300, 1)) < 0.7
    return given_run(correct, [CELL], **random_columns(rng, correct))


@pytest.mark.parametrize("measure", [name for name, measure in MEASURES.items() if measure.contributions])
def test_contributions_spread_as_the_bootstrap_does(measure: str, run: RunRows) -> None:
    rows = rows_of(run, CELL, measure, "confidence" if MEASURES[measure].takes_score else None)
    rng = np.random.default_rng(0)
    values = []
    for _ in range(600):
        drawn = rng.integers(0, 300, 300)
        values.append(value_of(measure, CellRows((name, column[drawn]) for name, column in rows.items())))
    contributions = MEASURES[measure].contributions
    assert contributions is not None
    spread = np.asarray(contributions(rows)).std() / np.sqrt(300)
    assert spread == pytest.approx(np.std(values), rel=0.12)


@pytest.mark.parametrize("measure", [name for name, measure in MEASURES.items() if measure.resampled])
def test_weights_count_images(measure: str, run: RunRows) -> None:
    rows = rows_of(run, CELL, measure, None)
    rng = np.random.default_rng(1)
    drawn = [rng.integers(0, 300, 300) for _ in range(20)]
    weights = np.stack([np.bincount(one, minlength=300) for one in drawn]).astype(np.float32)
    resampled = MEASURES[measure].resampled
    assert resampled is not None
    found = resampled(rows, weights)
    expected = [value_of(measure, CellRows((n, column[one]) for n, column in rows.items())) for one in drawn]
    assert np.asarray(found) == pytest.approx(expected, rel=1e-5)


def test_a_thousand_classes_take_the_sparse_way() -> None:
    rng = np.random.default_rng(5)
    correct = rng.random((4000, 1)) < 0.6
    wide = given_run(correct, [CELL], **random_columns(rng, correct, classes=1000))
    for measure, column in (("worst_class_accuracy", "label"), ("top_prediction_share", "predicted")):
        rows = rows_of(wide, CELL, measure, None)
        frame = pl.DataFrame({"group": rows[column], "correct": rows["correct"]}).group_by("group")
        if measure == "worst_class_accuracy":
            expected = frame.agg(pl.col("correct").mean()).select(pl.col("correct").min()).item()
        else:
            expected = frame.len().select(pl.col("len").max()).item() / 4000
        assert value_of(measure, rows) == pytest.approx(expected, rel=1e-6)


def test_auroc_is_scikit_learns_with_ties(run: RunRows) -> None:
    rows = rows_of(run, CELL, "auroc", "confidence")
    assert len(np.unique(rows["confidence"])) < 100  # there are ties
    assert value_of("auroc", rows) == pytest.approx(roc_auc_score(~rows["correct"], -rows["confidence"]), rel=1e-12)


def test_augrc_counts_pairs_by_hand() -> None:
    """Sure and wrong is what it holds against a model: of 3 images the failure is the surest, then one of the tie."""
    rows = CellRows(correct=np.array([False, True, True]), certainty=np.array([0.9, 0.5, 0.4]))
    assert value_of("augrc", rows) == pytest.approx((2 + 1 / 2) / 9)
    tied = CellRows(correct=np.array([False, True, True]), certainty=np.array([0.5, 0.5, 0.4]))
    assert value_of("augrc", tied) == pytest.approx((1 + 2 / 2) / 9)


@pytest.mark.parametrize(
    ("measure", "correct", "reason"),
    [("auroc", True, "no failure"), ("auroc", False, "no right answer")],
)
def test_a_measure_says_why_it_is_not_defined(measure: str, correct: bool, reason: str) -> None:
    rows = CellRows(correct=np.full(3, correct), certainty=np.array([0.9, 0.5, 0.4]))
    contributions = MEASURES[measure].contributions
    assert contributions is not None
    assert contributions(rows) == reason


def test_rows_are_read_in_the_order_of_cells_and_images(con: duckdb.DuckDBPyConnection) -> None:
    evaluation_id = con.execute("select evaluation_id from evaluations order by 1 limit 1").fetchall()[0][0]
    found = read_run(con, evaluation_id)
    for corruption, severity in found.cells:
        rows = con.sql(
            "select image_id, correct, confidence, label from outcomes where evaluation_id = ? and corruption = ? "
            "and severity = ? order by image_id", params=[evaluation_id, corruption, severity],
        ).fetchnumpy()  # fmt: skip
        mine = found.cell((corruption, severity), ["confidence", "label"])
        assert (mine["correct"] == rows["correct"]).all()
        assert (mine["confidence"] == rows["confidence"]).all()
        assert (mine["label"] == rows["label"]).all()
        assert (found.image_ids == rows["image_id"]).all()
