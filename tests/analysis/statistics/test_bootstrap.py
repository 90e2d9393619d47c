"""The bootstrap against scipy, its theory and one draw for all columns; the correctness it is drawn from."""

import shutil
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest
from scipy import stats
from synthetic_results import CURVES, Synthetic, write_synthetic
from warehouse_files import ensure_shapes

from failmodes.analysis.statistics import bootstrap
from failmodes.analysis.statistics.bootstrap import (
    bootstrap_estimate,
    read_correctness,
    resampled_accuracy,
    resampled_alone,
)
from failmodes.analysis.statistics.curve_shape import ShapeSettings
from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard


def correctness(images: int, shares: tuple[float, ...], seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).random((images, len(shares))) < np.array(shares)


def test_intervals_agree_with_scipy() -> None:
    correct = correctness(300, (0.9, 0.6))
    samples = np.vstack([correct.mean(axis=0), resampled_accuracy(correct, 20_000)])
    peer = stats.bootstrap(
        (correct.astype(float),),
        np.mean,
        n_resamples=20_000,
        method="percentile",
        axis=0,
        random_state=np.random.default_rng(2),
    ).confidence_interval
    for column in range(2):
        expected = (correct[:, column].mean(), peer.low[column], peer.high[column])
        assert bootstrap_estimate(samples[:, column], 0.95) == pytest.approx(expected, abs=0.005)


def test_paired_difference_agrees_with_scipy_paired() -> None:
    correct = correctness(300, (0.9, 0.6))
    samples = resampled_accuracy(correct, 20_000)
    _, low, high = bootstrap_estimate(np.append(0, samples[:, 0] - samples[:, 1]))
    peer = stats.bootstrap(
        (correct[:, 0].astype(float), correct[:, 1].astype(float)),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        paired=True, n_resamples=20_000, method="percentile", random_state=np.random.default_rng(2),
    ).confidence_interval  # fmt: skip
    assert low == pytest.approx(peer.low, abs=0.005)
    assert high == pytest.approx(peer.high, abs=0.005)


def test_every_column_sees_the_same_draw() -> None:
    correct = correctness(200, (0.7,))
    samples = resampled_accuracy(np.hstack([correct, correct, ~correct]), 50, seed=3)
    assert (samples[:, 0] == samples[:, 1]).all()
    assert samples[:, 0] + samples[:, 2] == pytest.approx(1)
    assert (samples[:, 0] == resampled_accuracy(correct, 50, seed=3)[:, 0]).all()
    assert (samples[:, 0] != resampled_accuracy(correct, 50, seed=4)[:, 0]).any()


def test_values_are_whole_counts_and_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    correct = correctness(100, (0.3, 0.8))
    whole = resampled_accuracy(correct, 30)
    assert whole * 100 == pytest.approx(np.round(whole * 100), abs=1e-9)
    monkeypatch.setattr(bootstrap, "CHUNK_WEIGHTS", 700)
    assert (resampled_accuracy(correct, 30) == whole).all()


def test_standard_deviation_is_the_binomial_one() -> None:
    correct = correctness(1000, (0.8,))
    share = correct.mean()
    expected = np.sqrt(share * (1 - share) / 1000)
    assert resampled_accuracy(correct, 4000).std() == pytest.approx(expected, rel=0.05)
    assert resampled_alone([share], [1000], 4000).std() == pytest.approx(expected, rel=0.05)


def test_alone_draws_each_cell_by_itself() -> None:
    samples = resampled_alone([0.8, 0.8], [500, 500], 2000)
    assert abs(np.corrcoef(samples.T)[0, 1]) < 0.1


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.zeros(5)], ids=["no image", "a vector"])
def test_refuses_what_is_no_matrix(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="at least one image"):
        resampled_accuracy(bad)


def test_correctness_is_the_results_whether_predictions_are_stored_or_not(
    synthetic: Synthetic, sound_warehouse: Path, tmp_path: Path
) -> None:
    older = Path(shutil.copy(sound_warehouse, tmp_path / "older.duckdb"))
    with duckdb.connect(str(older)) as writer:
        writer.execute("delete from computed where name = 'cell_predictions'")
    for path in (sound_warehouse, older):
        with open_warehouse(path) as con:
            for label, evaluation_id in synthetic.evaluations.items():
                found = read_correctness(con, evaluation_id)
                for corruption, severities in found.curves().items():
                    columns = [severities[float(severity)] for severity in range(6)]
                    assert (synthetic.correct[label, corruption] == found.correct[:, columns].T).all()


@pytest.mark.parametrize("letters", ["'1'", "repeat('ä', row_count)"], ids=["too few", "no digits"])
def test_predictions_that_are_no_letter_a_row_are_refused(warehouse_copy: Path, letters: str) -> None:
    with duckdb.connect(str(warehouse_copy)) as writer:
        writer.execute(
            f"update cell_predictions set correct_images = {letters} where corruption = 'fog' and severity = 3"
        )
        ((evaluation_id,),) = writer.sql("select min(evaluation_id) from evaluations").fetchall()
    with (
        open_warehouse(warehouse_copy) as con,
        pytest.raises(WarehouseError, match=r"cell_predictions .* is damaged: make"),
    ):
        read_correctness(con, evaluation_id)


@pytest.mark.slow
def test_unpaired_evaluations_are_resampled_cell_by_cell(tmp_path: Path) -> None:
    written = write_synthetic(tmp_path, paired=False, models=("Alpha",), images=200)
    path = tmp_path / "warehouse.duckdb"
    load([tmp_path], path)
    assert ensure_shapes(path, ShapeSettings(resamples=200))
    with open_warehouse(path) as con:
        matrix = read_correctness(con, written.evaluations["Alpha"])
        assert con.execute("select count(*) from shapes").fetchall() == [(len(CURVES),)]
    samples = matrix.resampled(400, 0)
    assert abs(np.corrcoef(samples[:, 0], samples[:, 1])[0, 1]) < 0.2


@pytest.mark.slow
def test_an_incomplete_cell_is_named(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "out", models=("Alpha",), images=400)
    fog = ShardKey(made.evaluations["Alpha"], Cell("fog", Decimal("3.000")))
    rows = read_verified(shard_path(made.output, schema.PREDICTION_FACTS, fog)).rows
    write_shard(made.output, schema.PREDICTION_FACTS, fog, rows.slice(7))
    load([made.output], tmp_path / "w.duckdb")
    with (
        open_warehouse(tmp_path / "w.duckdb") as con,
        pytest.raises(WarehouseError, match="fog at severity 3 has 393 rows"),
    ):
        read_correctness(con, fog.evaluation_id)
