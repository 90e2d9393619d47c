"""Warehouses whose tables have the right columns and the wrong rows: one line or an answer, never a bug."""

import pickle
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from fault_trials import MOST_MB, attempt, refused
from synthetic_results import write_synthetic
from warehouse_files import ensure_shapes

import failmodes
from failmodes.analysis.statistics.shape_tables import open_current
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.status import warehouse_status
from failmodes.warehouse.errors import DamagedShardError, QueryError, StudyError, WarehouseError
from failmodes.warehouse.schema import EXEMPLARS, MODELS, THUMBNAILS
from failmodes.warehouse.shards.format import list_results_files, read_verified, write_dimension

BROKEN = {
    "no sources": "delete from sources",
    "no classes": "delete from classes",
    "no datasets": "delete from datasets",
    "no models": "delete from models",
    "no corruptions": "delete from corruptions",
    "a model twice": "insert into models from models",
    "another protocol": "update models set class_protocol = 'odd'",
    "another kind of source": "update sources set source_kind = 'odd'",
    "no images evaluated": "update evaluations set image_count = 0",
    "classes beyond their count": "update classes set class_index = class_index + 32000",
    "images beyond their count": "update images set image_id = 2147483647 - image_id",
    "images without pixels": "update datasets set height_px = -1",
}
TOO_LONG = {
    "a label": ("update models set model_label = repeat('x', 1001)", "models.model_label has a text of 1,001 letters"),
    "a long label": (
        "update models set model_label = repeat('x', 10000000)",
        "10,000,000 letters, expected at most 1,000",
    ),
    "a class": ("update classes set class_name = repeat('x', 1001)", "classes.class_name"),
    "a file": ("update images set file = repeat('x', 1001)", "images.file"),
    "a name of an output": ("update models set class_names = ['a', repeat('x', 1001)]", "models.class_names"),
    "a note": ("update datasets set note = repeat('x', 100001)", "at most 100,000"),
    "nested versions": ("update shards set versions = repeat('[', 100001)", "shards.versions"),
}
DERIVED = {
    "an unknown shape": "update shapes set shape = 'odd'",
    "an unknown shape over distortion": "update shapes_over_distortion set shape = 'odd'",
    "an unknown axis": "update shapes_over_distortion set axis = 'odd'",
    "no axis of severity": "delete from shapes_over_distortion where axis = 'severity'",
    "a curve less": "delete from shapes where corruption = 'fog'",
    "a curve more": "insert into shapes_over_distortion by name select * replace ('zz' as corruption) "
    "from shapes_over_distortion",
    "no resamples": "update shapes set resamples = 0, interval_level = 7, flat_below = -1, curvature_threshold = 'nan'",
    "resamples without end": "update shapes set resamples = 2000000000",
    "no steps": "delete from steps",
}


def changed(path: Path, sql: str) -> Path:
    with duckdb.connect(str(path)) as con:
        con.execute(sql)
    return path


@pytest.mark.parametrize("date", ["290000-01-01", "infinity", "0001-01-01 (BC)"])
def test_a_date_that_python_has_no_place_for_is_refused(warehouse_copy: Path, date: str) -> None:
    changed(warehouse_copy, f"update shards set created_at = '{date}'::timestamptz")
    with pytest.raises(WarehouseError, match="a date outside of the years 1970 to 2199"):
        warehouse_status(warehouse_copy)


def test_cells_that_measures_and_shards_name_differently_are_reported_in_one_line(warehouse_copy: Path) -> None:
    changed(warehouse_copy, "update prediction_facts set severity = 9.999 where severity = 5")
    with failmodes.open(warehouse_copy) as warehouse, pytest.raises(WarehouseError, match="predictions, expected"):
        warehouse.report(warehouse_copy.with_name("report.html"))


def test_numbers_of_images_take_no_memory_at_a_load(warehouse_copy: Path, tmp_path: Path) -> None:
    changed(warehouse_copy, "update images set image_id = 2147483647 - image_id")
    more = write_synthetic(tmp_path / "more", images=20, models=("Gamma",)).output
    trial = attempt("load", more, "--into", warehouse_copy.name, folder=warehouse_copy.parent)
    assert trial.code == 0, trial
    assert trial.peak_mb < MOST_MB


@pytest.mark.parametrize("sql", BROKEN.values(), ids=BROKEN)
def test_tables_that_do_not_fit_together_are_reported_in_one_line(
    warehouse_copy: Path, tmp_path: Path, sql: str
) -> None:
    with failmodes.open(changed(warehouse_copy, sql)) as warehouse:
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
        assert warehouse.sql("select count(*) as n from prediction_facts")["n"].item() == 20_800


def test_the_installed_command_says_so_too(warehouse_copy: Path) -> None:
    changed(warehouse_copy, "delete from sources")
    trial = refused("report", folder=warehouse_copy.parent, says="Every key points at a row of its dimension", code=1)
    assert trial.elapsed_s < 10
    assert attempt("status", folder=warehouse_copy.parent).code == 1


@pytest.mark.parametrize(("sql", "says"), TOO_LONG.values(), ids=TOO_LONG)
def test_a_text_too_long_to_be_shown_is_refused(warehouse_copy: Path, sql: str, says: str) -> None:
    changed(warehouse_copy, sql)
    with pytest.raises(WarehouseError) as caught, failmodes.open(warehouse_copy) as warehouse:
        warehouse.chart("curves")
    assert says in str(caught.value)
    assert len(str(caught.value)) < 500


