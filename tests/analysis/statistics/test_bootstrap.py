"""Percentile intervals of resamples, and the correctness that is read of a warehouse."""

from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest
from synthetic_results import Synthetic, write_synthetic

from failmodes.analysis.statistics.bootstrap import bootstrap_estimate, read_correctness
from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard


def test_an_interval_is_of_the_quantiles_of_finite_resamples() -> None:
    resamples = np.append(np.random.default_rng(0).permutation(1001) / 1000, [np.nan, np.inf])
    assert bootstrap_estimate(np.append(7.0, resamples)) == pytest.approx((7.0, 0.025, 0.975))
    assert bootstrap_estimate(np.append(7.0, resamples), level=0.9) == pytest.approx((7.0, 0.05, 0.95))


@pytest.mark.parametrize("change", ["select 1", "delete from computed where name = 'cell_predictions'"])
def test_correctness_is_the_results_whether_predictions_are_stored_or_not(
    synthetic: Synthetic, warehouse_copy: Path, change: str
) -> None:
    with duckdb.connect(str(warehouse_copy)) as writer:
        writer.execute(change)
    with open_warehouse(warehouse_copy) as con:
        for label, evaluation_id in synthetic.evaluations.items():
            found = read_correctness(con, evaluation_id)
            for corruption, severities in found.curves().items():
                columns = [severities[float(severity)] for severity in range(6)]
                assert (synthetic.correct[label, corruption] == found.correct[:, columns].T).all()


@pytest.mark.parametrize("letters", ["'1'", "repeat('ä', row_count)"], ids=["too few", "no digits"])
def test_predictions_that_are_no_letter_a_row_are_refused(warehouse_copy: Path, letters: str) -> None:
    with duckdb.connect(str(warehouse_copy)) as writer:
        writer.execute(f"update cell_predictions set correct_images = {letters} where corruption = 'fog'")
        ((evaluation_id,),) = writer.sql("select min(evaluation_id) from evaluations").fetchall()
    with open_warehouse(warehouse_copy) as con, pytest.raises(WarehouseError, match="cell_predictions .* is damaged"):
        read_correctness(con, evaluation_id)


def test_an_incomplete_cell_is_named(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "out", models=("Alpha",), images=40, corruptions=("fog",), severities=(3,))
    fog = ShardKey(made.evaluations["Alpha"], Cell("fog", Decimal("3.000")))
    rows = read_verified(shard_path(made.output, schema.PREDICTION_FACTS, fog)).rows
    write_shard(made.output, schema.PREDICTION_FACTS, fog, rows.slice(7))
    load([made.output], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con, pytest.raises(WarehouseError, match="fog .* 3 has 33 rows"):
        read_correctness(con, fog.evaluation_id)
