"""Severities between the published ones are evaluated, stored and loaded as the fractions that they are."""

from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_study import run_and_read, write_tiny_study

from failmodes.warehouse.database.checks import run_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


@pytest.mark.slow
def test_a_study_with_fractions_is_evaluated_and_loaded(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path, images=20)
    path.write_text(path.read_text().replace("severities = [1, 5]", "severities = [5, 0.5, 2.25]"))
    report, study = run_and_read(path)
    assert study.severities == [Decimal("0.500"), Decimal("2.250"), Decimal("5.000")]
    assert report.written == 1 + 2 * 3
    assert run_and_read(path)[0].written == 0
    load([study.output], tmp_path / "warehouse.duckdb")
    with open_warehouse(tmp_path / "warehouse.duckdb") as con:
        assert [check.name for check in run_checks(con) if not check.passed] == []
        levels = con.sql("select severity, count(*) from exemplars group by severity order by severity").fetchall()
    assert [severity for severity, _ in levels] == [0, Decimal("0.5"), Decimal("2.25"), 5]
    assert len({count for _, count in levels}) == 1
