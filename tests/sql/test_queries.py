"""The saved queries: each answers its question."""

from pathlib import Path

import numpy as np
import pytest
from rewritten_shards import be_confident, cell_of
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import derivation

from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.query import run_query


def test_images_every_model_fails_are_correct_clean_and_incorrect_later_for_all(
    query_here: Path, synthetic: Synthetic
) -> None:
    rows = run_query(query_here / "warehouse.duckdb", "@images_every_model_fails")
    fooled: dict[int, set[str]] = {}
    for corruption in {name for _, name in synthetic.correct}:
        alpha, beta = (synthetic.correct[model, corruption] for model in ("Alpha", "Beta"))
        for image_id in np.flatnonzero(alpha[0] & beta[0] & ~alpha.all(0) & ~beta.all(0)):
            fooled.setdefault(int(image_id), set()).add(corruption)
    assert rows["corruption_count"].to_list() == sorted(map(len, fooled.values()), reverse=True)[:50]
    for row in rows.iter_rows(named=True):
        assert set(row["corruptions"].split(", ")) == fooled[row["image_id"]]


@pytest.mark.test_all
def test_confidence_worse_than_chance_lists_cells_with_a_corrected_interval_below_half(tmp_path: Path) -> None:
    """Under fog all failures are the most confident; under contrast the interval lies below .5 for one cell alone.

    That is where the AUROC lies by more than z standard errors of the rank sum test, sqrt((n + 1) / (12 f c)), below
    .5: with z = 1.96 for one cell, 2.24 for both.
    """
    made = write_synthetic(
        tmp_path, images=200, models=("Alpha",), corruptions=("fog", "contrast"), severities=(5,), falls={"Alpha": 1.0}
    )
    for corruption in ("fog", "contrast"):
        correct = made.correct["Alpha", corruption][1]
        certain = np.flatnonzero(correct)
        error = np.sqrt(201 / (12 * len(certain) * (200 - len(certain))))
        above = 0.0 if corruption == "fog" else (0.5 - 2.1 * error) * len(certain)  # correct above every failure
        confidence = np.full(200, 0.5)
        confidence[certain] = 0.3
        confidence[certain[: int(above)]] = 0.9
        if above % 1 > 0.5:
            confidence[certain[-1]] = 0.5  # a tie is half
        be_confident(made, cell_of(made, "Alpha", corruption, 5), confidence)
    load([tmp_path], tmp_path / "w.duckdb", derivation=derivation(resamples=50))
    alone = run_query(
        tmp_path / "w.duckdb",
        "select corruption, auroc, auroc_high from failure_prediction where score = 'confidence' and severity = 5 "
        "order by auroc",
    )
    assert alone["corruption"].to_list() == ["fog", "contrast"]
    assert (alone["auroc_high"] < 0.5).all(), "each for itself lies below chance"
    rows = run_query(tmp_path / "w.duckdb", "@confidence_worse_than_chance")
    assert rows.select("corruption_label", "model_label", "auroc").rows() == [("Fog", "Alpha", 0.0)]
    assert rows["auroc_high"][0] > alone["auroc_high"][0], "it holds for both cells"
