"""Severities between the published ones, other numbers of them, and all 19 corruptions: charts, views, findings."""

from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_study import write_tiny_study

from failmodes.warehouse import progress
from failmodes.warehouse.database.checks import run_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


@pytest.mark.slow
def test_a_study_with_fractions_is_evaluated_and_loaded(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from failmodes.evaluate.engine.run import evaluate_study
    from failmodes.evaluate.progress import evaluation_bar
    from failmodes.evaluate.study.study_file import read_study
    from failmodes.evaluate.study_models import train_missing
    from failmodes.ingest.datasets.opening import open_dataset

    path = write_tiny_study(tmp_path, images=20)
    path.write_text(path.read_text().replace("severities = [1, 5]", "severities = [5, 0.5, 2.25]"))
    study = read_study(path)
    assert study.severities == [Decimal("0.500"), Decimal("2.250"), Decimal("5.000")]
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset, lambda _entry, _epoch: None)
    monkeypatch.setattr(progress, "LOG_LINE_S", 0.0)
    with evaluation_bar() as callbacks:
        assert evaluate_study(study, dataset, progress=callbacks).written == 1 + 2 * 3
    text = capfd.readouterr().err
    assert "7 cells missing, 140 images to evaluate" in text
    assert "1/7 shards, clean" in text
    assert "contrast 0.5" in text
    assert "gaussian_noise 2.25" in text
    assert evaluate_study(study, dataset).written == 0
    load([study.output], tmp_path / "warehouse.duckdb")
    with open_warehouse(tmp_path / "warehouse.duckdb") as con:
        assert [check.name for check in run_checks(con) if not check.passed] == []
        levels = con.sql("select severity, count(*) from exemplars group by severity order by severity").fetchall()
    assert [severity for severity, _ in levels] == [0, Decimal("0.5"), Decimal("2.25"), 5]
    assert len({count for _, count in levels}) == 1
