"""Loading: once and no more, whole or not at all, and never from a damaged file."""

import os
import random
import re
import shutil
import signal
import time
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from synthetic_results import Synthetic
from warehouse_files import python_in_background, value, write_small_results

from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import DamagedShardError, WarehouseError
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    content_hash,
    dimension_path,
    list_results_files,
    read_footer,
    read_verified,
    shard_path,
    write_dimension,
    write_shard,
)

FOG = Decimal("3.000")


@pytest.fixture(scope="module")
def beta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of another model on the same data; read only."""
    return write_small_results(tmp_path_factory.mktemp("beta"), "Beta").output


def hashes(path: Path) -> dict[str, str]:
    """Content hash of every table by key, whatever the order of rows in the file."""
    with open_warehouse(path) as con:
        tables = (*schema.FACTS, *schema.DIMENSIONS)
        return {t.name: content_hash(con.sql(f"from {t.name} order by {', '.join(t.key)}").to_arrow_table())
                for t in tables}  # fmt: skip


def test_every_row_is_loaded_as_it_was_written(synthetic: Synthetic, sound_warehouse: Path) -> None:
    cell = ShardKey(synthetic.evaluations["Beta"], Cell("fog", FOG))
    with open_warehouse(sound_warehouse) as con:
        for table in schema.FACTS:
            written = pl.from_arrow(read_verified(shard_path(synthetic.output, table, cell)).rows)
            query = f"select * from {table.name} where evaluation_id = ? and corruption = 'fog' and severity = 3"
            rows = con.sql(query, params=[cell.evaluation_id]).pl()
            assert rows.select(written.columns).equals(written)
        assert con.sql("select count(*) from prediction_facts").pl().item() == 52 * 400
        assert con.sql("select count(*) from attention").pl().item() == 52 * 800


def test_shards_carry_the_facts_of_their_footers(synthetic: Synthetic, sound_warehouse: Path) -> None:
    with open_warehouse(sound_warehouse) as con:
        shards = con.sql("from shards").pl()
    row = shards.filter(table_name="prediction_facts", corruption="fog", severity=FOG).row(0, named=True)
    stored = read_verified(synthetic.output / row["path"])
    assert len(shards) == 104
    assert row["content_hash"] == stored.content_hash
    assert (row["row_count"], row["device"], row["versions"]) == (400, "cpu", '{"python": "3"}')
    assert row["identity_error"] == pytest.approx(1e-6)
    assert row["created_at"].isoformat() == stored.facts["created_at"]


@pytest.mark.slow
def test_loading_twice_changes_nothing(results: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    first = load([results.output], path)
    before = path.stat()
    second = load([results.output], path)
    assert (first.new_shards, first.row_count, first.swapped) == (22, 11 * 40 + 11 * 80, True)
    assert (second.new_shards, second.kept_shards, second.row_count, second.swapped) == (0, 22, 0, False)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_only_new_shards_are_added_and_changed_ones_replaced(results: Synthetic, tmp_path: Path) -> None:
    path, evaluation_id = tmp_path / "w.duckdb", results.evaluations["Alpha"]
    late, changed = ShardKey(evaluation_id, Cell("fog", Decimal("5.000"))), ShardKey(evaluation_id, Cell("fog", FOG))
    for table in schema.FACTS:
        shard_path(results.output, table, late).rename(tmp_path / table.name)
    assert load([results.output], path).new_shards == 20
    for table in schema.FACTS:
        (tmp_path / table.name).rename(shard_path(results.output, table, late))
    rows = read_verified(shard_path(results.output, schema.PREDICTION_FACTS, changed)).rows
    confidence = rows.column_names.index("confidence")
    rows = rows.set_column(confidence, rows.schema.field("confidence"), pa.array([0.125] * 40, pa.float32()))
    write_shard(results.output, schema.PREDICTION_FACTS, changed, rows)
    report = load([results.output], path)
    assert (report.new_shards, report.replaced_shards, report.kept_shards) == (2, 1, 19)
    assert value(path, "select count(*) from prediction_facts") == 11 * 40
    where = "corruption = 'fog' and severity = 3"
    assert value(path, f"select distinct confidence from prediction_facts where {where}") == 0.125
    assert value(path, f"select count(*) from shards where {where}") == 2


@pytest.mark.slow
def test_attention_without_its_predictions_is_not_loaded(results: Synthetic, tmp_path: Path) -> None:
    cell = ShardKey(results.evaluations["Alpha"], Cell("fog", FOG))
    shard_path(
        results.output, schema.PREDICTION_FACTS, cell
    ).unlink()  # killed between the two: the cell is not committed
    assert load([results.output], tmp_path / "w.duckdb").new_shards == 20


@pytest.mark.slow
def test_vanished_shards_stay_until_a_rebuild(results: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([results.output], path)
    for table in schema.FACTS:
        shutil.rmtree(
            shard_path(results.output, table, ShardKey(results.evaluations["Alpha"], Cell("fog", FOG))).parents[1]
        )
    assert load([results.output], path).swapped is False
    assert value(path, "select count(*) from prediction_facts where corruption = 'fog'") == 5 * 40
    assert load([results.output], path, rebuild=True).dropped_shards == 10
    assert value(path, "select count(*) from prediction_facts where corruption = 'fog'") == 0


@pytest.mark.slow
def test_two_folders_load_into_one_warehouse_and_a_rebuild_gives_the_same_rows(alpha, beta: Path, tmp_path) -> None:
    one, two = alpha.output, beta
    path, other = tmp_path / "w.duckdb", tmp_path / "other.duckdb"
    load([one], path)
    load([two], path)
    assert value(path, "select count(*) from robustness_by_model") == 2
    assert value(path, "select count(*) from datasets") == 1
    load([two, one], other)
    apart = hashes(path)
    assert hashes(other) == apart
    report = load([one, two], path, rebuild=True)
    assert (report.new_shards, report.kept_shards, report.dropped_shards) == (44, 0, 0)
    assert hashes(path) == apart


@pytest.mark.slow
def test_the_later_folder_and_the_later_content_count(results: Synthetic, tmp_path: Path) -> None:
    path, other = tmp_path / "w.duckdb", tmp_path / "other"
    shutil.copytree(results.output, other)
    model = next((other / "results" / "models").iterdir())
    row = {**read_verified(model).rows.to_pylist()[0], "model_label": "Renamed"}
    write_dimension(other, schema.MODELS, model.stem, [row])
    load([results.output, other], path)
    assert value(path, "select model_label from models") == "Renamed"
    assert load([results.output, other], path).swapped is False
    load([results.output], path)
    assert value(path, "select model_label from models") == "Alpha"


@pytest.mark.slow
def test_a_new_choice_of_exemplars_replaces_the_former(results: Synthetic, tmp_path: Path) -> None:
    path, key = tmp_path / "w.duckdb", f"{results.evaluations['Alpha']}-fog"
    load([results.output], path)
    assert value(path, "select count(*) from exemplars where corruption = 'fog'") == 24
    rows = read_verified(dimension_path(results.output, schema.EXEMPLARS, key)).rows
    write_dimension(results.output, schema.EXEMPLARS, key, rows.slice(0, 6))
    load([results.output], path)
    assert value(path, "select count(*) from exemplars where corruption = 'fog'") == 6
    assert value(path, "select count(*) from exemplars") == 6 + 24


@pytest.mark.slow
def test_damage_leaves_the_old_warehouse_as_it_was(results: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    late = ShardKey(results.evaluations["Alpha"], Cell("fog", FOG))
    shard = shard_path(results.output, schema.PREDICTION_FACTS, late)
    content = shard.read_bytes()
    shard.unlink()
    load([results.output], path)
    before = path.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedShardError, match="1 damaged"):
        load([results.output], path)
    assert path.read_bytes() == before
    shard.write_bytes(content)
    assert load([results.output], path).new_shards == 2


@pytest.mark.slow
def test_an_open_reader_keeps_its_file_and_the_next_sees_the_load(alpha: Synthetic, beta: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([alpha.output], path)
    with open_warehouse(path) as reader:
        assert load([beta], path).new_shards == 22
        assert reader.sql("select count(*) from evaluations").pl().item() == 1
        assert value(path, "select count(*) from evaluations") == 2
        assert reader.sql("select count(*) from evaluations").pl().item() == 1


def test_a_folder_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="holds no record"):
        load([tmp_path], tmp_path / "w.duckdb")
    assert not (tmp_path / "w.duckdb").exists()


def test_the_results_folder_itself_points_to_the_folder_above(synthetic: Synthetic, tmp_path: Path) -> None:
    expected = f"it is one; name the folder above, {synthetic.output}"
    with pytest.raises(WarehouseError, match=re.escape(expected)):
        load([synthetic.output / "results"], tmp_path / "warehouse.duckdb")


_LOAD = (
    "from pathlib import Path; from failmodes.warehouse.database.load import load; print('go', flush=True); "
    "load([Path({0!r})], Path({1!r}))"
)


@pytest.mark.slow
def test_full_disk_is_one_clear_error_and_the_old_warehouse_stays(
    alpha: Synthetic, synthetic: Synthetic, tmp_path: Path
) -> None:
    path, more = tmp_path / "w.duckdb", synthetic.output
    load([alpha.output], path)
    before = path.read_bytes()
    program = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 300_000},) * 2)
from failmodes.warehouse.errors import StorageError
try:
    {_LOAD.format(str(more), str(path)).replace("; ", chr(10) + "    ")}
except StorageError as error:
    print(error)
"""
    with python_in_background(program) as process:
        output, errors = process.communicate(timeout=60)
    assert f"cannot write {path}" in output, errors
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.corpus) for seed in range(1, 6))])
def test_killed_load_leaves_a_whole_database(alpha: Synthetic, beta: Path, tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "w.duckdb", random.Random(seed)
    load([alpha.output], path)
    before = hashes(path)
    for _ in range(3):
        with python_in_background(_LOAD.format(str(beta), str(path))) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.7))
            os.kill(process.pid, signal.SIGKILL)
        if value(path, "select count(*) from evaluations") == 1:  # killed before the swap: nothing has happened
            assert hashes(path) == before
    load([beta], path)
    fresh = tmp_path / "fresh.duckdb"
    load([alpha.output, beta], fresh)
    assert hashes(path) == hashes(fresh)
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.slow
def test_loading_from_memory_gives_the_rows_of_the_local_results(local_results, memory_results, tmp_path: Path) -> None:
    local, remote, both = (tmp_path / f"{name}.duckdb" for name in ("local", "remote", "both"))
    load([local_results.output], local)
    report = load([memory_results.output], remote)
    assert (report.new_shards, report.row_count) == (22, 11 * 40 + 11 * 80)
    assert hashes(remote) == hashes(local)
    assert load([memory_results.output], remote).swapped is False
    load([local_results.output, memory_results.output], both)
    assert hashes(both) == hashes(local)
    with open_warehouse(remote) as con:
        path = (
            con.sql("select path from shards where table_name = 'prediction_facts' order by path limit 1").pl().item()
        )
    assert (local_results.output / path).is_file()


@pytest.mark.slow
@pytest.mark.parametrize("keep", [0, 4, 0.5, -20], ids=["empty", "magic only", "half", "without its end"])
def test_a_truncated_remote_file_is_damage_and_nothing_is_loaded(memory_results, tmp_path: Path, keep: float) -> None:
    path = next(list_results_files(memory_results.output, schema.PREDICTION_FACTS))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else int(keep)])
    for read in (read_verified, read_footer):
        with pytest.raises(DamagedShardError, match="is damaged"):
            read(path)
    with pytest.raises(DamagedShardError, match=f"1 damaged.*{path}"):
        load([memory_results.output], tmp_path / "w.duckdb")
    assert list(tmp_path.glob("*.duckdb")) == []
