"""The views: each against an independent computation, what unpaired and broken rows do to them, and their form."""

import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from synthetic_results import write_synthetic
from synthetic_shifts import write_shift
from view_references import COMPARISONS

from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.sql import CHECKS, MARTS, QUERIES, STAGING, first_comment, read_sql
from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.stored_metrics import set_aim
from failmodes.warehouse.database.updates import changed_database
from failmodes.warehouse.database.views import view_definitions
from failmodes.warehouse.metrics.abstention import Aim
from failmodes.warehouse.shards.format import Cell, ShardKey, read_verified, shard_path, write_shard

EXTRA = "spatter"  # none of the 15 headline corruptions

# Building blocks of the views above them, which the comparisons of those cover.
INNER_VIEWS = {"curve_points", "curve_metrics", "target_metrics", "shared_severities", "alexnet_errors"}

ALEXNET = np.array([  # Hendrycks & Dietterich 2019: errors in the published order, means over the severities
    0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360, 0.866816, 0.826572, 0.819324, 0.564592,
    0.853204, 0.646056, 0.717840, 0.606500,
])  # fmt: skip


def test_every_view_has_a_comparison() -> None:
    assert COMPARISONS.keys() == view_definitions().keys() - INNER_VIEWS


@pytest.fixture(scope="module")
def rough_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with empty maps, logits that are not finite, a dense severity, an extra corruption, and no pairs."""
    folder = tmp_path_factory.mktemp("rough")
    paired, unpaired = folder / "paired", folder / "unpaired"
    made = write_synthetic(
        paired, images=60, models=("Rough", "Smooth"), corruptions=("fog", "contrast", EXTRA), severities=(1, 2, 5)
    )
    write_synthetic(
        unpaired, images=56, models=("Loner",), corruptions=("fog", "contrast"), severities=(2, 5), paired=False
    )
    write_shift(paired, "Sketches", {"Rough": 40, "Smooth": 0}, images=50, clean=made.evaluations)
    write_shift(paired, "Hard", {"Rough": 9}, images=30, clean_correct={"Rough": 20}, clean_images=20, classes=2)
    evaluation_id = made.evaluations["Rough"]
    foggy = ShardKey(evaluation_id, Cell("fog", Decimal("2.000")))
    _rewrite(paired, foggy, ShardKey(evaluation_id, Cell("fog", Decimal("2.500"))))
    _rewrite(paired, foggy, foggy, broken=7)
    load([paired, unpaired], folder / "warehouse.duckdb")
    with changed_database(folder / "warehouse.duckdb") as con:
        for (key,) in con.sql("select evaluation_id from thresholds").fetchall():
            set_aim(con, key, Aim("confidence", "coverage", 0.5))
    return folder / "warehouse.duckdb"


@pytest.fixture(scope="module")
def rough(rough_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_warehouse(rough_file) as con:
        yield con


@pytest.fixture
def changed(rough_file: Path, tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A copy that a test may change."""
    with duckdb.connect(str(shutil.copy(rough_file, tmp_path / "w.duckdb"))) as con:
        yield con


def _rewrite(output: Path, source: ShardKey, target: ShardKey, broken: int = 0) -> None:
    """Copy a cell; its first `broken` images get logits that are not finite and empty maps, the next are sure."""
    kept = {schema.PREDICTION_FACTS: ("image_id", "label", "rmse", "ssim"),
            schema.ATTENTION: ("image_id", "target", "target_class", "mask_area")}  # fmt: skip
    of_broken = {schema.PREDICTION_FACTS: {"finite": False}, schema.ATTENTION: {"mass": 0.0, "empty": True}}
    for table, names in kept.items():
        rows = read_verified(shard_path(output, table, source)).rows.to_pylist()
        for row in rows:
            if row["image_id"] < broken:
                row.update({name: None for name in row if name not in names} | of_broken[table])
            elif broken and "confidence" in row:
                is_sure = row["image_id"] < broken + 3  # 1 belongs in the last bin
                row.update(confidence=1.0 if is_sure else row["confidence"], rmse=row["image_id"] / 1000)
        columns = table.arrow(without=schema.PARTITIONS)
        write_shard(output, table, target, pa.Table.from_pylist(rows, schema=columns))


@pytest.mark.parametrize("view", COMPARISONS)
def test_view_agrees_with_an_independent_computation(rough: duckdb.DuckDBPyConnection, view: str) -> None:
    COMPARISONS[view](rough)
    assert rough.sql(f"from {view} limit 1").fetchall()


