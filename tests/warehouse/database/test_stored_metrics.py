"""Stored metrics: what scikit-learn and NumPy say of the facts; and only what changed is computed again."""

import shutil
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

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
from sklearn.metrics import accuracy_score, average_precision_score, balanced_accuracy_score, log_loss, roc_auc_score
from synthetic_results import Synthetic, write_synthetic

from failmodes.warehouse import schema
from failmodes.warehouse.database import load as loading
from failmodes.warehouse.database import stored_metrics
from failmodes.warehouse.database.checks import read_checks, run_checks, uniqueness_check
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database_schema import COMPUTED_TABLES, METRICS
from failmodes.warehouse.metrics.custom import metric
from failmodes.warehouse.metrics.metric import Metric, all_metrics
from failmodes.warehouse.schema import Table
from failmodes.warehouse.shards.format import CLEAN_CELL, Cell, ShardKey, read_verified, shard_path, write_shard

CORRUPTIONS, SEVERITIES, IMAGES = ("fog", "contrast"), (1, 3), 24
FOG = Cell("fog", Decimal("1.000"))
Rows = list[dict[str, Any]]


class Key(NamedTuple):
    """Of a row of cell_metrics, after the evaluation."""

    corruption: str
    severity: float
    metric: str
    score: str | None = None


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Three models over the same images; one has logits that are not finite, and empty maps."""
    folder = tmp_path_factory.mktemp("made")
    found = write_synthetic(
        folder, images=IMAGES, models=("A", "B", "C"), corruptions=CORRUPTIONS, severities=SEVERITIES
    )
    rewrite(folder, ShardKey(found.evaluations["B"], Cell("fog", Decimal("3.000"))), broken=5)
    return found


@pytest.fixture
def output(made: Synthetic, tmp_path: Path) -> Path:
    """A copy of the record that a test may change."""
    return Path(shutil.copytree(made.output, tmp_path / "out"))


@pytest.fixture(scope="module")
def loaded_file(made: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse of the three models (read only: copy it before you change it)."""
    warehouse = tmp_path_factory.mktemp("loaded") / "w.duckdb"
    assert load([made.output], warehouse).measured_evaluations == 3
    return warehouse


