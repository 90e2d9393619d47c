"""Stored measures: what their SQL says of the rows, however these came; and only what changed is computed again."""

import shutil
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from synthetic_results import Synthetic, write_synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.database import load as loading
from failmodes.warehouse.database import stored_measures
from failmodes.warehouse.database.checks import read_checks, run_checks, uniqueness_check
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.relations import definition_hash, measure_definitions
from failmodes.warehouse.measures.tables import MEASURES
from failmodes.warehouse.schema import Table
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard

CORRUPTIONS, SEVERITIES, IMAGES = ("fog", "contrast"), (1, 3), 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Three models over the same images; one has logits that are not finite, and empty maps."""
    folder = tmp_path_factory.mktemp("made")
    found = write_synthetic(
        folder, images=IMAGES, models=("A", "B", "C"), corruptions=CORRUPTIONS, severities=SEVERITIES
    )
    rewrite(folder, ShardKey(found.evaluations["B"], Cell("fog", Decimal("3.000"))), broken=5)
    return found


def rewrite(output: Path, shard: ShardKey, *, broken: int = 0, shift: int = 0, keep: int | None = None) -> None:
    """Change a cell: logits of its first images that are not finite, another prediction, or fewer images."""
    for table in schema.FACTS:
        rows = read_verified(shard_path(output, table, shard)).rows.to_pylist()
        for row in rows:
            if row["image_id"] >= broken and table is schema.PREDICTION_FACTS:
                row["predicted"] = None if row["predicted"] is None else (row["predicted"] + shift) % 4
            elif row["image_id"] < broken and table is schema.PREDICTION_FACTS:
                row.update({n: None for n in row if n not in ("image_id", "label", "rmse", "ssim")}, finite=False)
            elif row["image_id"] < broken:
                row.update({n: None for n in row if n not in ("image_id", "target")}, mass=0.0, empty=True)
        kept = [row for row in rows if keep is None or row["image_id"] < keep]
        write_shard(output, table, shard, read_table(kept, table))


def read_table(rows: list[dict], table: Table) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=table.arrow(without=(*schema.PARTITIONS, schema.PREDICTED_OUTPUT)))


def stored(con: duckdb.DuckDBPyConnection, table: Table) -> pl.DataFrame:
    names = ", ".join(column.name for column in table.columns)
    return con.sql(f"select {names} from warehouse.main.{table.name} order by {', '.join(table.key)}").pl()


def measures_of(warehouse: Path) -> dict[str, pl.DataFrame]:
    with open_warehouse(warehouse) as con:
        return {table.name: stored(con, table) for table in MEASURES}


def assert_same(name: str, found: pl.DataFrame, expected: pl.DataFrame, *, exact: bool = False) -> None:
    try:
        assert_frame_equal(found, expected, check_exact=exact, rel_tol=1e-5, abs_tol=1e-6)
    except AssertionError as error:
        raise AssertionError(f"{name}: {error}") from error


def assert_as_defined(warehouse: Path) -> None:
    """Every stored table is what its SQL gives from the rows."""
    with open_warehouse(warehouse) as con:
        for table in MEASURES:
            names = ", ".join(column.name for column in table.columns)
            defined = con.sql(
                f"select {names} from ({measure_definitions()[table.name]}) order by {', '.join(table.key)}"
            ).pl()
            assert_same(table.name, stored(con, table), defined)


def assert_identical(one: Path, other: Path) -> None:
    found, expected = measures_of(one), measures_of(other)
    for name, rows in expected.items():
        assert_same(name, found[name], rows, exact=True)


def test_each_table_of_measures_has_its_definition() -> None:
    assert {table.name for table in MEASURES} == measure_definitions().keys()


def test_numpy_says_what_the_sql_says(made: Synthetic, tmp_path: Path) -> None:
    report = load([made.output], tmp_path / "w.duckdb")
    assert report.measured_evaluations == 3
    assert_as_defined(tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        assert con.execute("select count(*) from pair_cells").fetchone() == (3 * 5,)
        assert con.execute("select count(*) from cell_measures where non_finite_count = 5").fetchone() == (1,)


@pytest.mark.slow
@pytest.mark.parametrize("keep", [IMAGES - 3, 1])
def test_cells_of_other_images_are_measured_by_the_sql(made: Synthetic, tmp_path: Path, keep: int) -> None:
    output = Path(shutil.copytree(made.output, tmp_path / "out"))
    rewrite(output, ShardKey(made.evaluations["A"], Cell("fog", Decimal("1.000"))), keep=keep)
    load([output], tmp_path / "w.duckdb")
    assert_as_defined(tmp_path / "w.duckdb")


@pytest.mark.slow
def test_models_of_many_classes_are_measured_as_the_sql_says(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "out", images=60, models=("A",), corruptions=("fog",), severities=(1, 3), classes=30)
    load([tmp_path / "out"], tmp_path / "w.duckdb")
    assert_as_defined(tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        found = con.execute("select image_count, reason from temperature_by_severity").fetchall()
    assert found == [(60, None)] * 3


@pytest.mark.slow
@pytest.mark.parametrize("beyond", [None, -0.5, 1.5, 1e30, float("inf"), float("-inf")])
def test_a_confidence_that_is_none_is_loaded_and_found_by_its_check(
    made: Synthetic, tmp_path: Path, beyond: float | None
) -> None:
    output = Path(shutil.copytree(made.output, tmp_path / "out"))
    fog = ShardKey(made.evaluations["A"], Cell("fog", Decimal("1.000")))
    rows = read_verified(shard_path(output, schema.PREDICTION_FACTS, fog)).rows.to_pylist()
    rows[0]["confidence"] = beyond
    write_shard(output, schema.PREDICTION_FACTS, fog, read_table(rows, schema.PREDICTION_FACTS))
    load([output], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        failed = {check.name: check.row_count for check in read_checks(con) if not check.passed}
    assert failed["finite_rows_predict" if beyond is None else "probabilities_in_range"] == 1
    if beyond is None:
        assert_as_defined(tmp_path / "w.duckdb")


@pytest.mark.slow
def test_images_that_repeat_and_a_clean_cell_that_is_missing(made: Synthetic, tmp_path: Path) -> None:
    output = Path(shutil.copytree(made.output, tmp_path / "out"))
    fog = ShardKey(made.evaluations["A"], Cell("fog", Decimal("1.000")))
    for table in schema.FACTS:
        rows = read_verified(shard_path(output, table, fog)).rows.to_pylist()
        write_shard(output, table, fog, read_table([*rows, rows[0]], table))
        shutil.rmtree(shard_path(output, table, ShardKey(made.evaluations["C"], CLEAN_CELL)).parent)
    load([output], tmp_path / "w.duckdb")
    assert_as_defined(tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        repeating = {table.name: con.execute(
            "select evaluation_id, breaking_rows from computed where name = ? and breaking_rows > 0",
            [uniqueness_check(table)],
        ).fetchall() for table in schema.FACTS}  # fmt: skip
        failed = {check.name for check in run_checks(con) if not check.passed}
        assert failed == {check.name for check in read_checks(con) if not check.passed}
    assert repeating == {table.name: [(made.evaluations["A"], 1)] for table in schema.FACTS}
    assert failed >= {uniqueness_check(table) for table in schema.FACTS}


@pytest.mark.slow
def test_unpaired_evaluations_have_no_measures_of_pairs_of_images(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "out", images=IMAGES, models=("A",), corruptions=CORRUPTIONS, paired=False)
    load([tmp_path / "out"], tmp_path / "w.duckdb")
    assert_as_defined(tmp_path / "w.duckdb")
    assert measures_of(tmp_path / "w.duckdb")["image_onsets"].is_empty()


def examples(count: int) -> settings:
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.slow
@examples(3)
@given(st.data())
def test_shards_that_come_in_any_order_or_are_replaced_give_what_a_rebuild_gives(
    made: Synthetic, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Some cells come first, then the rest, in one to three loads; one is replaced; one load is killed."""
    folder = tmp_path_factory.mktemp("any")
    whole, output, warehouse = Path(shutil.copytree(made.output, folder / "whole")), folder / "out", folder / "w.duckdb"
    cells = sorted({path.relative_to(whole / "results" / "prediction_facts") for path in
                    (whole / "results" / "prediction_facts").rglob("*.parquet")})  # fmt: skip
    order = data.draw(st.permutations(cells))
    ends = sorted(data.draw(st.lists(st.integers(1, len(cells) - 1), max_size=2, unique=True)))
    shutil.copytree(whole, output, ignore=shutil.ignore_patterns("prediction_facts", "attention"))
    for start, end in zip([0, *ends], [*ends, len(cells)], strict=True):
        for cell in order[start:end]:
            for table in ("prediction_facts", "attention"):
                target = output / "results" / table / cell
                target.parent.mkdir(parents=True)
                shutil.copyfile(whole / "results" / table / cell, target)
        if data.draw(st.booleans(), label="killed"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loading, "update_measures", killed)
                with pytest.raises(KeyboardInterrupt):
                    load([output], warehouse)
        load([output], warehouse)
    if data.draw(st.booleans(), label="replaced"):
        name = data.draw(st.sampled_from(sorted(made.evaluations)))
        cell = data.draw(st.sampled_from([CLEAN_CELL, Cell("fog", Decimal("1.000"))]))
        rewrite(output, ShardKey(made.evaluations[name], cell), shift=1)
        assert load([output], warehouse).measured_evaluations == 1
    assert load([output], warehouse).measured_evaluations == 0
    load([output], folder / "rebuilt.duckdb", rebuild=True)
    assert_identical(warehouse, folder / "rebuilt.duckdb")
    assert_as_defined(warehouse)


