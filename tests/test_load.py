"""Loading: once and no more, whole or not at all, and never from a damaged file."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest

from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.updates import writer_lock
from failmodes.warehouse.errors import DamagedShardError, WarehouseError
from failmodes.warehouse.hashing import content_hash
from failmodes.warehouse.shards.format import (
    ShardKey,
    dimension_path,
    read_verified,
    shard_path,
    write_dimension,
    write_shard,
)
from tests.synthetic_record import Synthetic, write_synthetic

FOG = Decimal("3.000")


def _write_small(folder: Path, model: str) -> Synthetic:
    """A record of 11 cells (2 corruptions) of 40 images."""
    return write_synthetic(folder, images=40, models=(model,), corruptions=("fog", "contrast"))


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A small record of one model; read only."""
    return _write_small(tmp_path_factory.mktemp("alpha"), "Alpha")


@pytest.fixture(scope="module")
def beta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The record of another model on the same data; read only."""
    return _write_small(tmp_path_factory.mktemp("beta"), "Beta").output


@pytest.fixture
def record(alpha: Synthetic, tmp_path: Path) -> Synthetic:
    """A copy of `alpha` that a test may change."""
    return alpha._replace(output=Path(shutil.copytree(alpha.output, tmp_path / "output")))


@pytest.fixture(scope="module")
def loaded(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loaded warehouse; read only."""
    path = tmp_path_factory.mktemp("loaded") / "warehouse.duckdb"
    load([synthetic.output], path)
    return path


def value(path: Path, sql: str) -> object:
    with open_warehouse(path) as con:
        return con.sql(sql).pl().item()


def hashes(path: Path) -> dict[str, str]:
    """Content hash of every table by key, whatever the order of rows in the file."""
    with open_warehouse(path) as con:
        tables = (*schema.FACTS, *schema.DIMENSIONS)
        return {t.name: content_hash(con.sql(f"from {t.name} order by {', '.join(t.key)}").to_arrow_table())
                for t in tables}  # fmt: skip


def test_every_row_is_loaded_as_it_was_written(synthetic: Synthetic, loaded: Path) -> None:
    cell = ShardKey(synthetic.evaluations["Beta"], "fog", FOG)
    with open_warehouse(loaded) as con:
        for table in schema.FACTS:
            written = pl.from_arrow(read_verified(shard_path(synthetic.output, table, cell)).rows)
            query = f"select * from {table.name} where evaluation_id = ? and corruption = 'fog' and severity = 3"
            rows = con.sql(query, params=[cell.evaluation_id]).pl()
            assert rows.select(written.columns).equals(written)
        assert con.sql("select count(*) from predictions").pl().item() == 52 * 400
        assert con.sql("select count(*) from attention").pl().item() == 52 * 800


def test_shards_carry_the_facts_of_their_footers(synthetic: Synthetic, loaded: Path) -> None:
    with open_warehouse(loaded) as con:
        shards = con.sql("from shards").pl()
    row = shards.filter(table_name="predictions", corruption="fog", severity=FOG).row(0, named=True)
    stored = read_verified(synthetic.output / row["path"])
    assert len(shards) == 104
    assert row["content_hash"] == stored.content_hash
    assert (row["row_count"], row["device"], row["versions"]) == (400, "cpu", '{"python": "3"}')
    assert row["identity_error"] == pytest.approx(1e-6)
    assert row["created_at"].isoformat() == stored.facts["created_at"]


