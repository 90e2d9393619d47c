"""Stored metrics equal those of the facts as Polars reads them, in any cells; a load recomputes only what changed."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from rewritten_shards import cell_of, make_non_finite, reply_with
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import change_file, stored_rows

from failmodes.warehouse import schema
from failmodes.warehouse.database import load as loading
from failmodes.warehouse.database import stored_metrics
from failmodes.warehouse.database.checks import read_checks, uniqueness_check
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.stored_metrics import update_metrics
from failmodes.warehouse.database_schema import COMPUTED_TABLES, METRICS
from failmodes.warehouse.metrics.cell_rows import CellRows, ComparedCell, paired_cell
from failmodes.warehouse.metrics.custom import metric
from failmodes.warehouse.metrics.metric import Metric, all_metrics, evaluate
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard

pytestmark = pytest.mark.test_all

IMAGES = 24
FOG = Cell("fog", Decimal("1.000"))
Rows = list[dict[str, Any]]
Point = tuple[str, float]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Three models over the same images; one has logits that are not finite, empty maps, and images without maps."""
    folder = tmp_path_factory.mktemp("models")
    models = write_synthetic(folder, images=IMAGES, models=("A", "B", "C"), corruptions=("fog",), severities=(1, 3))
    rewrite(models, folder, "B", Cell("fog", Decimal("3.000")), broken, broken_map)
    return models


@pytest.fixture
def output(models: Synthetic, tmp_path: Path) -> Path:
    """A copy of the record that a test may change."""
    return Path(shutil.copytree(models.output, tmp_path / "out"))