_in_any_order = test_shards_that_come_in_any_order_or_are_replaced_give_what_a_rebuild_gives.hypothesis.inner_test
test_shards_that_come_in_many_more_orders = pytest.mark.corpus(examples(20)(given(st.data())(_in_any_order)))


def killed(*_: object) -> list[str]:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_one_more_model_leaves_the_others_measures_as_they_are(made: Synthetic, tmp_path: Path) -> None:
    whole = Path(shutil.copytree(made.output, tmp_path / "out"))
    kept = tmp_path / "kept"
    for table in ("prediction_facts", "attention"):
        folder = whole / "results" / table / f"evaluation_id={made.evaluations['C']}"
        shutil.move(folder, kept / table)
    load([whole], tmp_path / "w.duckdb")
    for table in ("prediction_facts", "attention"):
        shutil.move(kept / table, whole / "results" / table / f"evaluation_id={made.evaluations['C']}")
    assert load([whole], tmp_path / "w.duckdb").measured_evaluations == 1
    load([whole], tmp_path / "rebuilt.duckdb")
    assert_identical(tmp_path / "w.duckdb", tmp_path / "rebuilt.duckdb")


def hash_before(measure: str) -> str:
    """The hash that another definition of cell_measures had."""
    return "before" if measure == "cell_measures" else definition_hash(measure)


