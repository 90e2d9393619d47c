"""Tables and views by name: the rows that fit filters, what they hold, and clear refusals."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from failmodes.warehouse.database.query import read_rows
from failmodes.warehouse.database.schema_listing import list_columns, list_relations
from failmodes.warehouse.errors import QueryError

FILTERS: tuple[tuple[dict[str, object], int], ...] = (
    ({}, 60),
    ({"corruption": "fog"}, 12),
    ({"corruption": ["fog", "contrast"]}, 24),
    ({"corruption": ("fog",), "model_label": "Alpha"}, 6),
    ({"severity": 5}, 10),
    ({"severity": 5.0}, 10),
    ({"severity": 0.1 + 0.2}, 0),
    ({"severity": 4.9 + 0.1}, 10),
    ({"severity": Decimal("5.000")}, 10),
    ({"severity": np.float32(5)}, 10),
    ({"severity": np.int64(5)}, 10),
    ({"severity": [1, 2.0, Decimal(3)]}, 30),
    ({"severity": 2.0004}, 0),
    ({"severity": []}, 0),
    ({"severity": None}, 0),
    ({"mean_rmse": None}, 0),
    ({"corruption": [None, "fog"]}, 12),
    ({"headline": True}, 60),
    ({"headline": False}, 0),
)


@pytest.mark.parametrize(("filters", "rows"), FILTERS, ids=str)
def test_a_table_keeps_the_rows_that_fit(sound_warehouse: Path, filters: dict[str, object], rows: int) -> None:
    assert read_rows(sound_warehouse, "accuracy_by_severity", filters).height == rows


def test_none_finds_nulls(sound_warehouse: Path) -> None:
    nulls = read_rows(sound_warehouse, "predictions", {"logit_classes": None})
    assert nulls.height == read_rows(sound_warehouse, "predictions", {}).height == 20_800
    assert read_rows(sound_warehouse, "predictions", {"logit_classes": None, "predicted": [0, None]}).height > 0


@pytest.mark.parametrize(
    ("name", "filters", "message"),
    [
        (
            "accuracy_by_severty",
            {},
            "'accuracy_by_severty': did you mean 'accuracy_by_severity'?",
        ),
        (
            'x"; drop table shapes; --',
            {},
            "there are attention, cell_confidence_bins, cell_confusion, cell_metrics,",
        ),
        ("duckdb_settings()", {}, "no table, view or metric"),
        ("accuracy_by_severity", {"corrruption": "fog"}, "did you mean 'corruption'?"),
        ("accuracy_by_severity", {'a" = 1 or "b': 1}, "accuracy_by_severity has the columns corruption,"),
        ("accuracy_by_severity", {"severity": "mild"}, "severity is DECIMAL(4,3), and 'mild' is str"),
        ("accuracy_by_severity", {"corruption": 3}, "corruption is VARCHAR, and 3 is int"),
        ("accuracy_by_severity", {"corruption": ["fog", 3]}, "corruption is VARCHAR, and 3 is int"),
        ("accuracy_by_severity", {"headline": 1}, "headline is BOOLEAN, and 1 is int"),
        ("accuracy_by_severity", {"image_count": 10**40}, "too large"),
    ],
    ids=str,
)
def test_a_bad_table_or_filter_is_one_clear_line(
    sound_warehouse: Path, name: str, filters: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError) as caught:
        read_rows(sound_warehouse, name, filters)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tables_and_columns_say_what_they_hold(sound_warehouse: Path) -> None:
    tables = list_relations(sound_warehouse)
    assert tables.columns == ["name", "kind", "meaning", "row_count"]
    assert tables.filter(name="prediction_facts").row(0) == (
        "prediction_facts",
        "table",
        "one row per evaluation, corruption, severity and image; clean images as 'none' at severity 0",
        20_800,
    )  # fmt: skip
    assert tables.filter(name="accuracy_by_severity").row(0)[1:] == (
        "view",
        "One row per evaluation, corruption and severity from clean (0) on: accuracy with its exact 95 % interval.",
        None,
    )
    assert not tables["meaning"].has_nulls()
    columns = list_columns(sound_warehouse, "predictions")
    assert columns.columns == ["table", "column", "type", "unit", "range", "meaning"]
    assert columns.filter(column="confidence").row(0)[2:] == ("FLOAT", "", "0 to 1", "largest softmax probability, 0-1")
    assert set(list_columns(sound_warehouse)["table"]) == set(tables["name"])
    with pytest.raises(QueryError, match="did you mean 'predictions'"):
        list_columns(sound_warehouse, "prediction")