@pytest.fixture(scope="module")
def loaded_file(models: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of the three models (read only: copy it before you change it)."""
    warehouse = tmp_path_factory.mktemp("loaded") / "w.duckdb"
    assert load([models.output], warehouse).measured_evaluations == 3
    return warehouse


@pytest.fixture(scope="module")
def con(loaded_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse(loaded_file) as con:
        yield con


@pytest.fixture
def warehouse(loaded_file: Path, tmp_path: Path) -> Path:
    """A copy of the warehouse that a test may change."""
    return Path(shutil.copyfile(loaded_file, tmp_path / "w.duckdb"))


Change = Callable[[Rows], Rows]


def broken(rows: Rows) -> Rows:
    """The first five images have logits that are not finite."""
    kept = ("image_id", "label", "rmse", "ssim")
    return [row if row["image_id"] > 4 else {name: row[name] for name in kept} | {"finite": False} for row in rows]


def broken_map(rows: Rows) -> Rows:
    """The first five images have empty maps, three others none, and the maps are in another order."""
    empty = {"mass": 0.0, "empty": True}
    changed = [row if row["image_id"] > 4 else {n: row[n] for n in ("image_id", "target", "target_class")} | empty
               for row in rows if row["image_id"] not in (6, 7, 20)]  # fmt: skip
    return changed[::-1]


def shifted(rows: Rows) -> Rows:
    """Another class is predicted of each image."""
    return [row | {"predicted": (row["predicted"] + 1) % 4} if "predicted" in row else row for row in rows]


def rewrite(models: Synthetic, output: Path, model: str, cell: Cell, *changes: Change) -> None:
    """Change the predictions of a cell, and by a second function, else by the same, its maps."""
    shard = ShardKey(models.evaluations[model], cell)
    for table, change in zip(schema.FACTS, (*changes, *changes)[:2], strict=True):
        rows = change(read_verified(shard_path(output, table, shard)).rows.to_pylist())
        columns = table.arrow(without=(*schema.PARTITIONS, schema.PREDICTED_OUTPUT))
        write_shard(output, table, shard, pa.Table.from_pylist(rows, schema=columns))


def read_rows(con: duckdb.DuckDBPyConnection, evaluation_id: str, corruption: str, severity: float) -> CellRows:
    """The facts of a cell with those of its maps and images beside them, by Polars."""

    def facts(table: str) -> pl.DataFrame:
        sql = f"""select * exclude ({", ".join(schema.PARTITIONS)}) from {table}
            where evaluation_id = ? and corruption = ? and severity = ?"""
        return con.sql(sql, params=[evaluation_id, corruption, severity]).pl()

    frame, maps = facts("prediction_facts").sort("image_id"), facts("attention")
    for target in schema.TARGETS:
        of_target = maps.filter(target=target).drop("target").with_columns(has_map=pl.lit(True))
        renamed = of_target.rename({name: f"{target}.{name}" for name in of_target.columns if name != "image_id"})
        frame = frame.join(renamed, on="image_id", how="left")
    areas = con.sql(
        "select image_id, mask_area as 'images.mask_area' from images "
        "inner join evaluations using (dataset_id) where evaluation_id = ?",
        params=[evaluation_id],
    ).pl()
    frame = frame.join(areas, on="image_id", how="left")
    columns = {"logit_classes": frame["logit_classes"].is_not_null().to_numpy()}
    for name, values in ((name, frame[name]) for name in frame.columns if name != "logit_classes"):
        if name.endswith(("has_map", "empty")):
            columns[name] = values.fill_null(False).to_numpy()
        elif values.null_count() == len(values) and name not in ("predicted", "confidence"):
            continue
        elif isinstance(values.dtype, pl.List):
            width = values.list.len().max()
            columns[name] = np.array([row or [np.nan] * width for row in values.to_list()])
        else:
            columns[name] = values.fill_null(-1).to_numpy() if values.dtype.is_integer() else (
                values.cast(pl.Float64).fill_null(np.nan).to_numpy()
            )  # fmt: skip
    if not frame["predicted.has_map"].any() and not frame["clean.has_map"].any():
        columns = {name: values for name, values in columns.items() if "." not in name or name.startswith("images")}
    return CellRows.of(columns, severity, corruption)


def points_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> list[Point]:
    return con.execute(
        "select distinct corruption, severity::double from prediction_facts where evaluation_id = ? order by 1, 2",
        [evaluation_id],
    ).fetchall()


def stored_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[tuple[Any, ...], tuple[Any, ...]]:
    """Value, n, low and high by corruption, severity, metric and score."""
    rows = con.execute(
        "select corruption, severity::double, metric, score, value, n, low, high from cell_metrics "
        "where evaluation_id = ?", [evaluation_id]
    ).fetchall()  # fmt: skip
    return {row[:4]: row[4:] for row in rows}


def assert_metrics_of_facts(warehouse: Path, evaluation_id: str) -> None:
    """Each metric is stored for the cells where it is defined, with its value of the facts."""
    with open_warehouse(warehouse) as con:
        cells = {point: read_rows(con, evaluation_id, *point) for point in points_of(con, evaluation_id)}
        found = {key: row[:2] for key, row in stored_of(con, evaluation_id).items()}
        ((paired,),) = con.execute("select paired from evaluations where evaluation_id = ?", [evaluation_id]).fetchall()
    clean, expected = cells.get(("none", 0.0)), {}
    for (corruption, severity), rows in cells.items():
        before = [cells[c, s] for c, s in cells if c == corruption and 0 < s < severity]
        pairs = paired_cell([clean, *before, rows]) if clean and paired and severity else ComparedCell(rows)
        for name, definition in all_metrics().items():
            for score in definition.scores or (None,):
                value = evaluate(
                    definition, pairs if definition.needs_pairs else ComparedCell(rows, reference=clean), score
                )
                if not isinstance(value, str):
                    expected[corruption, severity, name, score] = (
                        pytest.approx(value.value, rel=1e-5, abs=1e-6),
                        value.n,
                    )
    assert found == expected


@pytest.mark.parametrize("model", ["A", "B"])
def test_metrics_equal_those_of_the_facts(models: Synthetic, loaded_file: Path, model: str) -> None:
    assert_metrics_of_facts(loaded_file, models.evaluations[model])


def nothing_is_finite(models: Synthetic, model: str) -> None:
    make_non_finite(models, cell_of(models, model, "fog", 1))
    make_non_finite(models, cell_of(models, model, "fog", 3), range(1, IMAGES))


def one_class_alone(models: Synthetic, model: str) -> None:
    clean = read_verified(shard_path(models.output, schema.PREDICTION_FACTS, cell_of(models, model))).rows["label"]
    for severity, shift in ((1, 0), (3, 1)):
        reply_with(
            models, cell_of(models, model, "fog", severity), [(label + shift) % 4 for label in clean.to_pylist()]
        )


def without_shards(*tables: schema.Table, cells: Sequence[Cell]) -> Callable[[Synthetic, str], None]:
    def remove(models: Synthetic, model: str) -> None:
        for table in tables:
            for cell in cells:
                shard_path(models.output, table, ShardKey(models.evaluations[model], cell)).unlink()

    return remove


def of_images(change: Change) -> Callable[[Synthetic, str], None]:
    return lambda models, model: rewrite(models, models.output, model, FOG, change)


UNUSUAL_CELLS: dict[str, Callable[[Synthetic, str], None]] = {
    "fewer images": of_images(lambda rows: [row for row in rows if row["image_id"] < IMAGES - 3]),
    "one image": of_images(lambda rows: [row for row in rows if row["image_id"] == 5]),
    "other images": of_images(lambda rows: [row | {"image_id": row["image_id"] + 1000} for row in rows]),
    "no clean cell": without_shards(*schema.FACTS, cells=[CLEAN_CELL]),
    "maps without predictions": without_shards(schema.PREDICTION_FACTS, cells=[FOG]),
    "no maps": without_shards(schema.ATTENTION, cells=[CLEAN_CELL, FOG, Cell("fog", Decimal("3.000"))]),
    "no finite logits": nothing_is_finite,
    "one class alone": one_class_alone,
}
UNUSUAL_EVALUATIONS = {"unpaired": {"paired": False, "images": 40}, "many classes": {"classes": 30, "images": 60}}


@pytest.fixture(scope="module")
def unusual(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A warehouse where every evaluation is unusual in its own way, and their identities."""
    folder, options = tmp_path_factory.mktemp("unusual"), {"corruptions": ("fog",), "severities": (1, 3)}
    cells = write_synthetic(folder / "cells", images=IMAGES, models=tuple(UNUSUAL_CELLS), **options)
    for name, change in UNUSUAL_CELLS.items():
        change(cells, name)
    identities = cells.evaluations
    for name, own in UNUSUAL_EVALUATIONS.items():
        identities |= write_synthetic(folder / name, models=(name,), **options, **own).evaluations
    load([folder / name for name in ("cells", *UNUSUAL_EVALUATIONS)], folder / "w.duckdb")
    return folder / "w.duckdb", identities


@pytest.mark.parametrize("name", [*UNUSUAL_CELLS, *UNUSUAL_EVALUATIONS])
def test_metrics_of_what_is_unusual_equal_those_of_the_facts(unusual: tuple[Path, dict[str, str]], name: str) -> None:
    warehouse, identities = unusual
    assert_metrics_of_facts(warehouse, identities[name])


def test_onsets_are_of_paired_images(unusual: tuple[Path, dict[str, str]]) -> None:
    warehouse, identities = unusual
    of_images = dict(stored_rows(warehouse, "select evaluation_id, count(*) from image_onsets group by all"))
    assert identities["unpaired"] not in of_images
    assert of_images[identities["many classes"]] == 60


def test_values_are_inside_their_intervals(models: Synthetic, con: duckdb.DuckDBPyConnection) -> None:
    without = {name for name, metric in all_metrics().items() if not metric.interval.is_stored}
    for (_, _, name, _), (value, _, low, high) in stored_of(con, models.evaluations["B"]).items():
        assert (low is None) == (high is None)
        assert low is None or (name not in without and low - 1e-6 <= value <= high + 1e-6), name


def test_shares_have_the_exact_interval(models: Synthetic, con: duckdb.DuckDBPyConnection) -> None:
    names = ("accuracy", "changed_share", "non_finite_share")
    shares = [row for key, row in stored_of(con, models.evaluations["B"]).items() if key[2] in names]
    assert len(shares) == 3 + 2 + 3
    for value, n, low, high in shares:
        assert (low, high) == pytest.approx(tuple(binomtest(round(value * n), n).proportion_ci(0.95, "exact")))


def test_every_metric_is_listed_with_its_title(con: duckdb.DuckDBPyConnection) -> None:
    listed = dict(con.execute("select metric, title from metrics where defined_by = 'failmodes'").fetchall())
    assert listed == {name: metric.title for name, metric in all_metrics().items()}


def test_pair_counts_equal_the_confusion_matrix(models: Synthetic, con: duckdb.DuckDBPyConnection) -> None:
    pairs = con.sql("from warehouse.main.pair_cells").pl()
    assert pairs.height == 3 * 3
    for row in pairs.iter_rows(named=True):
        assert row["evaluation_id_a"] < row["evaluation_id_b"]
        a, b = (read_rows(con, row[f"evaluation_id_{x}"], row["corruption"], row["severity"]) for x in "ab")
        table = confusion_matrix(a["correct"], b["correct"], labels=[True, False]).ravel()
        counts = [f"{name}_count" for name in ("both_correct", "only_a_correct", "only_b_correct", "both_incorrect")]
        assert [row[name] for name in counts] == table.tolist()
        agree = (a["predicted"] == b["predicted"]) & (a["predicted"] >= 0)
        assert (row["agree_count"], row["image_count"]) == (agree.sum(), IMAGES)


def computed_of(warehouse: Path) -> dict[str, pl.DataFrame]:
    with open_warehouse(warehouse) as con:
        return {
            table.name: con.sql(
                f"select {', '.join(column.name for column in table.columns)} from warehouse.main.{table.name} "
                f"order by {', '.join(table.key)}"
            ).pl() for table in (*COMPUTED_TABLES, METRICS)
        }  # fmt: skip


def assert_as_rebuilt(output: Path, warehouse: Path, metrics: list[Metric] | None = None) -> None:
    rebuilt = warehouse.with_name("rebuilt.duckdb")
    load([output], rebuilt, rebuild=True, metrics=metrics)
    found = computed_of(warehouse)
    for name, rows in computed_of(rebuilt).items():
        assert_frame_equal(found[name], rows, check_exact=True)


def mark_rows(warehouse: Path) -> None:
    """Mark every stored row, so that recomputed ones differ."""
    change_file(warehouse, "update cell_metrics set n = -1; update pair_cells set image_count = -1")


def kept_evaluations(warehouse: Path) -> tuple[set[str], int]:
    """Evaluations whose metrics are still those that were marked, and how many rows of pairs are."""
    with open_warehouse(warehouse) as con:
        ids = con.execute("select distinct evaluation_id from cell_metrics where n = -1").fetchall()
        ((pairs,),) = con.execute("select count(*) from pair_cells where image_count = -1").fetchall()
    return {evaluation_id for (evaluation_id,) in ids}, pairs


def test_load_without_changes_computes_nothing(output: Path, warehouse: Path) -> None:
    report = load([output], warehouse)
    assert (report.measured_evaluations, report.swapped) == (0, False)


def test_changed_shard_recomputes_its_evaluation_and_pairs(models: Synthetic, output: Path, warehouse: Path) -> None:
    """An image that the shard has twice counts twice, and fails the check of uniqueness."""
    mark_rows(warehouse)
    rewrite(models, output, "A", FOG, lambda rows: [*rows, rows[0]])
    assert load([output], warehouse).measured_evaluations == 1
    assert kept_evaluations(warehouse) == ({models.evaluations["B"], models.evaluations["C"]}, 3)  # pairs of these two
    with open_warehouse(warehouse) as con:
        failed = {check.name: check.row_count for check in read_checks(con) if not check.passed}
        rows = stored_of(con, models.evaluations["A"])
    assert failed.items() >= {uniqueness_check(table): 1 for table in schema.FACTS}.items()
    assert [rows["fog", 1.0, name, None][1] for name in ("accuracy", "changed_share")] == [IMAGES + 1, IMAGES]


def test_changed_shards_and_stale_input_hashes_give_the_tables_of_a_rebuild(
    models: Synthetic, output: Path, warehouse: Path
) -> None:
    rewrite(models, output, "A", FOG, shifted)
    mark_rows(warehouse)
    change_file(
        warehouse, "update computed set input_hash = 'before'", "update warehouse_info set views_fingerprint = 'before'"
    )
    load([output], warehouse)
    assert_as_rebuilt(output, warehouse)


def test_other_definitions_recompute_every_evaluation(
    models: Synthetic, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark_rows(warehouse)
    monkeypatch.setattr(stored_metrics, "definitions_hash", lambda: "another")
    with duckdb.connect(str(warehouse)) as con:
        assert update_metrics(con) == sorted(models.evaluations.values())
    assert kept_evaluations(warehouse) == (set(), 0)


def share_of(wanted: int, name: str = "mine") -> Metric:
    """A metric of a user: the share of images that are predicted as one class."""

    def share(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
        return preds == wanted

    return metric(share, name=name, range=(0, 1))


def holds_shares(warehouse: Path, wanted: int | None, name: str = "mine") -> bool:
    """Whether every cell has what `share_of` gives, by SQL of the facts; of None whether no cell has a value."""
    with open_warehouse(warehouse) as con:
        keys = "evaluation_id, corruption, severity"
        rows = con.sql(f"select {keys}, value from cell_metrics where metric = ? order by all", params=[name]).pl()
        shares = f"select {keys}, avg((predicted = ?)::int) as value from prediction_facts group by all order by all"
        expected = con.sql(shares, params=[wanted]).pl()
        listed = con.execute("select count(*) from metrics where metric = ? and defined_by = 'study'", [name])
        assert listed.fetchall() == [(int(wanted is not None),)]
    if wanted is None:
        return rows.is_empty()
    assert_frame_equal(rows, expected)
    return True


def test_custom_metric_is_added_and_kept(output: Path, warehouse: Path) -> None:
    report = load([output], warehouse, metrics=[share_of(1)])
    assert (report.swapped, report.measured_evaluations) == (True, 3)
    assert not load([output], warehouse).swapped, "a load without metrics keeps them"
    assert holds_shares(warehouse, 1)


def test_custom_metrics_are_changed_and_removed(output: Path, warehouse: Path) -> None:
    load([output], warehouse, metrics=[share_of(1)])
    mark_rows(warehouse)
    assert load([output], warehouse, metrics=[share_of(2), share_of(1, "other")]).swapped
    assert holds_shares(warehouse, 2)
    assert load([output], warehouse, metrics=[share_of(1, "other")]).swapped
    assert holds_shares(warehouse, None)
    assert holds_shares(warehouse, 1, "other")
    assert len(kept_evaluations(warehouse)[0]) == 3, "metrics of the package are not recomputed"
    assert load([output], warehouse, metrics=[]).swapped
    assert holds_shares(warehouse, None, "other")


def test_custom_metric_of_a_changed_evaluation_is_dropped_until_it_is_given_again(
    models: Synthetic, output: Path, warehouse: Path
) -> None:
    load([output], warehouse, metrics=[share_of(1)])
    rewrite(models, output, "A", FOG, shifted)
    load([output], warehouse)
    with open_warehouse(warehouse) as con:
        kept = con.execute("select distinct evaluation_id from cell_metrics where metric = 'mine'").fetchall()
    assert {evaluation_id for (evaluation_id,) in kept} == {models.evaluations["B"], models.evaluations["C"]}
    assert load([output], warehouse, metrics=[share_of(1)]).swapped
    assert holds_shares(warehouse, 1)


def killed(*_: object) -> list[str]:
    raise KeyboardInterrupt


def examples(count: int) -> settings:
    return settings(max_examples=count, suppress_health_check=[HealthCheck.function_scoped_fixture])


@examples(3)
@given(st.data())
def test_shards_in_any_order_give_the_tables_of_a_rebuild(
    models: Synthetic, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Some cells come first, then the rest, in one to three loads; one is replaced; one load is killed."""
    folder, metrics = tmp_path_factory.mktemp("any"), [share_of(1)]
    output, warehouse = folder / "out", folder / "w.duckdb"
    tables = [models.output / "results" / table.name for table in schema.FACTS]
    order = data.draw(st.permutations(sorted({path.relative_to(tables[0]) for path in tables[0].rglob("*.parquet")})))
    ends = sorted(data.draw(st.lists(st.integers(1, len(order) - 1), max_size=2, unique=True)))
    shutil.copytree(models.output, output, ignore=shutil.ignore_patterns(*(table.name for table in schema.FACTS)))
    for start, end in zip([0, *ends], [*ends, len(order)], strict=True):
        for source in (table / cell for cell in order[start:end] for table in tables):
            target = output / source.relative_to(models.output)
            target.parent.mkdir(parents=True)
            shutil.copyfile(source, target)
        if data.draw(st.booleans(), label="killed"):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(loading, "update_metrics", killed)
                with pytest.raises(KeyboardInterrupt):
                    load([output], warehouse, metrics=metrics)
        load([output], warehouse, metrics=metrics)
    if data.draw(st.booleans(), label="replaced"):
        model = data.draw(st.sampled_from(sorted(models.evaluations)))
        rewrite(models, output, model, data.draw(st.sampled_from([CLEAN_CELL, FOG])), shifted)
        assert load([output], warehouse, metrics=metrics).measured_evaluations == 1
    assert load([output], warehouse, metrics=metrics).measured_evaluations == 0
    assert_as_rebuilt(output, warehouse, metrics)


_in_any_order = test_shards_in_any_order_give_the_tables_of_a_rebuild.hypothesis.inner_test
test_shards_in_more_orders = pytest.mark.nightly(examples(20)(given(st.data())(_in_any_order)))
