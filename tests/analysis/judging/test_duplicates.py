"""Commands over an evaluation in which every image stands twice: the figures of distinct images, and a note."""

import json
from pathlib import Path

import pytest
from repeated_images import write_repeated
from synthetic_results import write_synthetic

import failmodes
from failmodes.analysis.judging.compare import compare_named
from failmodes.analysis.judging.stored import DERIVATION
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status

NOTE = "100 of 200 images are exact duplicates of others (100 distinct); intervals treat copies as one"
RULES = [
    {"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.05},
    {"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.05, "over": "each"},
    {"metric": "ece", "relation": "at_most", "limit": 0.4},
    {"metric": "accuracy", "relation": "drop_at_most", "limit": 0.3},
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Warehouses of the same 100 images, each once and each twice."""
    folder = tmp_path_factory.mktemp("repeated")
    results = write_synthetic(folder / "results", images=100, corruptions=("fog", "contrast"))
    for repeats, name in enumerate(("once", "twice"), start=1):
        load(
            [write_repeated(results, folder / name, repeats=repeats)], folder / f"{name}.duckdb", derivation=DERIVATION
        )
    return folder


def test_a_comparison_has_the_intervals_and_tests_of_distinct_images(folder: Path) -> None:
    expected, found = (compare_named("Alpha", "Beta", folder / f"{name}.duckdb") for name in ("once", "twice"))
    assert found.bounds == pytest.approx(expected.bounds)
    assert (found.not_worse, found.equivalent) == (expected.not_worse, expected.equivalent)
    for rows in ("metrics", "corruptions", "cells", "classes"):
        by_key = {
            (row.metric.name, row.cells, row.corruption, row.severity, row.class_index): row
            for row in getattr(expected, rows)
        }
        assert len(by_key) == len(getattr(found, rows))
        for row in getattr(found, rows):
            same = by_key[row.metric.name, row.cells, row.corruption, row.severity, row.class_index]
            assert row.difference == (same.difference and pytest.approx(same.difference, abs=1e-6))
            assert row.adjusted_p == (same.adjusted_p and pytest.approx(same.adjusted_p))


def test_a_gate_judges_as_on_distinct_images_and_says_so(folder: Path) -> None:
    names = {"candidate": "Beta", "baseline": "Alpha", "rules": RULES}
    expected, found = (failmodes.gate({"gate": names}, folder / f"{name}.duckdb") for name in ("once", "twice"))
    for one, other in zip(found.rules, expected.rules, strict=True):
        for decision, of_distinct in zip(one.verdicts, other.verdicts, strict=True):
            assert decision.verdict == of_distinct.verdict
            assert decision.estimate == pytest.approx(of_distinct.estimate, abs=1e-6)
    assert found.to_markdown().count(NOTE) == 1
    assert json.loads(found.to_json())["candidate"]["distinct_images"] == 100
    assert "duplicate" not in str(expected)


def test_an_export_knows_the_duplicates(folder: Path, tmp_path: Path) -> None:
    with open_warehouse(folder / "twice.duckdb") as con:
        ids = [row[0] for row in con.sql("select evaluation_id from evaluations order by all").fetchall()]
    export_evaluations(folder / "twice.duckdb", ids[:1], tmp_path / "kept.duckdb")
    assert warehouse_status(tmp_path / "kept.duckdb").evaluations["distinct_image_count"].to_list() == [100]
    query = (
        "select corruption, low, high from cell_metrics where metric = 'accuracy' and evaluation_id = ? order by all"
    )
    rows = []
    for path in (folder / "twice.duckdb", tmp_path / "kept.duckdb"):
        with open_warehouse(path) as con:
            rows.append(con.execute(query, [ids[0]]).fetchall())
    assert rows[0] == rows[1]
