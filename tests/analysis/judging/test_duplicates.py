"""Commands over an evaluation in which every image stands twice: the figures of distinct images, and a note."""

import json
from pathlib import Path

import pytest

import failmodes
from failmodes.analysis.judging.compare import compare_named
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.status import warehouse_status

pytestmark = pytest.mark.test_all

NOTE = "120 of 240 images are exact duplicates of others (120 distinct); intervals treat copies as one"
RULES = [
    {"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.05},
    {"metric": "accuracy", "relation": "worse_by_at_most", "limit": 0.05, "over": "each"},
    {"metric": "ece", "relation": "at_most", "limit": 0.4},
    {"metric": "accuracy", "relation": "drop_at_most", "limit": 0.3},
]


def test_a_comparison_has_the_intervals_and_tests_of_distinct_images(repeated: Path) -> None:
    expected, found = (compare_named("Alpha", "Beta", repeated / f"{name}.duckdb") for name in ("once", "twice"))
    assert found.bounds == pytest.approx(expected.bounds)
    assert (found.not_worse, found.equivalent) == (expected.not_worse, expected.equivalent)
    for rows in ("metrics", "corruptions", "cells", "classes"):
        by_key = {
            (row.metric.name, row.scope, row.corruption, row.severity, row.class_index): row
            for row in getattr(expected, rows)
        }
        assert len(by_key) == len(getattr(found, rows))
        for row in getattr(found, rows):
            same = by_key[row.metric.name, row.scope, row.corruption, row.severity, row.class_index]
            assert row.verdict.verdict == same.verdict.verdict
            if same.difference:
                assert row.difference[:3] == pytest.approx(same.difference[:3], abs=1e-6)
                assert row.difference.p_value == (same.difference.p_value and pytest.approx(same.difference.p_value))


def test_a_gate_judges_as_on_distinct_images_and_says_so(repeated: Path) -> None:
    names = {"candidate": "Beta", "baseline": "Alpha", "rules": RULES}
    expected, found = (failmodes.gate({"gate": names}, repeated / f"{name}.duckdb") for name in ("once", "twice"))
    for one, other in zip(found.rules, expected.rules, strict=True):
        for decision, of_distinct in zip(one.decisions, other.decisions, strict=True):
            assert decision.verdict == of_distinct.verdict
            assert decision.estimate[:3] == pytest.approx(of_distinct.estimate[:3], abs=1e-6)
    assert found.to_markdown().count(NOTE) == 1
    assert json.loads(found.to_json())["candidate"]["distinct_count"] == 120
    assert "duplicate" not in str(expected)


def test_an_export_knows_the_duplicates(repeated: Path, tmp_path: Path) -> None:
    with open_warehouse(repeated / "twice.duckdb") as con:
        ids = [row[0] for row in con.sql("select evaluation_id from evaluations order by all").fetchall()]
    export_evaluations(repeated / "twice.duckdb", ids[:1], tmp_path / "kept.duckdb")
    assert warehouse_status(tmp_path / "kept.duckdb").evaluations["distinct_image_count"].to_list() == [120]
    query = (
        "select corruption, low, high from cell_metrics where metric = 'accuracy' and evaluation_id = ? order by all"
    )
    rows = []
    for path in (repeated / "twice.duckdb", tmp_path / "kept.duckdb"):
        with open_warehouse(path) as con:
            rows.append(con.execute(query, [ids[0]]).fetchall())
    assert rows[0] == rows[1]
