"""The checks: a sound warehouse passes all, and each finds what it is for."""

from pathlib import Path
from unittest.mock import patch

import duckdb
import pyarrow as pa
import pytest
from rewritten_shards import cell_of
from synthetic_results import write_synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.database import checks
from failmodes.warehouse.database.checks import SHOWN_ROWS, CheckResult, check_definitions, run_checks
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import read_verified, shard_path, write_shard

ONE = """
    corruption = 'fog' and severity = 3 and image_id = 7
    and evaluation_id = (select min(evaluation_id) from evaluations)
"""

# What breaks an invariant: the check that must find it, how many rows it names, and the damage in SQL.
DAMAGE = {
    "known_values": (1, "update models set class_protocol = 'odd' where model_label = 'Beta'"),
    "prediction_facts_one_row_per_key": (1, f"insert into prediction_facts select * from prediction_facts where {ONE}"),
    "attention_one_row_per_key": (2, f"insert into attention select * from attention where {ONE}"),
    "dimensions_one_row_per_key": (1, "insert into corruptions select * from corruptions where corruption = 'fog'"),
    "probabilities_in_range": (1, f"update prediction_facts set confidence = 1.5 where {ONE}"),
    "labels_in_range": (1, f"update prediction_facts set predicted = 4 where {ONE}"),
    "labels_agree_with_images": (1, f"update prediction_facts set label = (label + 1) % 4 where {ONE}"),
    "ranks_agree_with_predictions": (
        1,
        f"update prediction_facts set label_rank = if(label_rank = 1, 2, 1) where {ONE}",
    ),
    "finite_rows_predict": (1, f"update prediction_facts set finite = false where {ONE}"),
    "attention_is_a_number": (2, f"update attention set cosine = 'nan' where {ONE}"),
    "shards_are_complete": (1, f"delete from prediction_facts where {ONE}"),
    "attention_beside_predictions": (10, "delete from shards where table_name = 'attention' and corruption = 'fog'"),
    "images_resolve": (1, f"update prediction_facts set image_id = 9999 where {ONE}"),
    "keys_resolve": (1, "delete from models where model_label = 'Beta'"),
    "clean_cell_present": (2, "update shards set severity = 0.5 where corruption = 'none'"),
    "pairing_decides_drift": (1, f"update attention set w1_x = null where {ONE} and target = 'clean'"),
}

MORE_DAMAGE = {
    "probabilities_in_range": [
        f"update prediction_facts set {change} where {ONE}"
        for change in ("confidence = 'nan'", "margin = 2", "entropy_nats = -0.01", "label_probability = 1")
    ],
    "finite_rows_predict": [f"update prediction_facts set predicted = null where {ONE}"],
    "shards_are_complete": [
        "update evaluations set image_count = 399",
        "delete from shards where corruption = 'fog' and table_name = 'prediction_facts'",
        "delete from attention where corruption = 'fog' and target = 'clean'",
        "update shards set row_count = 1 where corruption = 'fog'",
    ],
    "keys_resolve": [f"delete from {table}" for table in
                     ("datasets", "sources", "classes", "evaluations", "corruptions")],
    "known_values": [
        f"update {change}"
        for change in ("models set class_count = 0", "models set output_count = -1", "datasets set class_count = 0",
                       "datasets set width_px = 0", "sources set source_kind = 'x'", "sources set noise = 'x'",
                       "evaluations set image_count = 0", "shards set table_name = 'x' where corruption = 'fog'",
                       "images set image_luminance = 2", "images set image_sharpness = 'nan'",
                       "images set image_width_px = 0", "images set file_bytes = -1")
    ],
    "images_resolve": ["delete from images"],
    "clean_cell_present": ["delete from shards where corruption = 'none'",
                           "update shards set severity = 0 where corruption = 'fog' and severity = 1"],
    "pairing_decides_drift": [f"update prediction_facts set rmse = null where {ONE}",
                              "update evaluations set paired = false, pairing_note = 'no'"],
}  # fmt: skip


def test_every_check_has_its_damage() -> None:
    assert DAMAGE.keys() == check_definitions().keys()


@pytest.mark.test_all
def test_a_sound_warehouse_passes(sound_warehouse: Path) -> None:
    with open_warehouse(sound_warehouse) as con:
        results = run_checks(con)
    assert [result.name for result in results if not result.passed] == []
    assert all(result.invariant and result.examples.is_empty() for result in results)


@pytest.mark.parametrize("name", DAMAGE)
def test_check_finds_what_it_is_for(warehouse_copy: Path, name: str) -> None:
    count, damage = DAMAGE[name]
    found = _check_after(warehouse_copy, name, damage)
    assert found.row_count == count
    assert found.examples.height == min(count, SHOWN_ROWS)


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("name", "damage"),
    [pytest.param(n, d, id=f"{n}-{i}") for n, many in MORE_DAMAGE.items() for i, d in enumerate(many)],
)
def test_check_finds_every_part_of_it(warehouse_copy: Path, name: str, damage: str) -> None:
    assert _check_after(warehouse_copy, name, damage).row_count > 0


def _check_after(warehouse_copy: Path, name: str, damage: str) -> CheckResult:
    """The result of one check, run alone."""
    alone = {name: check_definitions()[name]}
    with patch.object(checks, "check_definitions", lambda: alone), duckdb.connect(str(warehouse_copy)) as con:
        con.execute(damage)
        (found,) = run_checks(con)
    return found


@pytest.mark.test_all
def test_rows_that_break_a_check_of_images_are_counted(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "out", images=9, models=("A",), corruptions=("fog",), severities=(1, 3))
    for severity, change in ((1, {"label": 3}), (3, {"image_id": 999})):
        shard = cell_of(made, "A", "fog", severity)
        rows = read_verified(shard_path(made.output, schema.PREDICTION_FACTS, shard)).rows
        rows = pa.Table.from_pylist([*rows.to_pylist()[:-1], rows.to_pylist()[-1] | change], rows.schema)
        write_shard(made.output, schema.PREDICTION_FACTS, shard, rows)
    load([made.output], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        stored = con.execute("select name, breaking_rows from computed where breaking_rows is not null").fetchall()
        found = {result.name: result.row_count for result in run_checks(con)}
    assert all(found[name] == count for name, count in stored)
    assert dict(stored).items() >= {"labels_agree_with_images": 1, "images_resolve": 1}.items()
