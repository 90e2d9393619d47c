"""What must not be claimed stands in every report, by what is on record and never by assumption."""

import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
from rewritten_shards import cell_of, make_non_finite
from synthetic_results import write_synthetic

from failmodes.analysis.judging.findings.kind import Limitation
from failmodes.analysis.judging.findings.limitations import limitations
from failmodes.analysis.selection import Selection, select_one
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load


def by_topic(con: duckdb.DuckDBPyConnection, selection: Selection) -> dict[str, Limitation]:
    return {limitation.topic: limitation for limitation in limitations(con, selection)}


def with_facts(selection: Selection, *facts: dict[str, object]) -> Selection:
    """The same selection with other facts of its evaluations."""
    pairs = zip(selection.evaluations, facts, strict=True)
    return replace(selection, evaluations=tuple(replace(e, facts=e.facts | own) for e, own in pairs))


def test_they_name_training_data_and_severity(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    found = by_topic(con, selection)
    assert list(found) == ["Training", "Images", "Pixels", "Severity", "Errors", "Shapes", "Error rates", "Attention"]
    text = " ".join(f"{one.sentence} {one.detail}" for one in found.values())
    for phrase in ("400\u00a0images", "synthetic: no real images", "not a dose", "ImageNet-C only"):
        assert phrase in text
    assert all(one.sentence.endswith(".") and one.detail.endswith(".") for one in found.values())


def test_training_runs_and_seeds_are_read(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    two = by_topic(con, selection)["Training"]
    assert "at most 2\u00a0training runs" in two.sentence, "both are of one architecture and recipe"
    assert "Alpha 0 and Beta 0" in two.detail
    facts = ({"architecture": "resnet18", "training_seed": 3}, {"architecture": "vit", "training_seed": None})
    each = by_topic(con, with_facts(selection, *facts))["Training"]
    assert "one training run" in each.sentence
    assert "Alpha 3 and Beta not stated" in each.detail


def test_error_rates_of_the_report_are_told_and_add_up(con: duckdb.DuckDBPyConnection, selection: Selection) -> None:
    detail = by_topic(con, selection)["Error rates"].detail
    rates = [float(rate) for rate in re.findall(r"([\d.]+)%", detail)]
    assert rates == [2.0, 1.5, 0.25, 5.0, 0.25, 5.0]


@pytest.mark.slow
def test_unpaired_data_and_rows_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path, images=40, models=("Alpha",), paired=False, corruptions=("fog",), severities=(5,))
    make_non_finite(made, cell_of(made, "Alpha", "fog", 5), range(7))
    make_non_finite(made, cell_of(made, "Alpha"), range(2))
    load([tmp_path], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        found = by_topic(con, select_one(con))
    assert found["Numbers"].detail.startswith("9 of Alpha, over all cells")
    assert found["Pairing"].detail.startswith("labels differ")