def test_loading_twice_changes_nothing(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    first = load([record.output], path)
    before = path.stat()
    second = load([record.output], path)
    assert (first.new_shards, first.row_count, first.swapped) == (22, 11 * 40 + 11 * 80, True)
    assert (second.new_shards, second.kept_shards, second.row_count, second.swapped) == (0, 22, 0, False)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_only_new_shards_are_added_and_changed_ones_replaced(record: Synthetic, tmp_path: Path) -> None:
    path, evaluation_id = tmp_path / "w.duckdb", record.evaluations["Alpha"]
    late, changed = ShardKey(evaluation_id, "fog", Decimal("5.000")), ShardKey(evaluation_id, "fog", FOG)
    for table in schema.FACTS:
        shard_path(record.output, table, late).rename(tmp_path / table.name)
    assert load([record.output], path).new_shards == 20
    for table in schema.FACTS:
        (tmp_path / table.name).rename(shard_path(record.output, table, late))
    rows = read_verified(shard_path(record.output, schema.PREDICTIONS, changed)).rows
    confidence = rows.column_names.index("confidence")
    rows = rows.set_column(confidence, rows.schema.field("confidence"), pa.array([0.125] * 40, pa.float32()))
    write_shard(record.output, schema.PREDICTIONS, changed, rows)
    report = load([record.output], path)
    assert (report.new_shards, report.replaced_shards, report.kept_shards) == (2, 1, 19)
    assert value(path, "select count(*) from predictions") == 11 * 40
    where = "corruption = 'fog' and severity = 3"
    assert value(path, f"select distinct confidence from predictions where {where}") == 0.125
    assert value(path, f"select count(*) from shards where {where}") == 2


def test_attention_without_its_predictions_is_not_loaded(record: Synthetic, tmp_path: Path) -> None:
    cell = ShardKey(record.evaluations["Alpha"], "fog", FOG)
    shard_path(record.output, schema.PREDICTIONS, cell).unlink()  # killed between the two: the cell is not committed
    assert load([record.output], tmp_path / "w.duckdb").new_shards == 20


def test_vanished_shards_stay_until_a_rebuild(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([record.output], path)
    for table in schema.FACTS:
        shutil.rmtree(shard_path(record.output, table, ShardKey(record.evaluations["Alpha"], "fog", FOG)).parents[1])
    assert load([record.output], path).swapped is False
    assert value(path, "select count(*) from predictions where corruption = 'fog'") == 5 * 40
    assert load([record.output], path, rebuild=True).dropped_shards == 10
    assert value(path, "select count(*) from predictions where corruption = 'fog'") == 0


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


def test_later_folder_and_later_content_win(record: Synthetic, tmp_path: Path) -> None:
    path, other = tmp_path / "w.duckdb", tmp_path / "other"
    shutil.copytree(record.output, other)
    model = next((other / "record" / "models").iterdir())
    row = {**read_verified(model).rows.to_pylist()[0], "model_label": "Renamed"}
    write_dimension(other, schema.MODELS, model.stem, [row])
    load([record.output, other], path)
    assert value(path, "select model_label from models") == "Renamed"
    assert load([record.output, other], path).swapped is False
    load([record.output], path)
    assert value(path, "select model_label from models") == "Alpha"


def test_exemplars_chosen_anew_replace_their_set(record: Synthetic, tmp_path: Path) -> None:
    path, key = tmp_path / "w.duckdb", f"{record.evaluations['Alpha']}-fog"
    load([record.output], path)
    assert value(path, "select count(*) from exemplars where corruption = 'fog'") == 24
    rows = read_verified(dimension_path(record.output, schema.EXEMPLARS, key)).rows
    write_dimension(record.output, schema.EXEMPLARS, key, rows.slice(0, 6))
    load([record.output], path)
    assert value(path, "select count(*) from exemplars where corruption = 'fog'") == 6
    assert value(path, "select count(*) from exemplars") == 6 + 24


def test_every_damaged_file_is_named_and_nothing_is_loaded(record: Synthetic, tmp_path: Path) -> None:
    path, evaluation_id = tmp_path / "w.duckdb", record.evaluations["Alpha"]
    page, footer = (
        shard_path(record.output, schema.PREDICTIONS, ShardKey(evaluation_id, c, FOG)) for c in ("fog", "contrast")
    )
    model = next((record.output / "record" / "models").iterdir())
    for damaged in (page, footer, model):
        content = bytearray(damaged.read_bytes())
        content[len(content) // 3 if damaged is page else -6] ^= 0x55
        damaged.write_bytes(bytes(content))
    with pytest.raises(DamagedShardError, match="--redo-damaged") as caught:
        load([record.output], path)
    for damaged in (page, footer, model):
        assert str(damaged) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not path.exists()
    assert not list(tmp_path.glob(".tmp-*"))


def test_damage_leaves_the_old_warehouse_as_it_was(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    late = ShardKey(record.evaluations["Alpha"], "fog", FOG)
    shard = shard_path(record.output, schema.PREDICTIONS, late)
    content = shard.read_bytes()
    shard.unlink()
    load([record.output], path)
    before = path.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(DamagedShardError, match="1 damaged"):
        load([record.output], path)
    assert path.read_bytes() == before
    shard.write_bytes(content)
    assert load([record.output], path).new_shards == 2


def test_null_in_a_column_that_may_not_be_null_is_damage(record: Synthetic, tmp_path: Path) -> None:
    cell = ShardKey(record.evaluations["Alpha"], "fog", FOG)
    rows = read_verified(shard_path(record.output, schema.PREDICTIONS, cell)).rows
    rows = rows.set_column(rows.column_names.index("label"), "label", pa.nulls(40, pa.int16()))
    loose = schema.PREDICTIONS._replace(columns=tuple(c._replace(nullable=True) for c in schema.PREDICTIONS.columns))
    write_shard(record.output, loose, cell, rows)
    with pytest.raises(DamagedShardError, match=r"predictions\.label may not be null"):
        load([record.output], tmp_path / "w.duckdb")


def test_open_reader_keeps_its_file_during_a_load(alpha: Synthetic, beta: Path, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([alpha.output], path)
    with open_warehouse(path) as reader:
        assert load([beta], path).new_shards == 22
        assert reader.sql("select count(*) from evaluations").pl().item() == 1
        with pytest.raises(WarehouseError, match="close that"):  # never the former content unawares
            open_warehouse(path)
    assert value(path, "select count(*) from evaluations") == 2


def test_a_second_load_at_the_same_time_is_refused(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    with writer_lock(path), pytest.raises(WarehouseError, match=f"being loaded by process {os.getpid()}"):
        load([record.output], path)
    assert load([record.output], path).swapped


def test_a_database_that_others_write_to_is_refused(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([record.output], path)
    program = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with _python(program) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(WarehouseError, match="open for writing in another program"):
            load([record.output], path)
        with pytest.raises(WarehouseError, match="open for writing in another program"):
            open_warehouse(path)
        writer.kill()
    path.with_name("w.duckdb.wal").write_bytes(b"left behind")
    with pytest.raises(WarehouseError, match="left changes"):
        load([record.output], path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"no database"), "cannot be opened"),
        (lambda path: duckdb.connect(str(path)).close(), "no warehouse of failmodes"),
        (lambda path: path.mkdir(), "there is no warehouse"),
    ],
    ids=["garbage", "another database", "folder"],
)
@pytest.mark.parametrize("rebuild", [False, True])
def test_what_is_no_warehouse_is_never_overwritten(record, tmp_path, make, message: str, rebuild: bool) -> None:
    path = tmp_path / "w.duckdb"
    make(path)
    with pytest.raises(WarehouseError, match=message):
        load([record.output], path, rebuild=rebuild)


def test_another_schema_version_asks_for_a_rebuild(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([record.output], path)
    with duckdb.connect(str(path)) as con:
        con.execute("update warehouse_info set schema_version = '7.3'")
        con.execute("alter table shards drop column content_hash")
    for attempt in (lambda: load([record.output], path), lambda: open_warehouse(path)):
        with pytest.raises(WarehouseError, match=r"schema version 7\.3, this failmodes reads 1\.x.*--rebuild"):
            attempt()
    assert load([record.output], path, rebuild=True).new_shards == 22
    assert value(path, "select schema_version from warehouse_info") == schema.SCHEMA_VERSION


def test_a_record_of_another_schema_version_is_refused(record: Synthetic, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("failmodes.warehouse.shards.format.SCHEMA_VERSION", "2.0")
    with pytest.raises(WarehouseError, match=r"rows\.parquet has schema version 1\.1, this failmodes reads 2\.x"):
        load([record.output], tmp_path / "w.duckdb")


def test_a_column_that_an_older_minor_version_lacks_becomes_null(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([record.output], path)
    with duckdb.connect(str(path)) as con:
        con.execute("drop view confident_failures; drop view outcomes")
        con.execute("alter table predictions drop column ssim")
        con.execute("update warehouse_info set views_fingerprint = 'older'")
    assert load([record.output], path).swapped
    assert value(path, "select count(*) from outcomes where ssim is null") == 11 * 40


def test_changed_views_are_installed_without_new_shards(record: Synthetic, tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    load([record.output], path)
    with duckdb.connect(str(path)) as con:
        con.execute("create or replace view hardest_images as select 1 as nothing")
        con.execute("update warehouse_info set views_fingerprint = 'older'")
    assert load([record.output], path).swapped
    assert value(path, "select count(*) from hardest_images") == 40
    assert load([record.output], path).swapped is False


def test_a_folder_without_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="holds no record"):
        load([tmp_path], tmp_path / "w.duckdb")
    assert not (tmp_path / "w.duckdb").exists()


_LOAD = (
    "from pathlib import Path; from failmodes.warehouse.database.load import load; print('go', flush=True); "
    "load([Path({0!r})], Path({1!r}))"
)


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
    with _python(program) as process:
        output, errors = process.communicate(timeout=60)
    assert f"cannot write {path}" in output, errors
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 6))])
def test_killed_load_leaves_a_whole_database(alpha: Synthetic, beta: Path, tmp_path: Path, seed: int) -> None:
    path, rng = tmp_path / "w.duckdb", random.Random(seed)
    load([alpha.output], path)
    before = hashes(path)
    for _ in range(3):
        with _python(_LOAD.format(str(beta), str(path))) as process:
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


@contextmanager
def _python(program: str) -> Iterator[subprocess.Popen[str]]:
    """A Python of its own that runs `program` from the root of the project; killed at the end."""
    root = Path(__file__).parent.parent
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=root, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