def test_versions_that_are_nested_deeply_are_shown_as_text(warehouse_copy: Path, tmp_path: Path) -> None:
    changed(warehouse_copy, "update shards set versions = repeat('[', 50000) || repeat(']', 50000)")
    with failmodes.open(warehouse_copy) as warehouse:
        assert warehouse.report(tmp_path / "report.html").stat().st_size > 0


@pytest.fixture(scope="module")
def derived_warehouse(sound_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("derived") / "warehouse.duckdb"
    path.write_bytes(sound_warehouse.read_bytes())
    ensure_shapes(path)
    return path.read_bytes()


@pytest.mark.parametrize("sql", DERIVED.values(), ids=DERIVED)
def test_derived_rows_that_nobody_could_have_made_are_recomputed(
    derived_warehouse: bytes, tmp_path: Path, sql: str
) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(derived_warehouse)
    changed(path, sql)
    with failmodes.open(path) as warehouse:
        warehouse.report(tmp_path / "report.html")
    with open_current(path) as con:
        assert con.sql("from shapes").pl().height == 10
        assert "odd" not in con.sql("from shapes_over_distortion").pl()["shape"]
        assert con.sql("from steps").pl().height == 50


def png_of(side: int) -> bytes:
    """A black PNG of `side` squared pixels, a bit each; 13,000 of them take 25 kB."""
    packed = zlib.compressobj(9)
    data = b"".join([packed.compress(b"\0" * (1 + (side + 7) // 8)) for _ in range(side)]) + packed.flush()

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("sizes", "says"),
    [
        ("select 1", "expected 32×32"),
        ("update datasets set height_px = 13000, width_px = 13000", "too large to be shown"),
        ("update datasets set height_px = 32, width_px = 13000", "expected 13,000×32"),
    ],
    ids=["of another size", "as it says", "as it half says"],
)
def test_pictures_are_measured_before_they_are_decoded(warehouse_copy: Path, sizes: str, says: str) -> None:
    with duckdb.connect(str(warehouse_copy)) as con:
        con.execute(sizes)
        con.execute("update exemplars set png = ?", [png_of(13_000)])
    started = time.monotonic()
    trial = refused("report", folder=warehouse_copy.parent, says=says, code=1)
    assert time.monotonic() - started < 30
    assert trial.peak_mb < 700


def test_a_picture_that_is_no_png_is_refused(warehouse_copy: Path) -> None:
    changed(warehouse_copy, "update exemplars set png = 'GIF89a'::blob")
    with pytest.raises(WarehouseError, match="is no PNG"), failmodes.open(warehouse_copy) as warehouse:
        warehouse.chart("exemplars")


@pytest.mark.parametrize("table", [EXEMPLARS, THUMBNAILS], ids=["exemplars", "thumbnails"])
def test_results_with_pictures_of_another_size_are_not_loaded(tmp_path: Path, table) -> None:
    made = write_synthetic(tmp_path / "out", images=20)
    if table is EXEMPLARS:
        path = next(iter(list_results_files(made.output, EXEMPLARS)))
        rows = read_verified(path).rows
        place = rows.schema.get_field_index("png")
        rows = rows.set_column(place, "png", pa.array([png_of(13_000)] * rows.num_rows, pa.binary()))
        write_dimension(made.output, EXEMPLARS, path.stem, rows)
    else:
        row = {"dataset_id": "x", "image_id": 0, "png": png_of(64), "height_px": 32, "width_px": 32}
        write_dimension(made.output, THUMBNAILS, "x", [row])
    with pytest.raises(DamagedShardError, match=r"pixels, expected 32×32, at most 16,777,216"):
        load([made.output], tmp_path / "w.duckdb")
    assert not (tmp_path / "w.duckdb").exists()


def test_results_with_a_long_label_are_not_loaded(tmp_path: Path) -> None:
    made = write_synthetic(tmp_path / "out", images=20, models=("Alpha",))
    path = next(iter(list_results_files(made.output, MODELS)))
    row = read_verified(path).rows.to_pylist()[0] | {"model_label": "x" * 1001}
    write_dimension(made.output, MODELS, path.stem, [row])
    with pytest.raises(DamagedShardError, match=r"models\.model_label has a text of 1,001 letters, expected at most"):
        load([made.output], tmp_path / "w.duckdb")


def test_an_open_warehouse_can_be_pickled(sound_warehouse: Path) -> None:
    with failmodes.open(sound_warehouse) as warehouse:
        again = pickle.loads(pickle.dumps(warehouse))
        assert again.table("models").equals(warehouse.table("models"))


@pytest.mark.parametrize("name", [None, 3, ["models"], b"models", {}])
def test_a_name_that_is_no_text_is_refused(sound_warehouse: Path, name: object) -> None:
    warehouse = failmodes.open(sound_warehouse)
    for ask in (warehouse.table, warehouse.sql, warehouse.chart, lambda name: warehouse.compare(name, "Beta")):
        with pytest.raises((QueryError, StudyError), match="given: |no chart"):
            ask(name)
    if name is not None:
        for ask in (warehouse.schema, warehouse.images):
            with pytest.raises((QueryError, StudyError), match="given: "):
                ask(name)