@pytest.fixture(scope="module")
def real_warehouse(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 real images with both supplied checkpoints, under a corruption of each group and one of the extra ones."""
    pytest.importorskip("torch")
    from tiny_study import run_study

    models = "".join(
        f'[[models]]\nlabel = "{name}"\narchitecture = "{name}"\n'
        f'checkpoint = "{real_data}/checkpoints/{name}-cifar10jpeg.safetensors"\n'
        "normalization = { mean = [0.4914, 0.4822, 0.4465], std = [0.2470, 0.2435, 0.2616] }\n"
        for name in ("resnet18", "densenet121")
    )
    dataset = f'[dataset]\nkind = "cifar10"\npath = "{real_data}/cifar10"\nimages = 20\n'
    names = '"gaussian_noise", "defocus_blur", "fog", "contrast", "spatter"'
    corruptions = f"[corruptions]\nnames = [{names}]\nseverities = [1, 5]\n"
    folder = tmp_path_factory.mktemp("real")
    (folder / "study.toml").write_text(f'name = "real"\noutput = "out"\n{dataset}{corruptions}{models}')
    run_study(folder / "study.toml")
    load([folder / "out"], folder / "warehouse.duckdb")
    return folder / "warehouse.duckdb"


@pytest.mark.test_all
@pytest.mark.parametrize("view", COMPARISONS)
def test_view_agrees_on_a_real_warehouse(real_warehouse: Path, view: str) -> None:
    with open_warehouse(real_warehouse) as con:
        COMPARISONS[view](con)


@pytest.mark.test_all
def test_effective_robustness_is_the_residual_of_a_line_on_logits_of_five_models(tmp_path) -> None:
    """Clean accuracies with logits -2, -1, 0, 1 and 2 (base 2); the line through the shift's is computed by hand."""
    places = dict(zip("ABCDE", range(-2, 3), strict=True))
    clean = {name: round(90 / (1 + 2.0**-place)) for name, place in places.items()}
    shifted = {"A": 10, "B": 18, "C": 30, "D": 45, "E": 89}  # of 90: logits -3, -2, -1, 0 and 6.5
    output = write_synthetic(tmp_path, images=20, models=("A",), corruptions=("fog",), severities=(1,)).output
    write_shift(output, "All", shifted, clean_correct=clean, images=90, clean_images=90)
    load([output], tmp_path / "w.duckdb")
    query = "select effective_robustness from accuracy_by_shift order by model_label"
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        COMPARISONS["accuracy_by_shift"](con)
        found = [value for (value,) in con.sql(query).fetchall()]
        con.execute("delete from shifts where clean_evaluation_id = (select min(clean_evaluation_id) from shifts)")
        of_four = con.sql(query).fetchall()
    logits, of_clean = np.array([-3, -2, -1, 0, np.log2(89)]), np.array([*places.values()])
    slope = (of_clean * logits).sum() / 10  # least squares: the sum of squares of -2 … 2 is 10
    residuals = np.array([*shifted.values()]) / 90 - 1 / (1 + 2.0 ** -(logits.mean() + slope * of_clean))
    assert found == pytest.approx(residuals)
    assert of_four == [(None,)] * 4


def test_unpaired_drift_and_distortion_are_null_with_the_reason(rough: duckdb.DuckDBPyConnection) -> None:
    query = """
        select pairing_note, mean_rmse, mean_centroid_shift, null_mean_cosine, mean_mass
        from evaluation_labels
        join accuracy_by_severity using (evaluation_id)
        join attention_drift using (evaluation_id, corruption, severity)
        where not paired
    """
    rows = rough.sql(query).pl()
    assert rows["pairing_note"].unique().to_list() == ["labels differ"]
    assert rows.select("mean_rmse", "mean_centroid_shift", "null_mean_cosine").null_count().row(0) == (rows.height,) * 3
    assert rows["mean_mass"].null_count() == 0


def test_extra_corruptions_stay_out_of_the_headline_mean(rough: duckdb.DuckDBPyConnection) -> None:
    errors = rough.sql(f"""
        select mean_extra_corruption_error, any_value(mean_error) filter (corruption = '{EXTRA}'),
            mean_corruption_error, avg(mean_error) filter (corruption <> '{EXTRA}')
        from robustness_by_model join corruption_error_by_model using (evaluation_id) group by all
    """).fetchall()
    assert len(errors) == 3  # Loner has no extra corruption
    for extra, alone, mean, of_others in errors:
        assert (extra, mean) == (pytest.approx(alone), pytest.approx(of_others))


def test_training_runs_of_several_seeds_are_one_model(changed: duckdb.DuckDBPyConnection) -> None:
    query = "select distinct model_name, seed_count from accuracy_by_model order by all"
    for seed, label in enumerate(("Rough", "Smooth")):
        recipe = f"SGD, 20 epochs, seed {seed}"
        changed.execute(
            "update models set model_label = ?, training_seed = ?, training_recipe = ? where model_label = ?",
            [f"Fir, seed {seed}", seed, recipe, label],
        )
    COMPARISONS["accuracy_by_model"](changed)
    assert changed.sql(query).fetchall() == [("Fir", 1), ("Fir", 2), ("Loner", 1)]  # fog at 2.5 has one run alone
    again = "training_seed = 0, model_label = 'Fir, seed 0', training_recipe = 'SGD, 20 epochs, seed 0'"
    changed.execute(f"update models set {again} where training_seed = 1")
    COMPARISONS["accuracy_by_model"](changed)  # the same seed twice: nothing says that these are runs of one recipe
    assert changed.sql(query).fetchall() == [("Fir, seed 0", 1), ("Loner", 1)]


@pytest.mark.test_all
def test_mce_is_a_mean_of_ratios_to_another_model_or_to_alexnet_as_published(tmp_path) -> None:
    output = write_synthetic(tmp_path, images=40, models=("A", "B"), corruptions=tuple(CORRUPTIONS)).output
    load([output], tmp_path / "w.duckdb")
    with duckdb.connect(str(tmp_path / "w.duckdb")) as con:
        COMPARISONS["mce_by_baseline"](con)
        assert con.sql("select mce from mce_by_baseline where mce is not null").pl().height == 2
        con.execute("update datasets set class_count = 1000")
        con.execute("update sources set recipe = 'imagenet-c'")
        published = (
            "select model_label, mce, relative_mce, reason from mce_by_baseline where baseline_id is null order by all"
        )
        found = con.sql(published).pl().rows(named=True)
        con.execute("update sources set recipe = null, source_kind = 'published'")
        for row, before in zip(con.sql(published).pl().rows(named=True), found, strict=True):
            assert row == pytest.approx(before)  # DuckDB adds up in another order each time
        errors = con.sql("""
            select model_label, corruption_order, avg(error) as error, min(1 - clean_accuracy) as clean
            from accuracy_by_severity where headline and severity > 0 group by all order by corruption_order
        """).pl()
        con.execute("delete from cell_metrics where corruption not in ('fog', 'none')")
        of_fog = con.sql(published).pl()
    assert len(found) == 2
    for row in found:
        mine = errors.filter(model_label=row["model_label"])
        assert row["mce"] == pytest.approx((mine["error"] / ALEXNET).mean())
        assert row["relative_mce"] == pytest.approx(((mine["error"] - mine["clean"]) / (ALEXNET - 0.4348)).mean())
    assert of_fog["mce"].null_count() == 2
    assert of_fog["reason"].to_list() == ["both have 5 of the 75 cells"] * 2


@pytest.mark.parametrize(
    "sql",
    [
        "select model_label, avg(confidence) from predictions where corruption = 'fog' group by all",
        "select label_name, predicted_name, count(*) from predictions where not correct group by all",
        "select image_id, count(*) from predictions group by all",
    ],
)
def test_aggregates_of_predictions_do_not_join_clean_predictions(con: duckdb.DuckDBPyConnection, sql: str) -> None:
    if not con.sql("from duckdb_optimizers() where name = 'join_elimination'").fetchall():
        pytest.skip("this DuckDB keeps every join")
    plans = [con.execute(f"explain {text}").fetchall()[0][1] for text in (sql, "select clean_correct from predictions")]
    assert ["clean_predictions" in plan for plan in plans] == [False, True]


def test_counts_are_whole_numbers_and_views_are_documented(con: duckdb.DuckDBPyConnection) -> None:
    stored = "select view_name, comment from duckdb_views() where database_name = 'warehouse' and not internal"
    views = con.sql(stored).pl()
    assert set(views["view_name"]) == view_definitions().keys()
    for name, comment in views.iter_rows():
        assert comment.startswith("One row per"), name
        kinds = {row[0]: row[1] for row in con.execute(f"describe {name}").fetchall()}
        assert {kinds[column] for column in kinds if column.endswith("_count")} <= {"BIGINT", "INTEGER"}, name
        assert "HUGEINT" not in kinds.values(), name


@pytest.mark.parametrize("folder", [STAGING, MARTS, CHECKS, QUERIES])
def test_every_file_says_what_it_returns(folder: str) -> None:
    texts = read_sql(folder)
    assert texts
    for name, sql in texts.items():
        assert len(first_comment(sql)) > 20, name
        assert len(duckdb.extract_statements(sql)) == 1, name
