"""What is said of failure prediction, against the rows of the view and NumPy; and without enough failures."""

import shutil
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy import stats
from synthetic_record import write_synthetic

from failmodes.analysis.charts.drawing import draw_from_warehouse
from failmodes.analysis.findings.failure_prediction import (
    abstention_sentence,
    discrimination_sentence,
    failure_findings,
)
from failmodes.analysis.selection import Selection, select_one
from failmodes.analysis.statistics.failure_prediction import KEPT_SHARE, cell_scores, predict_failures
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import WarehouseError


def test_the_lowest_cell_and_the_means_agree_with_numpy(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    evaluation = selection.evaluations[0]
    found = predict_failures(con, selection, evaluation)
    assert found is not None
    rows = con.sql(
        "from failure_prediction where evaluation_id = ? and corruption is not null and severity is not null "
        "and failures >= 10 and n - failures >= 10 order by corruption, severity",
        params=[evaluation.evaluation_id],
    ).pl().filter(pl.col("corruption").is_in(["none", *selection.corruptions]))  # fmt: skip
    cells = rows.filter(pl.col("severity") > 0, score="confidence")
    assert found.cell_count == cells.height
    lowest = cells.row(int(cells["auroc"].arg_min()), named=True)
    assert (found.lowest.corruption, found.lowest.severity) == (lowest["corruption"], float(lowest["severity"]))
    quantile = stats.norm.ppf(1 - 0.05 / 2 / cells.height)
    assert found.lowest.auroc.high == pytest.approx(lowest["auroc"] + quantile * lowest["auroc_error"])
    worse = cells.filter(pl.col("auroc") + quantile * pl.col("auroc_error") < 0.5)
    assert sum(map(len, found.worse_than_chance.values())) == worse.height
    last = rows.filter(pl.col("corruption").is_in(list(selection.averaged)))
    last = last.filter(pl.col("severity") == pl.col("severity").max().over("corruption"), score="margin")
    assert found.by_score["margin"].value == pytest.approx(last["auroc"].mean())
    half = stats.norm.ppf(0.975) * last["auroc_error"].mean()
    assert found.by_score["margin"].low == pytest.approx(max(0, last["auroc"].mean() - half))


def test_error_rates_of_those_kept_are_counted_from_the_images(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    evaluation = selection.evaluations[0]
    found = predict_failures(con, selection, evaluation)
    assert found is not None
    risks = []
    for corruption in selection.averaged:
        cell = con.sql(
            "select confidence, correct from outcomes where evaluation_id = ? and corruption = ? and severity = "
            "(select max(severity) from outcomes where corruption = ?) order by confidence desc nulls last",
            params=[evaluation.evaluation_id, corruption, corruption],
        ).pl()  # fmt: skip
        kept = cell.head(int(KEPT_SHARE * cell.height))
        assert kept["confidence"].min() > cell["confidence"][kept.height], "no ties at the threshold"
        risks.append([1 - cell["correct"].mean(), 1 - kept["correct"].mean()])
    expected = np.mean(risks, axis=0)
    assert (found.error_rate.value, found.error_rate_kept.value) == pytest.approx(tuple(expected))
    assert found.error_rate_kept.low < expected[1] < found.error_rate_kept.high


def test_sentences_name_the_cell_the_interval_and_the_gain(
    con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    found = failure_findings(con, selection)
    assert len(found) == len(selection.evaluations)
    for finding, evaluation in zip(found, selection.evaluations, strict=True):
        one = predict_failures(con, selection, evaluation)
        assert one is not None
        assert evaluation.label in finding.headline
        assert f"AUROC {one.lowest.auroc.value:.3f} [" in finding.headline
        assert "attention drift needs the clean image" in finding.detail
        assert f"AUROC {one.lowest.auroc.value:.3f} [" in discrimination_sentence(con, selection)
        assert f"{100 * one.error_rate_kept.value:.1f}\u00a0% [" in abstention_sentence(con, selection)


def test_too_few_failures_say_nothing(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "out", images=12, models=("A",), corruptions=("fog",), severities=(1, 2))
    load([tmp_path / "out"], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        selection = select_one(con)
        assert predict_failures(con, selection, selection.evaluations[0]) is None
        assert failure_findings(con, selection) == []
        assert discrimination_sentence(con, selection).startswith("Too few failures")
    for name in ("failure-prediction", "risk-coverage"):
        draw_from_warehouse(tmp_path / "w.duckdb", name).to_dict()


def test_a_warehouse_without_the_measure_says_what_computes_it(
    tmp_path: Path, con: duckdb.DuckDBPyConnection, selection: Selection
) -> None:
    assert cell_scores(con, selection).height
    write_synthetic(tmp_path / "out", images=40, models=("A",), corruptions=("fog",))
    load([tmp_path / "out"], tmp_path / "w.duckdb")
    older = Path(shutil.copy(tmp_path / "w.duckdb", tmp_path / "older.duckdb"))
    with duckdb.connect(str(older)) as writer:
        writer.execute("delete from computed where name = 'failure_scores'")
    with pytest.raises(WarehouseError, match="no failure prediction to show: .*`failmodes load`"):
        draw_from_warehouse(older, "failure-prediction")
    with open_warehouse(older) as reader:
        chosen = select_one(reader)
        assert failure_findings(reader, chosen) == []
        slow = reader.sql("select score, auroc from failure_prediction order by all").pl()
    with open_warehouse(tmp_path / "w.duckdb") as reader:
        fast = reader.sql("select score, auroc from failure_prediction order by all").pl()
    assert slow["auroc"].to_list() == pytest.approx(fast["auroc"].to_list(), nan_ok=True)
