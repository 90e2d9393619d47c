"""Ad hoc SQL: it answers, fails in one line and stops in time; its answer is printed or written to a file."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from failmodes.runtime.errors import LimitError, QueryError
from failmodes.warehouse.database.query import first_rows, read_rows, run_query


@pytest.mark.parametrize(
    "sql",
    [
        "select count(*) as n from prediction_facts",
        "from accuracy_by_severity",
        pytest.param("with x as (select 1 as a) select * from x;", marks=pytest.mark.test_all),
        pytest.param("describe prediction_facts", marks=pytest.mark.test_all),
        pytest.param("show tables", marks=pytest.mark.test_all),
        pytest.param("values (1, 2)", marks=pytest.mark.test_all),
        pytest.param("pragma table_info('predictions')", marks=pytest.mark.test_all),
        "pivot (select corruption, severity from shards) on severity using count(*)",
        "-- a comment\nselect 1 as a",
    ],
)
def test_query_returns_rows(query_here: Path, sql: str) -> None:
    assert run_query(query_here / "warehouse.duckdb", sql).height > 0


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("selec 1", "syntax error"),
        ("select nothing from prediction_facts", 'nothing" not found'),
        ("select * from nowhere", "nowhere does not exist"),
        ("select 1; select 2", "2 statements"),
        ("select 1; drop table prediction_facts", "2 statements"),
        ("", "0 statements"),
        ("-- nothing", "0 statements"),
        ("select cast('a' as integer)", "Could not convert"),
        ("select interval 1 day", "cast it to varchar"),
        ("@nothing", "unknown saved query @nothing: expected .*worst_cells"),
    ],
)
def test_bad_query_is_one_clear_line(query_here: Path, sql: str, message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        run_query(query_here / "warehouse.duckdb", sql)
    assert "\n" not in str(caught.value)


@pytest.mark.test_all
def test_values_of_many_kinds_are_bound(sound_warehouse: Path) -> None:
    def ask(sql: str, **parameters: object) -> list[tuple[object, ...]]:
        return run_query(sound_warehouse, sql, parameters).rows()

    count = "select count(*) from accuracy_by_severity where"
    assert ask(f"{count} corruption = $name and severity >= $least", name="fog", least=4.0) == [(4,)]
    assert ask(f"{count} corruption = any($names)", names=("fog", "snow")) == [(12,)]
    assert ask(f"{count} corruption = any($names)", names={"fog"}) == [(12,)]
    values = {"a": None, "b": Decimal("0.5"), "c": np.float32(2), "d": [np.int64(1)], "e": True}
    assert ask("select $a, $b, $c, $d, $e", **values) == [(None, Decimal("0.5"), 2.0, [1], True)]


@pytest.mark.parametrize("value", ["'; drop table prediction_facts; --", "' or 1=1 --", '"; select 1', "$other", "\\"])
@pytest.mark.test_all
def test_a_malformed_value_is_only_a_value(sound_warehouse: Path, value: str) -> None:
    assert run_query(sound_warehouse, "select $value", {"value": value}).item() == value
    asked = "from accuracy_by_severity where corruption = $value"
    assert run_query(sound_warehouse, asked, {"value": value}).is_empty()


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("sql", "parameters", "message"),
    [
        ("select $floor", {}, r"no value for \$floor: .* as in sql\(query, floor=…\)"),
        ("select $a, $b", {"b": 1}, r"no value for \$a:"),
        ("select $floor", {"flor": 1}, r"no parameter \$flor in the query: did you mean 'floor'\?"),
        ("select $a", {"zzz": 1}, r"no parameter \$zzz in the query: it has \$a"),
        ("select 1", {"x": 1}, r"no parameter \$x in the query: it has none"),
        ("select ?", {"x": 1}, r"without a name: write it as \$name"),
        ("select $x", {"x": object()}, "object"),
    ],
)
def test_parameters_and_values_must_meet(
    sound_warehouse: Path, sql: str, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        run_query(sound_warehouse, sql, parameters)
    assert "\n" not in str(caught.value)


def test_a_query_sees_no_variable_of_its_caller(sound_warehouse: Path) -> None:
    frame = pl.DataFrame({"a": [1]})
    with pytest.raises(QueryError, match="frame does not exist"):
        run_query(sound_warehouse, "from frame")
    assert frame.height == 1


@pytest.mark.parametrize(("limit", "shown", "count"), [("", 3, 400), ("limit 2", 2, 2), ("limit 3", 3, 3)])
def test_the_first_rows_say_how_many_there_are(sound_warehouse: Path, limit: str, shown: int, count: int) -> None:
    found = first_rows(sound_warehouse, f"select image_id from images order by image_id {limit}", 3)
    assert found == (["image_id"], [(image_id,) for image_id in range(shown)], count)


def test_query_is_stopped_in_time(sound_warehouse: Path) -> None:
    endless = "select count(*) from range(1e9::bigint) a, range(1e9::bigint) b"
    with pytest.raises(LimitError, match=r"stopped after 0\.3 s"):
        run_query(sound_warehouse, endless, timeout_s=0.3)


FILTERS = (
    ({}, 60),
    ({"corruption": "fog"}, 12),
    pytest.param({"corruption": ["fog", "contrast"]}, 24, marks=pytest.mark.test_all),
    ({"corruption": ("fog",), "model_label": "Alpha"}, 6),
    ({"severity": 5}, 10),
    pytest.param({"severity": 5.0}, 10, marks=pytest.mark.test_all),
    ({"severity": 0.1 + 0.2}, 0),
    pytest.param({"severity": Decimal("5.000")}, 10, marks=pytest.mark.test_all),
    pytest.param({"severity": np.int64(5)}, 10, marks=pytest.mark.test_all),
    ({"severity": [1, 2.0, Decimal(3)]}, 30),
    pytest.param({"severity": 2.0004}, 0, marks=pytest.mark.test_all),
    ({"severity": []}, 0),
    ({"severity": None}, 0),
    ({"corruption": [None, "fog"]}, 12),
    ({"headline": True}, 60),
    pytest.param({"headline": False}, 0, marks=pytest.mark.test_all),
)


@pytest.mark.test_all
@pytest.mark.parametrize(("filters", "rows"), FILTERS, ids=str)
def test_a_table_keeps_the_rows_that_fit(sound_warehouse: Path, filters: dict[str, object], rows: int) -> None:
    assert read_rows(sound_warehouse, "accuracy_by_severity", filters).height == rows


@pytest.mark.test_all
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
            "'accuracy_by_severty': did you mean 'accuracy_by_severity'",
        ),
        (
            'x"; drop table shapes; --',
            {},
            "`failmodes schema` lists them",
        ),
        ("duckdb_settings()", {}, "no table or view"),
        ("accuracy_by_severity", {"corrruption": "fog"}, "did you mean 'corruption'?"),
        ("accuracy_by_severity", {'a" = 1 or "b': 1}, "accuracy_by_severity has the columns corruption,"),
        ("accuracy_by_severity", {"severity": "mild"}, "severity is DECIMAL(6,3), and 'mild' is str"),
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
