"""Loading: once and no more, whole or not at all, and never from a damaged file."""

import re
import shutil
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from run_commands import run, run_in_terminal
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import stored_rows, value, write_small_results

from failmodes.runtime.errors import DamagedShardError, WarehouseError
from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.shards.format import (
    Cell,
    ShardKey,
    content_hash,
    dimension_path,
    read_verified,
    shard_path,
    write_dimension,
    write_shard,
)

FOG = Cell("fog", Decimal("3.000"))


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


def test_every_row_and_footer_is_loaded_as_it_was_written(synthetic: Synthetic, sound_warehouse: Path) -> None:
    cell = ShardKey(synthetic.evaluations["Beta"], FOG)
    with open_warehouse(sound_warehouse) as con:
        for table in schema.FACTS:
            written = read_verified(shard_path(synthetic.output, table, cell))
            where = "where evaluation_id = ? and corruption = 'fog' and severity = 3"
            rows = con.sql(f"select * from {table.name} {where}", params=[cell.evaluation_id]).pl()
            assert rows.select(written.rows.column_names).equals(pl.from_arrow(written.rows))
            shard = f"from shards {where} and table_name = '{table.name}'"
            (row,) = con.sql(shard, params=[cell.evaluation_id]).pl().rows(named=True)
            assert read_verified(synthetic.output / row["path"]) == written
            assert (row["content_hash"], row["row_count"]) == (written.content_hash, written.rows.num_rows)
            assert (row["device"], row["versions"], row["identity_error"]) == ("cpu", '{"python": "3"}', 1e-6)
            assert row["created_utc"].isoformat() + "+00:00" == written.facts["created_at"]
        counts = [con.sql(f"from {table.name}").pl().height for table in schema.FACTS]
        assert (counts, con.sql("from shards").pl().height) == ([52 * 400, 52 * 800], 104)


@pytest.fixture
def few_cells(tmp_path: Path) -> Synthetic:
    """Results of two corruptions at severities 3 and 5."""
    options = {"corruptions": ("fog", "contrast"), "severities": (3, 5)}
    return write_synthetic(tmp_path / "few", images=40, models=("Alpha",), **options)


def test_only_new_shards_are_added_and_changed_ones_replaced(few_cells: Synthetic, tmp_path: Path) -> None:
    path, evaluation_id = tmp_path / "w.duckdb", few_cells.evaluations["Alpha"]
    late, changed = ShardKey(evaluation_id, Cell("fog", Decimal("5.000"))), ShardKey(evaluation_id, FOG)
    for table in schema.FACTS:
        shard_path(few_cells.output, table, late).rename(tmp_path / table.name)
    assert load([few_cells.output], path).new_shards == 8
    for table in schema.FACTS:
        (tmp_path / table.name).rename(shard_path(few_cells.output, table, late))
    rows = read_verified(shard_path(few_cells.output, schema.PREDICTION_FACTS, changed)).rows
    place = rows.column_names.index("confidence")
    rows = rows.set_column(place, rows.schema.field(place), pa.array([0.125] * 40, pa.float32()))
    write_shard(few_cells.output, schema.PREDICTION_FACTS, changed, rows)
    report = load([few_cells.output], path)
    assert (report.new_shards, report.replaced_shards, report.kept_shards) == (2, 1, 7)
    assert stored_rows(path, "select count(*) from prediction_facts") == [(5 * 40,)]
    where = "corruption = 'fog' and severity = 3"
    assert stored_rows(path, f"select distinct confidence from prediction_facts where {where}") == [(0.125,)]
    assert stored_rows(path, f"select count(*) from shards where {where}") == [(2,)]
    before = path.stat()
    again = load([few_cells.output], path)
    assert (again.new_shards, again.kept_shards, again.row_count, again.swapped) == (0, 10, 0, False)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.test_all
def test_vanished_shards_stay_until_a_rebuild(results: Synthetic, tmp_path: Path) -> None:
    path, count = tmp_path / "w.duckdb", "select count(*) from prediction_facts where corruption = 'fog'"
    load([results.output], path)
    for table in schema.FACTS:
        shutil.rmtree(shard_path(results.output, table, ShardKey(results.evaluations["Alpha"], FOG)).parents[1])
    assert load([results.output], path).swapped is False
    assert value(path, count) == 5 * 40
    with pytest.raises(WarehouseError, match=r"Alpha \(10 shards\).*--prune"):
        load([results.output], path, rebuild=True)
    assert value(path, count) == 5 * 40
    assert load([results.output], path, rebuild=True, prunes=True).dropped_shards == 10
    assert value(path, count) == 0


