"""The predictions of one evaluation as a warehouse of their own: sound, small, whole or not there."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from marked_cases import quick
from polars.testing import assert_frame_equal
from synthetic_results import Synthetic, write_synthetic
from synthetic_shifts import write_shift
from warehouse_files import change_file, value

from failmodes.runtime.errors import FailmodesError, StudyError, WarehouseError
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import KEPT_COLUMNS, export_evaluations
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.schema import PARTITIONS, PREDICTION_FACTS


def rows_of(path: Path, sql: str) -> pl.DataFrame:
    with open_warehouse(path) as con:
        return con.sql(sql).pl()


def broken_checks(path: Path) -> list[str]:
    return [check.name for check in warehouse_status(path, full=True).checks if not check.passed]


@pytest.fixture
def chosen(synthetic: Synthetic) -> list[str]:
    return [synthetic.evaluations["Alpha"]]


@pytest.fixture
def baseline(sound_warehouse: Path, chosen: list[str], tmp_path: Path) -> Path:
    """Alpha alone, exported."""
    export_evaluations(sound_warehouse, chosen, tmp_path / "baseline.duckdb")
    return tmp_path / "baseline.duckdb"


@pytest.mark.test_all
def test_it_is_a_small_sound_warehouse_of_that_evaluation_alone(
    baseline: Path, chosen: list[str], sound_warehouse: Path
) -> None:
    status = warehouse_status(baseline)
    assert broken_checks(baseline) == []
    assert status.evaluations["evaluation_id"].to_list() == chosen
    counts = [status.row_counts[name] for name in ("prediction_facts", "attention", "exemplars", "thumbnails")]
    assert counts == [26 * 400, 0, 0, 0]
    assert baseline.stat().st_size < min(3_000_000, sound_warehouse.stat().st_size / 5)  # with larger blocks 6 MB


@pytest.mark.test_all
def test_what_it_keeps_is_what_the_source_holds(baseline: Path, sound_warehouse: Path) -> None:
    own = "from {} where evaluation_id = (select evaluation_id from evaluation_labels where model_label = 'Alpha')"
    columns, keys = [*PARTITIONS, *KEPT_COLUMNS], ["corruption", "severity", "metric", "score"]
    for table in ("prediction_facts", "cell_metrics", "cell_predictions", "image_onsets", "selective_risks"):
        ours, theirs = (rows_of(path, f"{own.format(table)} order by all") for path in (baseline, sound_warehouse))
        assert ours.height, table
        if table == "prediction_facts":
            filled = {c.name for c in PREDICTION_FACTS.columns if ours[c.name].null_count() < ours.height}
            assert filled <= set(columns)
            ours, theirs = ours.select(columns), theirs.select(columns)
        elif table == "cell_metrics":  # of fewer columns: neither attention nor ranks of labels nor SSIM
            theirs = theirs.join(ours, on=keys, how="semi", nulls_equal=True)
        elif table == "selective_risks":
            theirs = theirs.filter(pl.col("score").is_in(["confidence", "margin", "entropy", "energy"]))
        assert_frame_equal(ours, theirs)


@pytest.mark.test_all
def test_it_tells_nothing_of_image_files_and_why_attention_is_missing(
    chosen: list[str], warehouse_copy: Path, tmp_path: Path
) -> None:
    change_file(warehouse_copy, "update images set file = 'patients/anna.png'")
    assert export_evaluations(warehouse_copy, chosen, tmp_path / "b.duckdb").row_count == 26 * 400
    assert value(tmp_path / "b.duckdb", "select count(file) + count(mask_area) from images") == 0
    assert b"anna" not in (tmp_path / "b.duckdb").read_bytes()
    (row,) = rows_of(tmp_path / "b.duckdb", "from evaluations").rows(named=True)
    assert (row["attention_method"], row["attention_layer"]) == ("none", None)
    assert row["attention_note"] == "left out of this file"


@pytest.mark.test_all
@quick(
    "options", [{"paired": False}, {"classes": 12}, {"severities": (0.5, 2.25)}], {"paired": False}, others="nightly"
)
def test_other_kinds_of_evaluations_hold_every_check_and_nothing_of_others(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    mine = write_synthetic(tmp_path / "a", images=48, models=("Alpha",), corruptions=("fog",), **options)
    other = write_synthetic(tmp_path / "b", images=80, models=("Beta",), corruptions=("snow",))
    load([mine.output, other.output], tmp_path / "w.duckdb")
    export_evaluations(tmp_path / "w.duckdb", [*mine.evaluations.values()], tmp_path / "b.duckdb")
    assert broken_checks(tmp_path / "b.duckdb") == []
    assert value(tmp_path / "b.duckdb", "select count(*) from images") == 48
    found = rows_of(tmp_path / "b.duckdb", "select corruption from corruptions order by corruption_order")
    assert found["corruption"].to_list() == ["none", "fog"]


@pytest.mark.test_all
def test_loads_replace_what_was_kept_and_add_what_is_new(alpha: Synthetic, tmp_path: Path) -> None:
    whole, baseline = tmp_path / "w.duckdb", tmp_path / "b.duckdb"
    load([alpha.output], whole)
    export_evaluations(whole, [*alpha.evaluations.values()], baseline)
    assert load([alpha.output], baseline).replaced_shards == 11
    for table in ("prediction_facts", "attention", "images", "evaluations", "exemplars"):
        assert_frame_equal(*(rows_of(path, f"from {table} order by all") for path in (baseline, whole)))
    assert not load([alpha.output], baseline).swapped
    load([write_synthetic(tmp_path / "more", images=40, models=("Gamma",)).output], baseline)
    assert warehouse_status(baseline).evaluations["model_label"].to_list() == ["Alpha", "Gamma"]
    assert broken_checks(baseline) == []


@pytest.mark.parametrize(
    ("source", "name", "text"),
    [
        ("sound", "baseline.parquet", "ends in .duckdb"),
        ("sound", "there.duckdb", "exists: choose another file"),
        ("none.duckdb", "new/baseline.duckdb", "does not exist"),
    ],
)
def test_what_cannot_be_exported_leaves_everything_as_it_was(
    sound_warehouse: Path, chosen: list[str], tmp_path: Path, source: str, name: str, text: str
) -> None:
    (tmp_path / "there.duckdb").write_text("mine")
    with pytest.raises((StudyError, WarehouseError), match=text):
        export_evaluations(sound_warehouse if source == "sound" else tmp_path / source, chosen, tmp_path / name)
    assert (tmp_path / "there.duckdb").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["there.duckdb"]


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("update prediction_facts set confidence = 7", "Probabilities are 0-1"),
        ("insert into prediction_facts from prediction_facts", "one row per"),
        ("insert into models from models", "Every dimension holds one row per key"),
        ("insert into shards from shards", "Every dimension holds one row per key"),
        ("update prediction_facts set label = null", "prediction_facts.label may not be null"),
        ("delete from shards where corruption = 'none'", "has a clean cell"),
        ("alter table prediction_facts alter confidence type varchar", "expected float32"),
    ],
)
def test_a_source_that_breaks_a_check_is_refused(
    warehouse_copy: Path, chosen: list[str], tmp_path: Path, sql: str, text: str
) -> None:
    change_file(warehouse_copy, sql)
    with pytest.raises(FailmodesError, match=text):
        export_evaluations(warehouse_copy, chosen, tmp_path / "baseline.duckdb")
    assert not [path for path in tmp_path.iterdir() if "baseline" in path.name and not path.name.endswith(".lock")]


@pytest.mark.test_all
def test_natural_shifts_of_the_model_are_exported_with_it(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path, images=24, corruptions=("fog",), severities=(1, 5))
    write_shift(tmp_path, "V2", {"Alpha": 20, "Beta": 10}, images=30, clean=made.evaluations)
    write_shift(tmp_path, "Hard", {"Alpha": 5}, images=10, clean_correct={"Alpha": 8}, clean_images=10, classes=2)
    load([tmp_path], tmp_path / "warehouse.duckdb")
    export_evaluations(tmp_path / "warehouse.duckdb", [made.evaluations["Alpha"]], tmp_path / "alpha.duckdb")
    query = "from accuracy_by_shift where model_label = 'Alpha' order by shift"
    exported, whole = (rows_of(path, query) for path in (tmp_path / "alpha.duckdb", tmp_path / "warehouse.duckdb"))
    assert_frame_equal(exported, whole)
    assert exported["shift"].to_list() == ["Hard", "V2"]
    assert rows_of(tmp_path / "alpha.duckdb", "from models").height == 1
    assert broken_checks(tmp_path / "alpha.duckdb") == []
