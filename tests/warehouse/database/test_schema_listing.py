"""Every table, view and column, and what it means, with range or unit: in Python and in comments of DuckDB."""

import re
from pathlib import Path

import duckdb
import pytest
from warehouse_files import stored_rows

from failmodes.runtime.errors import QueryError
from failmodes.warehouse.database.schema_listing import column_rows, list_columns, list_relations, relation_rows
from failmodes.warehouse.database.views import relation_names, view_definitions


def measured_meaning(relation: str, column: str) -> tuple[str, str, str]:
    """Unit, range and meaning of a column."""
    return next(row[3:] for row in column_rows(None, relation) if row.column == column)


def test_every_column_says_what_it_means() -> None:
    for row in (row for name in relation_names() for row in column_rows(None, name)):
        assert len(row.meaning) > 3, row
        assert not re.match(r"(0-1|-1 to 1|image widths|logits)\b", row.meaning), (row, "a unit alone says too little")
        assert row.unit or row.range or row.type not in ("DOUBLE", "FLOAT", "DECIMAL(6,3)"), row


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ("accuracy_by_severity.accuracy_low", ("", "0 to 1")),
        ("accuracy_by_severity.severity", ("", "0 to 999")),
        ("accuracy_by_severity.image_count", ("count", "0 to infinity")),
        ("calibration_by_severity.nll_nats", ("nats", "0 to infinity")),
        ("attention_drift.mean_centroid_shift", ("image widths", "0 to infinity")),
        ("change_points.slope_after_high", ("accuracy per severity", "")),
        ("prediction_facts.ssim", ("", "-1 to 1")),
        ("prediction_facts.logits", ("", "")),
        ("shards.images_per_s", ("images per second", "0 to infinity")),
        ("shapes.curvature_low", ("", "-infinity to infinity")),
        ("models.model_label", ("", "")),
    ],
    ids=str,
)
def test_unit_and_range_are_those_that_the_meaning_states(column: str, expected: tuple[str, str]) -> None:
    assert measured_meaning(*column.split("."))[:2] == expected


def test_a_column_without_a_comment_means_what_its_source_says() -> None:
    assert measured_meaning("selective_by_severity", "threshold") == measured_meaning("thresholds", "threshold")
    assert measured_meaning("outcomes", "confidence")[2] == "largest softmax probability, 0-1"
    assert "0-1; the lowest of several" in measured_meaning("predictions_by_severity", "worst_class_accuracy")[2]


def test_the_line_of_sources_names_what_a_view_reads() -> None:
    with duckdb.connect() as con:
        for name, sql in view_definitions().items():
            line = re.search(r"^-- Source: (.+)\.$", sql, re.MULTILINE)
            assert line, name
            assert set(line[1].split(", ")) - {"none"} <= con.get_table_names(sql), name


@pytest.mark.test_all
def test_the_contract_has_the_columns_of_a_warehouse_and_other_clients_find_their_meanings(
    sound_warehouse: Path,
) -> None:
    assert column_rows(None) == column_rows(sound_warehouse)
    assert [row[:3] for row in relation_rows(None)] == [row[:3] for row in relation_rows(sound_warehouse)]
    found = stored_rows(
        sound_warehouse,
        "select table_name, column_name, comment from duckdb_columns() where schema_name = 'main' and not internal",
    )
    assert {name for name, _, _ in found} == set(relation_names())
    assert {(row.table, row.column, row.meaning) for row in column_rows(None)} == set(found)


def test_tables_and_columns_say_what_they_hold(sound_warehouse: Path) -> None:
    tables = list_relations(sound_warehouse)
    assert tables.columns == ["name", "kind", "meaning", "row_count"]
    for name, kind, count in (("prediction_facts", "table", 20_800), ("accuracy_by_severity", "view", None)):
        row = tables.filter(name=name).row(0)
        assert (row[1], row[2].lower().startswith("one row per"), row[3]) == (kind, True, count)
    columns = list_columns(sound_warehouse, "predictions")
    assert columns.columns == ["table", "column", "type", "unit", "range", "meaning"]
    assert columns.filter(column="confidence").row(0)[2:] == ("FLOAT", "", "0 to 1", "largest softmax probability, 0-1")
    with pytest.raises(QueryError, match="did you mean 'predictions'"):
        list_columns(sound_warehouse, "prediction")