@pytest.mark.test_all
def test_a_rebuild_asks_before_it_drops_rows(results: Synthetic, tmp_path: Path) -> None:
    """A folder that holds a seal alone holds no results: nothing is dropped, and all is derived again."""
    folder = tmp_path / "here"
    folder.mkdir()
    load([results.output], folder / "warehouse.duckdb")
    claim = '[[claims]]\nmetric = "accuracy"\ncorruptions = ["fog"]\nrelation = "at_least"\nlimit = 0.1\n'
    (folder / "claims.toml").write_text(claim)
    run("seal", "claims.toml", ".", folder=folder)
    run("load", ".", "--rebuild", folder=folder)
    models = "select string_agg(model_label) from models"
    assert value(folder / "warehouse.duckdb", models) == "Alpha"
    other = write_synthetic(tmp_path / "other", images=20, models=("Other",), corruptions=("fog",)).output
    rebuild = ("load", other, "--into", "warehouse.duckdb", "--rebuild")
    assert "--prune" in run(*rebuild, folder=folder, expect=1).stderr
    refused = run(*rebuild, "--prune", folder=folder, expect=2)
    assert "Alpha: 22 shards" in refused.stdout
    assert "--yes" in refused.stderr
    assert "nothing was dropped" in run_in_terminal(*rebuild, "--prune", folder=folder, answer="n\n")
    assert value(folder / "warehouse.duckdb", models) == "Alpha"
    run(*rebuild, "--prune", "--yes", folder=folder)
    assert value(folder / "warehouse.duckdb", models) == "Other"


@pytest.mark.test_all
def test_two_folders_load_into_one_warehouse_and_a_rebuild_gives_the_same_rows(
    alpha: Synthetic, beta: Path, tmp_path: Path
) -> None:
    path, other = tmp_path / "w.duckdb", tmp_path / "other.duckdb"
    load([alpha.output], path)
    with open_warehouse(path) as reader:
        assert load([beta], path).new_shards == 22
        assert reader.sql("from evaluations").pl().height == 1, "an open reader keeps its file"
    assert value(path, "select count(*) from robustness_by_model") == 2
    assert value(path, "select count(*) from datasets") == 1
    load([beta, alpha.output], other)
    apart = hashes(path)
    assert hashes(other) == apart
    report = load([alpha.output, beta], path, rebuild=True)
    assert (report.new_shards, report.kept_shards, report.dropped_shards) == (44, 0, 0)
    assert hashes(path) == apart


@pytest.mark.test_all
def test_the_later_folder_and_the_later_content_count(few_cells: Synthetic, tmp_path: Path) -> None:
    path, other = tmp_path / "w.duckdb", tmp_path / "other"
    shutil.copytree(few_cells.output, other)
    (model,) = (other / "results" / "models").iterdir()
    row = {**read_verified(model).rows.to_pylist()[0], "model_label": "Renamed"}
    write_dimension(other, schema.MODELS, model.stem, [row])
    exemplars = dimension_path(other, schema.EXEMPLARS, f"{few_cells.evaluations['Alpha']}-fog")
    write_dimension(other, schema.EXEMPLARS, exemplars.stem, read_verified(exemplars).rows.slice(0, 3))
    found = "select model_label, (select count(*) from exemplars) from models"
    load([few_cells.output, other], path)
    assert stored_rows(path, found) == [("Renamed", 3 + 12)]
    assert load([few_cells.output, other], path).swapped is False
    load([few_cells.output], path)
    assert stored_rows(path, found) == [("Alpha", 12 + 12)]


@pytest.mark.test_all
def test_damage_leaves_the_old_warehouse_as_it_was(results: Synthetic, tmp_path: Path) -> None:
    path, cell = tmp_path / "w.duckdb", ShardKey(results.evaluations["Alpha"], FOG)
    shard = shard_path(results.output, schema.PREDICTION_FACTS, cell)
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


def test_what_holds_no_results_is_refused(synthetic: Synthetic, tmp_path: Path) -> None:
    for folder, expected in ((tmp_path, "holds no results"), (synthetic.output / "results", str(synthetic.output))):
        with pytest.raises(WarehouseError, match=re.escape(expected)):
            load([folder], tmp_path / "w.duckdb")
    assert not (tmp_path / "w.duckdb").exists()


@pytest.mark.test_all
def test_loading_from_memory_gives_the_rows_of_the_local_results(local_results, memory_results, tmp_path: Path) -> None:
    local, remote = tmp_path / "local.duckdb", tmp_path / "remote.duckdb"
    load([local_results.output], local)
    report = load([memory_results.output], remote)
    assert (report.new_shards, report.row_count) == (22, 11 * 40 + 11 * 80)
    assert hashes(remote) == hashes(local)
    assert load([memory_results.output], remote).swapped is False
    path = value(remote, "select min(path) from shards where table_name = 'prediction_facts'")
    assert (local_results.output / str(path)).is_file()
