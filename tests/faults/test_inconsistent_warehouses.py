"""Warehouses whose tables have the right columns and the wrong rows: one line or an answer, never a bug."""

import shutil
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from encoded_files import encoded
from fault_trials import MAX_MB, attempt, refused
from marked_cases import quick
from PIL import Image
from synthetic_results import write_synthetic
from warehouse_files import change_file

import failmodes
from failmodes.analysis.judging.derivation import derive_again
from failmodes.analysis.judging.stored import open_current
from failmodes.runtime.errors import DamagedShardError, WarehouseError
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.schema import MODELS, THUMBNAILS
from failmodes.warehouse.shards.format import list_results_files, read_verified, write_dimension

BROKEN = {
    "a row that is missing": "delete from sources",
    "a row twice": "insert into models from models",
    "an unknown value": "update models set class_protocol = 'odd'",
    "a number out of range": "update datasets set height_px = -1",
}
TOO_LONG = {
    "a label": ("update models set model_label = repeat('x', 10000000)", "10,000,000 characters, expected at most"),
    "a text of a list": ("update models set class_names = ['a', repeat('x', 1001)]", "models.class_names"),
    "a note": ("update shards set versions = repeat('[', 100001)", "at most 100,000"),
}
DERIVED = {
    "an unknown shape": "update shapes set shape = 'odd'",
    "a curve less": "delete from shapes where corruption = 'fog'",
    "a curve more": "insert into shapes_over_distortion by name select * replace ('zz' as corruption) "
    "from shapes_over_distortion",
    "resamples without end": "update shapes set resamples = 2000000000",
    "no steps": "delete from steps",
}


def test_a_date_that_python_has_no_place_for_is_refused(small_copy: Path) -> None:
    change_file(small_copy, "update shards set created_utc = 'infinity'::timestamp")
    with pytest.raises(WarehouseError, match="a date outside the years 1970 to 2199"):
        warehouse_status(small_copy)


@pytest.mark.test_all
def test_numbers_of_images_take_no_memory_at_a_load(small_copy: Path, tmp_path: Path) -> None:
    change_file(small_copy, "update images set image_id = 2147483647 - image_id")
    more = write_synthetic(tmp_path / "more", images=20, models=("Gamma",)).output
    trial = attempt("load", more, "--into", small_copy.name, folder=small_copy.parent)
    assert trial.code == 0, trial
    assert trial.peak_mb < MAX_MB


@pytest.mark.test_all
@pytest.mark.parametrize("name", BROKEN)
def test_tables_that_do_not_fit_together_are_reported_in_one_line(small_copy: Path, tmp_path: Path, name: str) -> None:
    with failmodes.open(change_file(small_copy, BROKEN[name])) as warehouse:
        calls: tuple[Callable[[], object], ...] = (
            lambda: warehouse.report(tmp_path / "report.html"),
            lambda: warehouse.chart("curves"),
            warehouse.findings,
            warehouse.claims,
            lambda: warehouse.compare("Alpha", "Beta"),
        )
        for call in calls:
            with pytest.raises(WarehouseError, match="rows that break it"):
                call()
        assert warehouse.sql("select count(*) as n from prediction_facts")["n"].item() == 2 * 5 * 40


@quick("name", TOO_LONG, "a text of a list")
def test_a_text_too_long_to_be_shown_is_refused(small_copy: Path, name: str) -> None:
    sql, says = TOO_LONG[name]
    change_file(small_copy, sql)
    with pytest.raises(WarehouseError) as caught, failmodes.open(small_copy) as warehouse:
        warehouse.chart("curves")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500


@quick("name", DERIVED, "resamples without end")
def test_derived_rows_that_nobody_could_have_made_are_refused(small_copy: Path, name: str) -> None:
    change_file(small_copy, DERIVED[name])
    with failmodes.open(small_copy) as warehouse, pytest.raises(WarehouseError, match="that no load derived"):
        warehouse.chart("shapes")


@pytest.mark.test_all
def test_derived_rows_that_nobody_could_have_made_are_derived_again(small_copy: Path) -> None:
    change_file(small_copy, *DERIVED.values())
    derive_again(small_copy)
    with open_current(small_copy) as con:
        assert con.sql("from shapes").pl().height == 4
        assert "odd" not in con.sql("from shapes").pl()["shape"]
        assert con.sql("from steps").pl().height == 8


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ("select 1", "expected 32×32"),
        ("update datasets set height_px = 13000, width_px = 13000", "too large to show"),
    ],
    ids=["of another size", "as it says"],
)
def test_pictures_are_measured_before_they_are_decoded(small_copy: Path, sizes: str, says: str) -> None:
    with duckdb.connect(str(small_copy)) as con:
        con.execute(sizes)
        con.execute("update exemplars set png = ?", [encoded(Image.new("1", (13_000, 13_000)))])
    assert refused("report", folder=small_copy.parent, says=says, code=1, most_s=30).peak_mb < 700


def test_a_picture_that_is_no_png_is_refused(small_copy: Path) -> None:
    change_file(small_copy, "update exemplars set png = 'GIF89a'::blob")
    with pytest.raises(WarehouseError, match="is not a PNG"), failmodes.open(small_copy) as warehouse:
        warehouse.chart("exemplars")


@pytest.mark.test_all
def test_results_with_such_pictures_or_labels_are_not_loaded(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "out", images=20, models=("Alpha",))
    path = next(iter(list_results_files(made.output, MODELS)))
    model = read_verified(path).rows.to_pylist()[0] | {"model_label": "x" * 1001}
    picture = {
        "dataset_id": "x",
        "image_id": 0,
        "png": encoded(Image.new("1", (64, 64))),
        "height_px": 32,
        "width_px": 32,
    }
    for table, key, row, says in (
        (MODELS, path.stem, model, r"models\.model_label has a text of 1,001 characters, expected at most"),
        (THUMBNAILS, "x", picture, r"pixels, expected 32×32, at most 16,777,216"),
    ):
        written = Path(shutil.copytree(made.output, tmp_path / table.name))
        write_dimension(written, table, key, [row])
        with pytest.raises(DamagedShardError, match=says):
            load([written], tmp_path / "w.duckdb")
    assert not (tmp_path / "w.duckdb").exists()
