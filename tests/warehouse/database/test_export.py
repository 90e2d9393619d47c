"""The predictions of one evaluation as a warehouse of their own: sound, small, whole or not there."""

from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import python_in_background, value

from failmodes.warehouse.database import export
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.export import KEPT_COLUMNS, export_evaluations
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.errors import FailmodesError, StudyError, WarehouseError
from failmodes.warehouse.schema import PARTITIONS, PREDICTION_FACTS


def rows_of(path: Path, sql: str) -> pl.DataFrame:
    with open_warehouse(path) as con:
        return con.sql(sql).pl()


@pytest.fixture
def baseline(sound_warehouse: Path, synthetic: Synthetic, tmp_path: Path) -> Path:
    """Alpha alone, exported."""
    export_evaluations(sound_warehouse, [synthetic.evaluations["Alpha"]], tmp_path / "baseline.duckdb")
    return tmp_path / "baseline.duckdb"


@pytest.mark.slow
def test_it_is_a_sound_warehouse_of_that_evaluation_alone(baseline: Path, synthetic: Synthetic) -> None:
    status = warehouse_status(baseline, full=True)
    assert [check.name for check in status.checks if not check.passed] == []
    assert status.evaluations["evaluation_id"].to_list() == [synthetic.evaluations["Alpha"]]
    assert status.row_counts["prediction_facts"] == 26 * 400
    assert [status.row_counts[name] for name in ("attention", "exemplars", "thumbnails")] == [0, 0, 0]


@pytest.mark.slow
def test_what_it_keeps_is_what_the_source_holds(baseline: Path, sound_warehouse: Path) -> None:
    own = "from {} where evaluation_id = (select evaluation_id from evaluation_labels where model_label = 'Alpha')"
    predictions = own.format("prediction_facts") + " order by all"
    kept, all_rows = rows_of(baseline, predictions), rows_of(sound_warehouse, predictions)
    columns = [*PARTITIONS, *KEPT_COLUMNS]
    assert_frame_equal(kept.select(columns), all_rows.select(columns))
    assert {c.name for c in PREDICTION_FACTS.columns if kept[c.name].null_count() < kept.height} <= set(columns)
    for table in ("cell_metrics", "cell_predictions", "image_onsets", "selective_risks"):
        asked = own.format(table) + " order by all"
        if table == "selective_risks":
            asked = asked.replace(" order", " and score in ('confidence', 'margin', 'entropy', 'energy') order")
        ours, theirs = rows_of(baseline, asked), rows_of(sound_warehouse, asked)
        assert ours.height, table
        if table == "cell_metrics":  # of fewer columns: neither attention nor ranks of labels nor SSIM
            keys = ["corruption", "severity", "metric", "score"]
            theirs = theirs.join(ours, on=keys, how="semi", nulls_equal=True)
        assert_frame_equal(ours, theirs)


@pytest.mark.slow
def test_it_tells_nothing_of_image_files_and_why_attention_is_missing(
    sound_warehouse: Path, synthetic: Synthetic, warehouse_copy: Path, tmp_path: Path
) -> None:
    with duckdb.connect(str(warehouse_copy)) as con:
        con.execute("update images set file = 'patients/anna.png'")
    export_evaluations(warehouse_copy, [synthetic.evaluations["Alpha"]], tmp_path / "b.duckdb")
    assert value(tmp_path / "b.duckdb", "select count(file) + count(mask_area) from images") == 0
    assert b"anna" not in (tmp_path / "b.duckdb").read_bytes()
    (row,) = rows_of(tmp_path / "b.duckdb", "from evaluations").rows(named=True)
    assert (row["attention_method"], row["attention_layer"]) == ("none", None)
    assert row["attention_note"] == "left out of this file by failmodes export"


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [{"paired": False}, {"classes": 12}, {"severities": (0.5, 2.25)}], ids=["unpaired", "classes", "levels"]
)
def test_other_kinds_of_evaluations_hold_every_check_too(tmp_path: Path, options: dict[str, Any]) -> None:
    results = write_synthetic(tmp_path / "results", images=48, models=("Alpha",), corruptions=("fog",), **options)
    load([results.output], tmp_path / "w.duckdb")
    export_evaluations(tmp_path / "w.duckdb", [*results.evaluations.values()], tmp_path / "b.duckdb")
    status = warehouse_status(tmp_path / "b.duckdb", full=True)
    assert [check.name for check in status.checks if not check.passed] == []


@pytest.mark.slow
def test_only_evaluated_images_and_their_corruptions_are_kept(tmp_path: Path) -> None:
    results = write_synthetic(tmp_path / "a", images=40, models=("Alpha",), corruptions=("fog", "contrast"))
    more = write_synthetic(tmp_path / "b", images=80, models=("Beta",), corruptions=("snow",))
    load([results.output, more.output], tmp_path / "w.duckdb")
    export_evaluations(tmp_path / "w.duckdb", [*results.evaluations.values()], tmp_path / "b.duckdb")
    assert value(tmp_path / "b.duckdb", "select count(*) from images") == 40
    corruptions = rows_of(tmp_path / "b.duckdb", "select corruption from corruptions order by corruption_order")
    assert corruptions["corruption"].to_list() == ["none", "fog", "contrast"]