@pytest.fixture
def loaded(loaded_file: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The three models in a warehouse."""
    with open_warehouse(loaded_file) as con:
        yield con


@pytest.fixture
def warehouse(loaded_file: Path, tmp_path: Path) -> Path:
    """A copy of the warehouse that a test may change."""
    return Path(shutil.copyfile(loaded_file, tmp_path / "w.duckdb"))


def rewrite(output: Path, shard: ShardKey, *, broken: int = 0, shift: int = 0, keep: int | None = None) -> None:
    """Change a cell: logits of its first images that are not finite, another prediction, or fewer images."""
    for table in schema.FACTS:
        rows = rows_of(output, table, shard)
        for row in rows:
            if row["image_id"] >= broken and table is schema.PREDICTION_FACTS:
                row["predicted"] = None if row["predicted"] is None else (row["predicted"] + shift) % 4
            elif row["image_id"] < broken and table is schema.PREDICTION_FACTS:
                row.update({n: None for n in row if n not in ("image_id", "label", "rmse", "ssim")}, finite=False)
            elif row["image_id"] < broken:
                row.update({n: None for n in row if n not in ("image_id", "target")}, mass=0.0, empty=True)
        write_rows(output, table, shard, [row for row in rows if keep is None or row["image_id"] < keep])


def rows_of(output: Path, table: Table, shard: ShardKey) -> Rows:
    return read_verified(shard_path(output, table, shard)).rows.to_pylist()


def write_rows(output: Path, table: Table, shard: ShardKey, rows: Rows) -> None:
    arrow = table.arrow(without=(*schema.PARTITIONS, schema.PREDICTED_OUTPUT))
    write_shard(output, table, shard, pa.Table.from_pylist(rows, schema=arrow))


def without_shard(output: Path, table: Table, shard: ShardKey) -> None:
    shutil.rmtree(shard_path(output, table, shard).parent)


def stored(con: duckdb.DuckDBPyConnection, table: Table) -> pl.DataFrame:
    names = ", ".join(column.name for column in table.columns)
    return con.sql(f"select {names} from warehouse.main.{table.name} order by {', '.join(table.key)}").pl()


def computed_of(warehouse: Path) -> dict[str, pl.DataFrame]:
    with open_warehouse(warehouse) as con:
        return {table.name: stored(con, table) for table in (*COMPUTED_TABLES, METRICS)}


def assert_identical(one: Path, other: Path) -> None:
    found, expected = computed_of(one), computed_of(other)
    for name, rows in expected.items():
        try:
            assert_frame_equal(found[name], rows, check_exact=True)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


def metrics_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[Key, tuple[Any, ...]]:
    """Value, low, high and n of every row of an evaluation."""
    rows = con.execute(
        "select corruption, severity::double, metric, score, value, low, high, n from cell_metrics "
        "where evaluation_id = ?", [evaluation_id]
    ).fetchall()  # fmt: skip
    found = {Key(*row[:4]): row[4:] for row in rows}
    assert len(found) == len(rows)
    return found


def values_of(warehouse: Path, evaluation_id: str) -> dict[Key, float]:
    with open_warehouse(warehouse) as con:
        return {key: row[0] for key, row in metrics_of(con, evaluation_id).items()}


def facts_of(con: duckdb.DuckDBPyConnection, evaluation_id: str) -> dict[tuple[str, float], pl.DataFrame]:
    """Predictions of each cell with those of the clean images, and with the maps, by image_id."""
    found = con.sql(
        "select facts.corruption, facts.severity::double as at, facts.*, clean.predicted as of_clean, "
        "own.spread as own_spread, drift.centroid_shift as drift, drift.empty as is_empty, "
        "drift.mask_share as share from prediction_facts as facts "
        "join prediction_facts as clean on clean.evaluation_id = facts.evaluation_id and clean.corruption = 'none' "
        "and clean.image_id = facts.image_id "
        "left join attention as own on own.evaluation_id = facts.evaluation_id and own.corruption = facts.corruption "
        "and own.severity = facts.severity and own.image_id = facts.image_id and own.target = 'predicted' "
        "left join attention as drift on drift.evaluation_id = facts.evaluation_id "
        "and drift.corruption = facts.corruption and drift.severity = facts.severity "
        "and drift.image_id = facts.image_id and drift.target = 'clean' "
        "where facts.evaluation_id = ? order by facts.image_id",
        params=[evaluation_id],
    ).pl()  # fmt: skip
    return {(str(key[0]), float(key[1])): rows for key, rows in found.group_by("corruption", "at")}


def expected_of(cell: pl.DataFrame, *, is_clean: bool) -> Mapping[tuple[str, str | None], float | None]:
    """Main metrics of a cell, by name and score."""
    label, predicted = cell["label"].to_numpy(), cell["predicted"].fill_null(-1).to_numpy()
    clean = cell["of_clean"].fill_null(-1).to_numpy()
    known = cell.filter(pl.col("confidence").is_not_null())
    confidence = known["confidence"].to_numpy().astype(float)
    correct, right = predicted == label, (known["predicted"] == known["label"]).fill_null(False).to_numpy()
    logits = np.array(known["logits"].to_list(), float)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    bins = np.minimum((confidence * 15).astype(int), 14)
    uncertain = cell.select(-pl.col("confidence").fill_null(-9))["confidence"].to_numpy()
    failed = ~correct
    shown = cell.filter(~pl.col("is_empty"))
    both = cell["drift"].is_not_null().to_numpy()
    drift = cell["drift"].to_numpy()
    found: dict[tuple[str, str | None], float | None] = {
        ("accuracy", None): accuracy_score(label, predicted),
        ("error", None): 1 - accuracy_score(label, predicted),
        ("balanced_accuracy", None): np.mean([correct[label == one].mean() for one in range(4)]),
        ("worst_class_accuracy", None): min(correct[label == one].mean() for one in range(4)),
        ("top_prediction_share", None): np.bincount(predicted[predicted >= 0]).max() / (predicted >= 0).sum(),
        ("top5_accuracy", None): cell["finite"].mean(),
        ("mean_confidence", None): confidence.mean(),
        ("mean_entropy_nats", None): -(p * np.log(p)).sum(1).mean(),
        ("non_finite_share", None): (~cell["finite"]).mean(),
        ("nll_nats", None): log_loss(known["label"].to_numpy(), p, labels=range(4)),
        ("brier", None): ((p - np.eye(4)[known["label"].to_numpy()]) ** 2).sum(1).mean(),
        ("overconfidence", None): confidence.mean() - right.mean(),
        ("ece", None): sum(abs((confidence - right)[bins == one].sum()) for one in range(15)) / len(confidence),
        ("mean_rmse", None): float(cell["rmse"].mean()),
        ("mean_spread_of_prediction", None): float(cell.filter(~pl.col("is_empty"))["own_spread"].mean()),
        ("empty_share", None): cell.filter(~pl.col("is_empty")).height and 0.0,
        ("mean_mask_share", None): float(shown["share"].mean()),
        ("mean_centroid_shift", None): float(shown["drift"].mean()),
        ("median_centroid_shift", None): float(shown["drift"].median()),
        ("auroc", "confidence"): roc_auc_score(failed, uncertain),
        ("aupr", "confidence"): average_precision_score(failed, uncertain),
        ("auroc", "attention_spread"): roc_auc_score(failed, cell["own_spread"].fill_null(9).to_numpy()),
    }  # fmt: skip
    if is_clean:
        return found
    changed = predicted != clean
    found |= {
        ("changed_share", None): changed.mean(),
        ("became_incorrect_share", None): (failed & (clean == label)).mean(),
        ("stayed_correct_share", None): (correct & (clean == label)).mean(),
        ("became_correct_share", None): (correct & (clean != label)).mean(),
        ("stayed_incorrect_share", None): (failed & (clean != label)).mean(),
        ("auroc", "attention_drift"): roc_auc_score(failed, np.where(both, drift, 9)),
        ("correct_median_centroid_shift", None): np.median(drift[correct & both]),
    }
    if 0 < (changed & both).sum() < both.sum():
        found["attention_responsiveness", None] = roc_auc_score(changed[both], drift[both])
    return found


def test_rows_are_what_scikit_learn_and_numpy_say(made: Synthetic, loaded: duckdb.DuckDBPyConnection) -> None:
    seen = 0
    for evaluation_id in made.evaluations.values():
        rows, cells = metrics_of(loaded, evaluation_id), facts_of(loaded, evaluation_id)
        assert cells.keys() == {(key.corruption, key.severity) for key in rows}
        for cell, facts in cells.items():
            for (name, score), value in expected_of(facts, is_clean=cell[0] == "none").items():
                found = rows[Key(*cell, name, score)][0]
                assert found == pytest.approx(value, rel=2e-5, abs=2e-6), (cell, name, score)
                seen += 1
    assert seen > 300


def test_intervals_lie_around_values_and_shares_have_the_exact_one(
    made: Synthetic, loaded: duckdb.DuckDBPyConnection
) -> None:
    without = {name for name, one in all_metrics().items() if not one.is_stored_with_interval}
    for evaluation_id in made.evaluations.values():
        for key, (value, low, high, n) in metrics_of(loaded, evaluation_id).items():
            assert 1 <= n <= IMAGES
            assert (low is None) == (high is None)
            if key.metric in without:
                assert low is None, key
            elif low is not None:
                least, most = all_metrics()[key.metric].range
                assert least - 1e-6 <= low <= value + 1e-6, key
                assert value - 1e-6 <= high <= most + 1e-6, key
            if key.metric in ("accuracy", "changed_share", "non_finite_share"):
                exact = binomtest(round(value * n), n).proportion_ci(0.95, "exact")
                assert (low, high) == pytest.approx(tuple(exact)), key


def test_each_metric_is_listed_and_has_rows(loaded: duckdb.DuckDBPyConnection) -> None:
    listed = dict(loaded.execute("select metric, title from metrics").fetchall())
    assert listed == {name: one.title for name, one in all_metrics().items()}
    stored_names = {name for (name,) in loaded.execute("select distinct metric from cell_metrics").fetchall()}
    assert stored_names == listed.keys() - {"auroc_within"}, "no tenth of so few images has two of each kind"
    assert loaded.execute("select distinct defined_by from metrics").fetchall() == [("failmodes",)]
    scores = loaded.execute("select distinct score from cell_metrics where metric = 'augrc'").fetchall()
    assert {score for (score,) in scores} == set(all_metrics()["augrc"].scores)


def test_clean_images_are_compared_with_nothing(loaded: duckdb.DuckDBPyConnection) -> None:
    names = [name for name, one in all_metrics().items() if one.needs_pairs]
    count = "select count(*) from cell_metrics where metric = any(?) and corruption"
    assert loaded.execute(f"{count} = 'none'", [names]).fetchall() == [(0,)]
    assert loaded.execute(f"{count} <> 'none'", [names]).fetchall() > [(0,)]
    drift = "select count(*) from cell_metrics where score = 'attention_drift' and corruption = 'none'"
    assert loaded.execute(drift).fetchall() == [(0,)]


def test_pairs_are_counted_in_every_cell(loaded: duckdb.DuckDBPyConnection) -> None:
    rows = stored(loaded, next(table for table in COMPUTED_TABLES if table.name == "pair_cells"))
    assert rows.height == 3 * 5
    counts = loaded.sql(
        "select a.evaluation_id as one, b.evaluation_id as other, a.corruption, a.severity, "
        "sum((a.predicted is not distinct from a.label and b.predicted is not distinct from b.label)::int), "
        "sum((a.predicted = b.predicted)::int) "
        "from prediction_facts as a join prediction_facts as b using (corruption, severity, image_id) "
        "where a.evaluation_id < b.evaluation_id group by all order by all"
    ).fetchall()  # fmt: skip
    columns = ("evaluation_id_a", "evaluation_id_b", "corruption", "severity", "both_correct_count", "agree_count")
    assert rows.select(columns).rows() == counts


def test_nothing_is_computed_where_nothing_changed(output: Path, warehouse: Path) -> None:
    again = load([output], warehouse)
    assert (again.measured_evaluations, again.swapped) == (0, False)


def marked(warehouse: Path) -> None:
    """Tell rows that stay from those that are computed again."""
    with duckdb.connect(str(warehouse)) as con:
        con.execute("update cell_metrics set n = -1")
        con.execute("update pair_cells set image_count = -1")


def kept_evaluations(warehouse: Path) -> tuple[set[str], int]:
    """Evaluations whose metrics are still those that were marked, and how many rows of pairs are."""
    with open_warehouse(warehouse) as con:
        ids = con.execute("select distinct evaluation_id from cell_metrics where n = -1").fetchall()
        ((pairs,),) = con.execute("select count(*) from pair_cells where image_count = -1").fetchall()
    return {evaluation_id for (evaluation_id,) in ids}, pairs


def test_a_changed_shard_redoes_its_evaluation_and_its_pairs(
    made: Synthetic, output: Path, warehouse: Path, tmp_path: Path
) -> None:
    marked(warehouse)
    rewrite(output, ShardKey(made.evaluations["A"], FOG), shift=1)
    assert load([output], warehouse).measured_evaluations == 1
    kept, pairs = kept_evaluations(warehouse)
    assert kept == {made.evaluations["B"], made.evaluations["C"]}
    assert pairs == 5, "of these two"
    with duckdb.connect(str(warehouse)) as con:
        con.execute("update computed set input_hash = 'before'")
        con.execute("update warehouse_info set views_fingerprint = 'before'")
    load([output], warehouse)
    load([output], tmp_path / "rebuilt.duckdb")
    assert_identical(warehouse, tmp_path / "rebuilt.duckdb")


def test_other_definitions_redo_all(made: Synthetic, warehouse: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    marked(warehouse)
    monkeypatch.setattr(stored_metrics, "definitions_hash", lambda: "another")
    with duckdb.connect(str(warehouse)) as con:
        con.execute("update warehouse_info set views_fingerprint = 'before'")
    assert load([made.output], warehouse).measured_evaluations == 3
    assert kept_evaluations(warehouse) == (set(), 0)


def share_of(wanted: int, name: str = "mine") -> Metric:
    """A metric of a user: the share of images that are predicted as one class."""

    def share(preds: np.ndarray, target: np.ndarray) -> np.ndarray:
        return preds == wanted

    return metric(share, name=name, range=(0, 1))


def users_rows(warehouse: Path, name: str = "mine") -> dict[str, list[float]]:
    """Values of a user's metric by evaluation, in the order of cells."""
    with open_warehouse(warehouse) as con:
        rows = con.execute(
            "select evaluation_id, list(value order by corruption, severity) from cell_metrics where metric = ? "
            "group by 1", [name]
        ).fetchall()  # fmt: skip
        listed = con.execute("select count(*) from metrics where metric = ? and defined_by = 'study'", [name])
        assert listed.fetchall() == [(int(bool(rows)),)]
    return dict(rows)


def shares(warehouse: Path, wanted: int) -> dict[str, list[float]]:
    """What `share_of` gives, by SQL of the facts."""
    with open_warehouse(warehouse) as con:
        return dict(con.execute(
            "select evaluation_id, list(share order by corruption, severity) from (select evaluation_id, corruption, "
            "severity, avg((predicted = ?)::int) as share from prediction_facts group by all) "
            "group by 1", [wanted]
        ).fetchall())  # fmt: skip


def approx(found: dict[str, list[float]]) -> dict[str, Any]:
    return {name: pytest.approx(values) for name, values in found.items()}


def test_a_users_metric_is_added_kept_changed_and_removed(made: Synthetic, warehouse: Path) -> None:
    marked(warehouse)
    report = load([made.output], warehouse, metrics=[share_of(1)])
    assert (report.swapped, report.measured_evaluations) == (True, 3)
    assert users_rows(warehouse) == approx(shares(warehouse, 1))
    assert len(users_rows(warehouse)) == 3
    assert not load([made.output], warehouse, metrics=[share_of(1)]).swapped
    assert not load([made.output], warehouse).swapped, "without a word of metrics these stay"
    assert users_rows(warehouse) == approx(shares(warehouse, 1))
    assert load([made.output], warehouse, metrics=[share_of(2), share_of(1, "other")]).swapped
    assert users_rows(warehouse) == approx(shares(warehouse, 2))
    assert users_rows(warehouse, "other") == approx(shares(warehouse, 1))
    assert load([made.output], warehouse, metrics=[share_of(1, "other")]).swapped
    assert users_rows(warehouse) == {}
    assert len(users_rows(warehouse, "other")) == 3
    assert load([made.output], warehouse, metrics=[]).swapped
    assert users_rows(warehouse, "other") == {}
    assert not load([made.output], warehouse, metrics=[]).swapped
    assert len(kept_evaluations(warehouse)[0]) == 3, "metrics of the package were not computed again"


def test_a_users_metric_of_a_changed_evaluation_goes_until_it_is_given_again(
    made: Synthetic, output: Path, warehouse: Path
) -> None:
    load([output], warehouse, metrics=[share_of(1)])
    rewrite(output, ShardKey(made.evaluations["A"], FOG), shift=1)
    load([output], warehouse)
    assert users_rows(warehouse).keys() == {made.evaluations["B"], made.evaluations["C"]}
    assert load([output], warehouse, metrics=[share_of(1)]).swapped
    assert users_rows(warehouse) == approx(shares(warehouse, 1))
    rewrite(output, ShardKey(made.evaluations["B"], FOG), shift=1)
    load([output], warehouse, metrics=[share_of(1)])
    assert users_rows(warehouse) == approx(shares(warehouse, 1))


def test_a_users_metric_is_of_a_model_that_comes_later_too(made: Synthetic, output: Path, tmp_path: Path) -> None:
    folders = [output / "results" / table.name / f"evaluation_id={made.evaluations['C']}" for table in schema.FACTS]
    for folder in folders:
        shutil.move(folder, tmp_path / folder.parent.name)
    load([output], tmp_path / "w.duckdb", metrics=[share_of(1)])
    assert len(users_rows(tmp_path / "w.duckdb")) == 2
    for folder in folders:
        shutil.move(tmp_path / folder.parent.name, folder)
    load([output], tmp_path / "w.duckdb", metrics=[share_of(1)])
    assert users_rows(tmp_path / "w.duckdb") == approx(shares(tmp_path / "w.duckdb", 1))


@pytest.mark.parametrize("keep", [IMAGES - 3, 1])
def test_cells_of_fewer_images_are_compared_with_the_same_when_clean(
    made: Synthetic, output: Path, warehouse: Path, keep: int
) -> None:
    evaluation_id = made.evaluations["A"]
    rewrite(output, ShardKey(evaluation_id, FOG), keep=keep)
    load([output], warehouse)
    with open_warehouse(warehouse) as con:
        rows, facts = metrics_of(con, evaluation_id), facts_of(con, evaluation_id)
        onsets = con.execute("select count(*) from image_onsets where evaluation_id = ? and corruption = 'fog'",
                             [evaluation_id]).fetchall()  # fmt: skip
    cell = facts["fog", 1.0]
    correct, clean = (cell["predicted"] == cell["label"]), (cell["of_clean"] == cell["label"])
    assert rows[Key("fog", 1.0, "accuracy")][::3] == (pytest.approx(correct.mean()), keep)
    assert rows[Key("fog", 1.0, "became_incorrect_share")][::3] == (pytest.approx((clean & ~correct).mean()), keep)
    assert rows[Key("fog", 3.0, "accuracy")][3] == IMAGES
    assert rows[Key("contrast", 1.0, "changed_share")][3] == IMAGES
    assert onsets == [(keep,)]


def test_cells_of_other_images_have_no_pairs(made: Synthetic, output: Path, warehouse: Path) -> None:
    fog = ShardKey(made.evaluations["A"], FOG)
    for table in schema.FACTS:
        rows = rows_of(output, table, fog)
        write_rows(output, table, fog, [row | {"image_id": row["image_id"] + 1000} for row in rows])
    load([output], warehouse)
    values = values_of(warehouse, made.evaluations["A"])
    assert Key("fog", 1.0, "accuracy") in values
    assert not [key for key in values if key[:2] == ("fog", 1.0) and all_metrics()[key.metric].needs_pairs]
    assert Key("contrast", 1.0, "changed_share") in values


def test_images_that_repeat_are_loaded_and_found(made: Synthetic, output: Path, warehouse: Path) -> None:
    evaluation_id = made.evaluations["A"]
    for table in schema.FACTS:
        rows = rows_of(output, table, ShardKey(evaluation_id, FOG))
        write_rows(output, table, ShardKey(evaluation_id, FOG), [*rows, rows[0]])
    load([output], warehouse)
    with open_warehouse(warehouse) as con:
        repeating = {table.name: con.execute(
            "select evaluation_id, breaking_rows from computed where name = ? and breaking_rows > 0",
            [uniqueness_check(table)],
        ).fetchall() for table in schema.FACTS}  # fmt: skip
        failed = {check.name for check in run_checks(con) if not check.passed}
        assert failed == {check.name for check in read_checks(con) if not check.passed}
        rows = metrics_of(con, evaluation_id)
    assert repeating == {table.name: [(evaluation_id, 1)] for table in schema.FACTS}
    assert failed >= {uniqueness_check(table) for table in schema.FACTS}
    assert rows[Key("fog", 1.0, "accuracy")][3] == IMAGES + 1
    assert rows[Key("fog", 1.0, "changed_share")][3] == IMAGES


def test_without_a_clean_cell_nothing_is_compared(made: Synthetic, output: Path, tmp_path: Path) -> None:
    for table in schema.FACTS:
        without_shard(output, table, ShardKey(made.evaluations["C"], CLEAN_CELL))
    load([output], tmp_path / "w.duckdb")
    values, others = (values_of(tmp_path / "w.duckdb", made.evaluations[name]) for name in ("C", "A"))
    assert Key("fog", 1.0, "accuracy") in values
    missing = {key.metric for key in others} - {key.metric for key in values}
    assert missing == {name for name, one in all_metrics().items() if one.needs_pairs or "reference" in one.parameters}


def test_maps_of_a_cell_without_predictions_change_nothing(made: Synthetic, output: Path, tmp_path: Path) -> None:
    without_shard(output, schema.PREDICTION_FACTS, ShardKey(made.evaluations["A"], FOG))
    load([output], tmp_path / "w.duckdb")
    values = values_of(tmp_path / "w.duckdb", made.evaluations["A"])
    assert {key[:2] for key in values} == {("none", 0), ("fog", 3), ("contrast", 1), ("contrast", 3)}


def test_without_maps_all_else_is_there(made: Synthetic, output: Path, tmp_path: Path) -> None:
    shutil.rmtree(output / "results" / "attention" / f"evaluation_id={made.evaluations['A']}")
    load([output], tmp_path / "w.duckdb")
    values, others = (values_of(tmp_path / "w.duckdb", made.evaluations[name]) for name in ("A", "C"))
    of_maps = {key for key in others if key.score in ("attention_spread", "attention_drift", "empty_map")
               or any("." in column for column in all_metrics()[key.metric].columns)}  # fmt: skip
    assert {key for key in values if key in of_maps} == set()
    assert {key.metric for key in others if key not in of_maps} <= {key.metric for key in values}


def test_unpaired_evaluations_have_no_metrics_of_pairs(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "out", images=IMAGES, models=("A",), corruptions=CORRUPTIONS, paired=False)
    load([tmp_path / "out"], tmp_path / "w.duckdb")
    values = values_of(tmp_path / "w.duckdb", made.evaluations["A"])
    names = {key.metric for key in values}
    assert not names & {name for name, one in all_metrics().items() if one.needs_pairs}
    assert not names & {"mean_rmse", "rmse_q05", "mean_centroid_shift", "mean_cosine"}
    assert names >= {"accuracy", "scaled_ece", "mean_spread", "mean_mask_share"}
    assert computed_of(tmp_path / "w.duckdb")["image_onsets"].is_empty()


def test_where_no_logits_are_finite_nothing_is_correct(made: Synthetic, output: Path, warehouse: Path) -> None:
    copied, evaluation_id = made._replace(output=output), made.evaluations["A"]
    make_non_finite(copied, cell_of(copied, "A", "fog", 1))
    make_non_finite(copied, cell_of(copied, "A", "fog", 3), range(1, IMAGES))
    load([output], warehouse)
    with open_warehouse(warehouse) as con:
        rows = metrics_of(con, evaluation_id)
        bins = con.execute("select sum(image_count) from cell_confidence_bins where evaluation_id = ? "
                           "and corruption = 'fog'", [evaluation_id]).fetchall()  # fmt: skip
        risks = con.execute("select distinct selective_risk from selective_risks where evaluation_id = ? and "
                            "corruption = 'fog' and severity = 1 and score = 'margin'",
                            [evaluation_id]).fetchall()  # fmt: skip
    expected = {"accuracy": 0, "error": 1, "non_finite_share": 1, "top5_accuracy": 0, "worst_class_accuracy": 0}
    for name, value in expected.items():
        if name != "top5_accuracy":
            assert rows[Key("fog", 1.0, name)][::3] == (value, IMAGES), name
    for name in ("mean_confidence", "ece", "nll_nats", "top_prediction_share", "scaled_ece"):
        assert Key("fog", 1.0, name) not in rows
        assert rows[Key("fog", 3.0, name)][3] == 1, name
    assert bins == [(1,)]
    assert [risk for (risk,) in risks] == pytest.approx([1.0] * len(risks))
    assert all(end is None or np.isfinite(end) for row in rows.values() for end in row)


def test_predictions_of_one_class_alone(made: Synthetic, output: Path, warehouse: Path) -> None:
    copied = made._replace(output=output)
    labels = [row["label"] for row in rows_of(output, schema.PREDICTION_FACTS, cell_of(copied, "A", "fog", 1))]
    reply_with(copied, cell_of(copied, "A", "fog", 1), labels)
    reply_with(copied, cell_of(copied, "A", "fog", 3), [(label + 1) % 4 for label in labels])
    load([output], warehouse)
    values = values_of(warehouse, made.evaluations["A"])
    for severity, error in ((1.0, 0), (3.0, 1)):
        assert values[Key("fog", severity, "error")] == error
        assert values[Key("fog", severity, "aurc", "margin")] == pytest.approx(error)
        for name in ("auroc", "fpr95"):
            assert Key("fog", severity, name, "confidence") not in values
    assert Key("fog", 1.0, "aupr", "confidence") not in values
    assert values[Key("fog", 3.0, "aupr", "confidence")] == 1


@pytest.mark.slow
@pytest.mark.parametrize("beyond", [None, -0.5, 1.5, 1e30, float("inf"), float("-inf")])
def test_a_confidence_that_is_none_is_loaded_and_found_by_its_check(
    made: Synthetic, output: Path, warehouse: Path, beyond: float | None
) -> None:
    fog = ShardKey(made.evaluations["A"], FOG)
    rows = rows_of(output, schema.PREDICTION_FACTS, fog)
    rows[0]["confidence"] = beyond
    write_rows(output, schema.PREDICTION_FACTS, fog, rows)
    load([output], warehouse)
    with open_warehouse(warehouse) as con:
        failed = {check.name: check.row_count for check in read_checks(con) if not check.passed}
        found = metrics_of(con, made.evaluations["A"])
    assert failed["finite_rows_predict" if beyond is None else "probabilities_in_range"] == 1
    infinite = beyond is not None and abs(beyond) == float("inf")
    assert (Key("fog", 1.0, "mean_confidence") in found) is not infinite
    assert found[Key("fog", 1.0, "brier")][3] == IMAGES - (beyond is None or infinite)


@pytest.mark.slow
def test_models_of_many_classes_are_scaled_by_their_sums(tmp_path: Path) -> None:
    write_synthetic(tmp_path / "out", images=60, models=("A",), corruptions=("fog",), severities=(1, 3), classes=30)
    load([tmp_path / "out"], tmp_path / "w.duckdb")
    with open_warehouse(tmp_path / "w.duckdb") as con:
        found = con.execute("select n from cell_metrics where metric = 'scaled_nll_nats'").fetchall()
        balanced = con.execute("select value from cell_metrics where metric = 'balanced_accuracy' "
                               "order by severity").fetchall()  # fmt: skip
        facts = con.sql("select severity, label, predicted from prediction_facts order by severity").pl()
    assert found == [(60,)] * 3
    expected = [balanced_accuracy_score(rows["label"], rows["predicted"])
                for _, rows in facts.group_by("severity", maintain_order=True)]  # fmt: skip
    assert [value for (value,) in balanced] == pytest.approx(expected)


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
                patch.setattr(loading, "update_metrics", killed)
                with pytest.raises(KeyboardInterrupt):
                    load([output], warehouse, metrics=[share_of(1)])
        load([output], warehouse, metrics=[share_of(1)])
    if data.draw(st.booleans(), label="replaced"):
        name = data.draw(st.sampled_from(sorted(made.evaluations)))
        cell = data.draw(st.sampled_from([CLEAN_CELL, FOG]))
        rewrite(output, ShardKey(made.evaluations[name], cell), shift=1)
        assert load([output], warehouse, metrics=[share_of(1)]).measured_evaluations == 1
    assert load([output], warehouse, metrics=[share_of(1)]).measured_evaluations == 0
    load([output], folder / "rebuilt.duckdb", rebuild=True, metrics=[share_of(1)])
    assert_identical(warehouse, folder / "rebuilt.duckdb")


_in_any_order = test_shards_that_come_in_any_order_or_are_replaced_give_what_a_rebuild_gives.hypothesis.inner_test
test_shards_that_come_in_many_more_orders = pytest.mark.corpus(examples(20)(given(st.data())(_in_any_order)))


def killed(*_: object) -> list[str]:
    raise KeyboardInterrupt


@pytest.mark.slow
def test_one_more_model_leaves_the_others_metrics_as_they_are(made: Synthetic, output: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    for table in ("prediction_facts", "attention"):
        folder = output / "results" / table / f"evaluation_id={made.evaluations['C']}"
        shutil.move(folder, kept / table)
    load([output], tmp_path / "w.duckdb")
    for table in ("prediction_facts", "attention"):
        shutil.move(kept / table, output / "results" / table / f"evaluation_id={made.evaluations['C']}")
    assert load([output], tmp_path / "w.duckdb").measured_evaluations == 1
    load([output], tmp_path / "rebuilt.duckdb")
    assert_identical(tmp_path / "w.duckdb", tmp_path / "rebuilt.duckdb")
