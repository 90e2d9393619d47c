"""Failure prediction of every cell against the rows of the view and NumPy; and without enough failures."""

from pathlib import Path

import duckdb
import numpy as np
import pytest
from opened_results import opened
from scipy import stats

from failmodes.analysis.charts import failure_prediction
from failmodes.analysis.evaluations.selection import Selection
from failmodes.analysis.statistics.failure_prediction import auroc_by_cell, mean_auroc
from failmodes.runtime.errors import WarehouseError


def test_the_band_of_a_mean_is_as_wide_as_a_bootstrap_of_images(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    """Areas by SciPy's ranks, 300 resamples of images, whole with all their cells; a cell of ten failures at least."""
    evaluation = selection.evaluations[0]
    found = mean_auroc(con, selection, evaluation)
    assert list(found) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    (clean,) = con.sql(
        "select auroc, auroc_low, auroc_high from failure_prediction where evaluation_id = ? and severity = 0 "
        "and score = 'confidence'",
        params=[evaluation.evaluation_id],
    ).fetchall()
    assert found[0.0][:3] == pytest.approx(clean), "Newcombe's, of the one cell"
    rows = con.sql(
        "select corruption, severity::double as severity, predicted <> label as failed, confidence::double as sure "
        "from prediction_facts where evaluation_id = ? order by corruption, severity, image_id",
        params=[evaluation.evaluation_id],
    ).pl()
    rng = np.random.default_rng(0)
    for severity in (3.0, 5.0):
        cells = [
            (own["failed"].to_numpy(), own["sure"].to_numpy())
            for _, own in rows.filter(severity=severity).group_by("corruption", maintain_order=True)
        ]
        cells = [(failed, sure) for failed, sure in cells if 10 <= failed.sum() <= len(failed) - 10]
        drawn = []
        for chosen in [np.arange(400), *rng.integers(0, 400, (300, 400))]:
            areas = []
            for failed, sure in cells:
                ranks = stats.rankdata(-sure[chosen])[failed[chosen]]
                areas.append((ranks.mean() - (len(ranks) + 1) / 2) / (400 - len(ranks)))
            drawn.append(np.mean(areas))
        value, low, high = found[severity][:3]
        assert value == pytest.approx(drawn[0])
        assert high - low == pytest.approx(2 * 1.96 * np.std(drawn[1:]), rel=0.15)


@pytest.mark.test_all
def test_too_few_failures_say_nothing(tmp_path: Path) -> None:
    with opened(tmp_path, images=12, models=("A",), corruptions=("fog",), severities=(1, 2)) as it:
        assert auroc_by_cell(*it.first) == []
        with pytest.raises(WarehouseError, match="no cell has 10 incorrect"):
            failure_prediction.chart(it.con, it.selection)