@pytest.mark.slow
def test_a_load_of_all_results_replaces_what_was_kept(alpha: Synthetic, tmp_path: Path) -> None:
    whole, baseline = tmp_path / "w.duckdb", tmp_path / "b.duckdb"
    load([alpha.output], whole)
    export_evaluations(whole, [*alpha.evaluations.values()], baseline)
    assert load([alpha.output], baseline).replaced_shards == 11
    for table in ("prediction_facts", "attention", "images", "evaluations", "exemplars"):
        asked = f"from {table} order by all"
        assert_frame_equal(rows_of(baseline, asked), rows_of(whole, asked))
    assert all(check.passed for check in warehouse_status(baseline, full=True).checks)
    assert not load([alpha.output], baseline).swapped


@pytest.mark.slow
def test_other_results_are_loaded_beside_it(baseline: Path, tmp_path: Path) -> None:
    load([write_synthetic(tmp_path / "more", images=40, models=("Gamma",)).output], baseline)
    status = warehouse_status(baseline, full=True)
    assert status.evaluations["model_label"].to_list() == ["Alpha", "Gamma"]
    assert all(check.passed for check in status.checks)


def test_it_is_small(baseline: Path, sound_warehouse: Path) -> None:
    assert baseline.stat().st_size < 3_000_000  # with blocks of 256 KiB it is above 6 MB
    assert baseline.stat().st_size < sound_warehouse.stat().st_size / 5


@pytest.mark.parametrize(
    ("name", "text"),
    [("baseline.parquet", "ends in .duckdb"), ("there.duckdb", "is there already: name another file")],
)
def test_another_suffix_and_a_file_that_is_there_are_refused(
    sound_warehouse: Path, synthetic: Synthetic, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / "there.duckdb").write_text("mine")
    with pytest.raises(StudyError, match=text):
        export_evaluations(sound_warehouse, [synthetic.evaluations["Alpha"]], tmp_path / name)
    assert (tmp_path / "there.duckdb").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["there.duckdb"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sql", "text"),
    [
        ("update prediction_facts set confidence = 7", "Probabilities lie in 0-1"),
        ("insert into prediction_facts from prediction_facts", "one row per"),
        ("insert into models from models", "Every dimension holds one row per key"),
        ("update prediction_facts set label = null", "prediction_facts.label may not be null"),
        (
            "alter table prediction_facts alter confidence type double; update prediction_facts set loss_nats = -1",
            "not negative",
        ),
        ("delete from shards where corruption = 'none'", "has its clean one"),
        ("alter table prediction_facts alter confidence type varchar", "expected float32"),
    ],
)
def test_a_source_that_breaks_a_check_is_refused(
    warehouse_copy: Path, synthetic: Synthetic, tmp_path: Path, sql: str, text: str
) -> None:
    with duckdb.connect(str(warehouse_copy)) as con:
        con.execute(sql)
    with pytest.raises(FailmodesError, match=text):
        export_evaluations(warehouse_copy, [synthetic.evaluations["Alpha"]], tmp_path / "baseline.duckdb")
    assert not [path for path in tmp_path.iterdir() if "baseline" in path.name and not path.name.endswith(".lock")]


@pytest.mark.slow
def test_shards_named_twice_are_copied_once(warehouse_copy: Path, synthetic: Synthetic, tmp_path: Path) -> None:
    with duckdb.connect(str(warehouse_copy)) as con:
        con.execute("insert into shards from shards")
    report = export_evaluations(warehouse_copy, [synthetic.evaluations["Alpha"]], tmp_path / "b.duckdb")
    assert report.row_count == 26 * 400


def test_a_missing_source_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match="there is no warehouse"):
        export_evaluations(tmp_path / "none.duckdb", ["x"], tmp_path / "new" / "baseline.duckdb")
    assert not [*tmp_path.iterdir()]


@pytest.mark.slow
def test_what_fails_in_the_middle_leaves_no_file(
    sound_warehouse: Path, synthetic: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "update_checks", fail)
    with pytest.raises(FailmodesError, match="no space left on the disk"):
        export_evaluations(sound_warehouse, [synthetic.evaluations["Alpha"]], tmp_path / "b.duckdb")
    assert [path.name for path in tmp_path.iterdir()] == [".b.duckdb.lock"]


@pytest.mark.slow
def test_a_kill_leaves_no_half_file_and_the_next_export_tidies_up(
    sound_warehouse: Path, synthetic: Synthetic, tmp_path: Path
) -> None:
    target, chosen = tmp_path / "b.duckdb", [synthetic.evaluations["Alpha"]]
    program = f"""
import time
from pathlib import Path
from failmodes.warehouse.database import export
def wait(*_):
    print("rows are in", flush=True)
    time.sleep(60)
export.update_checks = wait
export.export_evaluations(Path({str(sound_warehouse)!r}), {chosen!r}, Path({str(target)!r}))
"""
    with python_in_background(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "rows are in\n"
        process.kill()
    assert not target.exists()
    assert any(path.name.startswith(".tmp-") for path in tmp_path.iterdir())
    assert export_evaluations(sound_warehouse, chosen, target).row_count == 26 * 400
    assert sorted(path.name for path in tmp_path.iterdir()) == [".b.duckdb.lock", "b.duckdb"]
