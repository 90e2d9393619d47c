"""Mode collapse: said where one answer takes most images, with its interval, and of nothing else."""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest
from scipy.stats import binomtest
from synthetic_record import write_synthetic

from failmodes.analysis.findings.answers import answer_findings, collapse_sentence
from failmodes.analysis.selection import select_one
from failmodes.analysis.statistics.answers import find_collapse, wilson_interval
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.schema import PREDICTIONS
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard


@pytest.fixture(scope="module")
def collapsing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """Two networks over 60 images; Alpha takes all but one for class 1 under contrast at severity 5, and most at 4."""
    folder = tmp_path_factory.mktemp("collapsing")
    made = write_synthetic(folder, images=60)
    for severity, others in (("5.000", 1), ("4.000", 9), ("3.000", 28)):
        _answer(folder, ShardKey(made.evaluations["Alpha"], Cell("contrast", Decimal(severity))), others)
    load([folder], folder / "w.duckdb")
    with open_warehouse(folder / "w.duckdb") as con:
        yield con


def _answer(folder: Path, key: ShardKey, others: int) -> None:
    """Take all images but the first `others` for class 1."""
    path = shard_path(folder, PREDICTIONS, key)
    rows = read_verified(path).rows
    answers = [2 if index < others else 1 for index in range(rows.num_rows)]
    frame = pl.from_arrow(rows)
    assert isinstance(frame, pl.DataFrame)
    changed = frame.with_columns(predicted=pl.Series(answers, dtype=pl.Int16)).to_arrow().cast(rows.schema)
    write_shard(folder, PREDICTIONS, key, changed)


def test_the_most_collapsed_cell_is_found(collapsing: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(collapsing)
    alpha, beta = selection.evaluations
    found = find_collapse(collapsing, selection, alpha)
    assert found is not None
    assert (found.corruption, found.severity, found.answer_count, found.image_count) == ("contrast", 5.0, 59, 60)
    assert found.share == pytest.approx(59 / 60)
    level = 1 - 0.05 / found.cell_count
    interval = binomtest(59, 60).proportion_ci(level, method="wilson")
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.collapsed == {"contrast": [4.0, 5.0]}, "32 of 60 is more than half, but not beyond chance"
    assert find_collapse(collapsing, selection, beta) is None


def test_the_sentence_names_cell_count_and_class(collapsing: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(collapsing)
    (finding,) = answer_findings(collapsing, selection)
    assert finding.headline == "Under contrast at severity 5 Alpha takes 59 of 60\u00a0images for \u201cone\u201d."
    assert "98.3\u00a0%" in finding.detail
    assert "in: contrast at 4 and 5 (of" in finding.detail
    assert collapse_sentence(collapsing, selection) == finding.headline.removesuffix(".")


def test_nothing_is_said_where_nothing_collapses(con: duckdb.DuckDBPyConnection) -> None:
    selection = select_one(con)
    assert answer_findings(con, selection) == []
    assert collapse_sentence(con, selection).startswith("No network is seen to give one answer to nearly all")


def test_intervals_for_several_comparisons_at_once_are_wider() -> None:
    shares, counts = np.array([0.0, 0.5, 1.0]), np.array([10, 20, 30])
    low, high = wilson_interval(shares, counts)
    for share, count, ends in zip(shares, counts, zip(low, high, strict=True), strict=True):
        assert ends == pytest.approx(tuple(binomtest(int(share * count), int(count)).proportion_ci(method="wilson")))
    wider_low, wider_high = wilson_interval(shares, counts, comparisons=20)
    assert (wider_low <= low + 1e-12).all()
    assert (wider_high >= high - 1e-12).all()