@pytest.mark.slow
def test_another_definition_is_computed_again_at_the_next_load_and_read_from_rows_until_then(
    made: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse = tmp_path / "w.duckdb"
    with monkeypatch.context() as patch:
        patch.setattr(stored_measures, "definition_hash", hash_before)
        load([made.output], warehouse)
    with duckdb.connect(str(warehouse)) as con:
        con.execute("update cell_measures set accuracy = -1")  # as the former definition had it
        con.execute(
            "update cell_transitions set became_incorrect_count = -1"
        )  # nobody has a reason to compute this again
    with open_warehouse(warehouse) as con:
        assert con.execute("select min(accuracy) >= 0 from cell_measures").fetchone() == (True,)
        assert con.execute("select min(accuracy) >= 0 from accuracy_by_severity").fetchone() == (True,)
        assert con.execute("select max(became_incorrect_count) from cell_transitions").fetchone() == (-1,)
    with duckdb.connect(str(warehouse)) as con:
        con.execute("update warehouse_info set views_fingerprint = 'before'")
    assert load([made.output], warehouse).measured_evaluations == 3
    found = measures_of(warehouse)
    assert found["cell_measures"]["accuracy"].min() >= 0
    assert found["cell_transitions"]["became_incorrect_count"].max() == -1
    load([made.output], warehouse, rebuild=True)
    assert_as_defined(warehouse)
