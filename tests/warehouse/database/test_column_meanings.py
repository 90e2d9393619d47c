"""What columns mean: of every table and view, with range or unit, in Python, in the file, and in any DuckDB client."""

import re
from pathlib import Path

import duckdb
import pytest

from failmodes.warehouse.database.column_meanings import _own_meanings, column_meanings, measured
from failmodes.warehouse.database.schema_listing import column_rows, open_contract, relation_rows
from failmodes.warehouse.database.views import relation_names, view_definitions


@pytest.fixture(scope="module")
def outputs() -> dict[str, dict[str, str]]:
    """Types of the columns of every table and view, by name."""
    found: dict[str, dict[str, str]] = {}
    for row in column_rows(None):
        found.setdefault(row.table, {})[row.column] = row.type
    return found


@pytest.mark.parametrize("name", relation_names())
def test_every_column_says_what_it_means(outputs: dict[str, dict[str, str]], name: str) -> None:
    for column, kind in outputs[name].items():
        meaning = column_meanings(name)[column]
        assert len(meaning) > 3, column
        assert not re.match(r"(0-1|-1 to 1|image widths|logits)\b", meaning), (column, "a unit alone says too little")
        unit, values = measured(name, column, kind)
        if kind in ("DOUBLE", "FLOAT", "DECIMAL(4,3)"):
            assert unit or values, (column, meaning)


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        ("accuracy_by_severity.accuracy_low", "DOUBLE", ("", "0 to 1")),
        ("accuracy_by_severity.severity", "DECIMAL(4,3)", ("", "0 to 5")),
        ("accuracy_by_severity.image_count", "BIGINT", ("count", "0 to infinity")),
        ("calibration_by_severity.accuracy", "DOUBLE", ("", "0 to 1")),
        ("calibration_by_severity.nll_nats", "DOUBLE", ("nats", "0 to infinity")),
        ("attention_drift.mean_centroid_shift", "DOUBLE", ("image widths", "0 to infinity")),
        ("attention_drift.mean_mass", "DOUBLE", ("logits", "0 to infinity")),
        ("change_points.slope_after_high", "DOUBLE", ("accuracy a severity", "")),
        ("cell_confidence_bins.confidence_sum", "DOUBLE", ("", "0 to infinity")),
        ("prediction_facts.ssim", "FLOAT", ("", "-1 to 1")),
        ("prediction_facts.predicted", "SMALLINT", ("", "")),
        ("prediction_facts.logits", "FLOAT[]", ("", "")),
        ("shards.identity_error", "DOUBLE", ("", "0 to infinity")),
        ("shards.images_per_s", "DOUBLE", ("images a second", "0 to infinity")),
        ("datasets.height_px", "INTEGER", ("pixels", "0 to infinity")),
        ("shards.elapsed_s", "DOUBLE", ("seconds", "0 to infinity")),
        ("shapes.curvature_low", "DOUBLE", ("", "-infinity to infinity")),
        ("models.model_label", "VARCHAR", ("", "")),
    ],
    ids=str,
)
def test_unit_and_range_are_those_that_the_meaning_states(column: str, kind: str, expected: tuple[str, str]) -> None:
    assert measured(*column.split("."), kind) == expected


def test_comments_of_a_view_are_about_its_columns(outputs: dict[str, dict[str, str]]) -> None:
    for view in view_definitions():
        assert _own_meanings(view).keys() <= outputs[view].keys(), view


def test_a_comment_goes_on_in_lines_beneath() -> None:
    meaning = column_meanings("predictions_by_severity")["worst_class_accuracy"]
    assert (
        meaning
        == "accuracy of the worst class, 0-1; the lowest of several, so by chance lower than each of them is expected"
    )


def test_a_column_without_a_comment_means_what_its_source_says() -> None:
    assert column_meanings("risk_coverage")["score"] == column_meanings("selective_risks")["score"]
    assert column_meanings("outcomes")["confidence"] == "largest softmax probability, 0-1"
    assert column_meanings("accuracy_by_severity")["severity"].startswith("0 (clean) to 5")


def test_the_line_of_sources_names_what_a_view_reads() -> None:
    with duckdb.connect() as con:
        for name, sql in view_definitions().items():
            line = re.search(r"^-- Source: (.+)\.$", sql, re.MULTILINE)
            assert line, name
            assert set(line[1].split(", ")) <= con.get_table_names(sql), name


@pytest.mark.slow
def test_the_contract_has_the_columns_of_a_warehouse(sound_warehouse: Path) -> None:
    assert column_rows(None) == column_rows(sound_warehouse)
    assert column_rows(None, "hardest_images") == column_rows(sound_warehouse, "hardest_images")
    assert [row[:3] for row in relation_rows(None)] == [row[:3] for row in relation_rows(sound_warehouse)]
    assert all(row.row_count is None for row in relation_rows(None))


def test_the_contract_of_one_view_needs_no_other() -> None:
    with open_contract(["reliability_bins"]) as con:
        names = {name for (name,) in con.execute("select view_name from duckdb_views() where not internal").fetchall()}
    assert {"reliability_bins", "cell_confidence_bins", "shards"} <= names
    assert names.isdisjoint({"predictions", "prediction_facts"})


def test_other_clients_find_the_meanings_in_the_file(sound_warehouse: Path) -> None:
    with duckdb.connect(str(sound_warehouse), read_only=True) as con:
        found = con.execute(
            "select table_name, column_name, comment from duckdb_columns() where schema_name = 'main' and not internal"
        ).fetchall()
    assert {name for name, _, _ in found} == set(relation_names())
    for name, column, comment in found:
        assert comment == column_meanings(name)[column], (name, column)
