"""Metadata of images in a warehouse: the union over datasets, through loads, exports and changed files."""

import shutil
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from described_images import describe_images
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import change_file

import failmodes
from failmodes.runtime.errors import DamagedShardError, WarehouseError
from failmodes.warehouse.database.export import export_evaluations
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.schema_listing import column_rows
from failmodes.warehouse.schema import IMAGES, SCHEMA_VERSION
from failmodes.warehouse.shards.format import (
    FOOTER_KEY,
    content_hash,
    list_results_files,
    read_verified,
    seal,
)

N = 40
CAMERAS = [("A", "B", None)[image % 3] for image in range(N)]
FIRST = {
    "camera": pa.array(CAMERAS), "iso speed": pa.array([100 * (image % 4) for image in range(N)]),
    "indoors": pa.array([image % 2 == 0 for image in range(N)]), "taken": pa.array([date(2026, 1, 1)] * N),
    'a"b': pa.array([0.5] * N), "never": pa.nulls(N, pa.string()),
}  # fmt: skip


def synthetic(folder: Path, images: int = N, **options: Any) -> Synthetic:
    return write_synthetic(folder, images=images, corruptions=("fog",), severities=(1,), models=("Alpha",), **options)


def rows_of(path: Path, sql: str) -> list[tuple[Any, ...]]:
    return failmodes.open(path).sql(sql).rows()


def metadata_of(path: Path) -> dict[str, str]:
    """Name and type of each column of metadata, by an independent connection."""
    with duckdb.connect(str(path), read_only=True) as con:
        columns = con.execute("select name, type from pragma_table_info('images')").fetchall()
    return dict(columns[len(IMAGES.columns) :])


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Results with metadata and their warehouse `w.duckdb` (read only)."""
    results = synthetic(tmp_path_factory.mktemp("described"))
    describe_images(results, FIRST)
    load([results.output], results.output / "w.duckdb")
    return results


@pytest.fixture
def first(described: Synthetic, tmp_path: Path) -> Synthetic:
    """A copy that a test may change."""
    return described._replace(output=Path(shutil.copytree(described.output, tmp_path / "first")))


@pytest.fixture
def path(first: Synthetic) -> Path:
    """The warehouse of the copy."""
    return first.output / "w.duckdb"


def test_columns_are_typed_and_join_predictions(first: Synthetic, path: Path) -> None:
    types = {"camera": "VARCHAR", "iso speed": "BIGINT", "indoors": "BOOLEAN", "taken": "DATE", 'a"b': "DOUBLE"}
    assert metadata_of(path) == types, "a column without values is left out"
    correct = first.correct["Alpha", "fog"][1]
    sql = "select camera, sum(correct::int), count(*) from predictions where severity = 1 group by camera order by all"
    expected = {name: [int(correct[i]) for i in range(N) if CAMERAS[i] == name] for name in ("A", "B", None)}
    assert rows_of(path, sql) == [(name, sum(values), len(values)) for name, values in expected.items()]
    assert rows_of(path, 'select distinct "iso speed", taken, "a""b" from predictions where image_id = 3') == [
        (300, date(2026, 1, 1), 0.5)
    ]
    listed = {row.column: row.type for row in column_rows(path, "predictions")}
    assert types.items() <= listed.items()
    assert [row.column for row in column_rows(path, "images")] == failmodes.open(path).sql("from images").columns


@pytest.fixture
def second(tmp_path: Path) -> Synthetic:
    """Results on other images, which do not pair; a column's name differs in case, another's type."""
    results = synthetic(tmp_path / "second", images=12, paired=False)
    describe_images(
        results, {"Camera": pa.array(range(12)), "iso speed": pa.array([0.5] * 12), "site": pa.array(["x"] * 12)}
    )
    return results


@pytest.mark.test_all
def test_a_warehouse_holds_the_columns_of_all_datasets(path: Path, second: Synthetic) -> None:
    load([second.output], path)
    found = {name.lower(): kind for name, kind in metadata_of(path).items()}
    assert {"camera": "VARCHAR", "iso speed": "DOUBLE", "site": "VARCHAR"}.items() <= found.items()
    count = 'select count(*), count(camera), count(site), sum("iso speed") from images'
    assert rows_of(path, count) == [(N + 12, N - CAMERAS.count(None) + 12, 12, 150 * N + 6)]
    count = "select severity::int, count(site) from predictions group by all order by all"
    assert rows_of(path, count) == [(0, 12), (1, 0)], "images that are not paired are known where they are clean"
    describe_images(second, {"Camera": pa.array(["new"] * 12)})
    load([second.output], path)
    assert rows_of(path, "select count(*) from images where camera = 'new'") == [(12,)]
    assert "site" not in metadata_of(path), "no dataset has it any more"


@pytest.mark.test_all
def test_columns_are_the_same_whether_datasets_are_loaded_at_once_or_in_turn(
    first: Synthetic, path: Path, second: Synthetic, tmp_path: Path
) -> None:
    load([second.output], path)
    load([first.output, second.output], tmp_path / "whole.duckdb")
    sql = 'select image_id, dataset_id, camera, "iso speed", site, indoors from images order by all'
    assert rows_of(path, sql) == rows_of(tmp_path / "whole.duckdb", sql)


@pytest.mark.test_all
def test_an_export_keeps_what_is_known_of_images(described: Synthetic, tmp_path: Path) -> None:
    path, target = described.output / "w.duckdb", tmp_path / "b.duckdb"
    export_evaluations(path, [described.evaluations["Alpha"]], target)
    assert metadata_of(target) == metadata_of(path)
    sql = 'select image_id, camera, "iso speed" from predictions order by all'
    assert rows_of(target, sql) == rows_of(path, sql)


@pytest.mark.test_all
def test_other_columns_of_a_file_are_not_shown_and_dropped_at_the_next_load(
    first: Synthetic, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = metadata_of(path)
    others = ("tags integer[]", "Correct boolean", '"a\x1b[2J" varchar', "small smallint")  # Correct: a name of ours
    change_file(path, *(f"alter table images add column {column}" for column in others))
    shown = {column.name for column in IMAGES.columns} | before.keys()
    assert set(failmodes.open(path).sql("from images").columns) == shown
    describe_images(first, FIRST | {"camera": pa.array(["C"] * N)})
    load([first.output], path)
    assert metadata_of(path) == before
    dropped = capsys.readouterr().err
    assert all(f"images.{name}" in dropped for name in ("tags", "Correct", "a", "small"))
    assert "\x1b" not in dropped


REFUSED = {
    "a computed column": ("alter table images add column x varchar default upper('x')", "computed by an expression"),
    "a long text": ("update images set camera = repeat('x', 1001)", "has a text of 1,001 characters"),
    "a date that Python lacks": ("update images set taken = '20000-01-01'", "date outside the years 1 to 9999"),
    "an infinite date": ("update images set taken = 'infinity'", "date outside the years 1 to 9999"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_changed_values_are_refused_in_one_line(path: Path, change: str, message: str) -> None:
    change_file(path, change)
    with pytest.raises(WarehouseError, match=message) as caught:
        rows_of(path, "from images")
    assert "\n" not in str(caught.value)


HOSTILE: dict[str, pa.Array] = {
    "tags": pa.array([[1]] * N), "Label": pa.array([1] * N), "a\x1b[2J": pa.array([1] * N),
    "small": pa.array([1] * N, pa.int16()), "long": pa.array(["x" * 1001] * N),
}  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["tags", "long", *(pytest.param(name, marks=pytest.mark.test_all) for name in ("Label", "a\x1b[2J", "small"))],
)
def test_other_columns_in_results_are_damage(first: Synthetic, tmp_path: Path, name: str) -> None:
    (path,) = list_results_files(first.output, IMAGES)
    stored = read_verified(path)
    rows = stored.rows.append_column(name, HOSTILE[name])
    footer = {
        "schema_version": SCHEMA_VERSION, "table": "images", "identity": stored.identity, "facts": stored.facts,
        "content_hash": content_hash(rows),
    }  # fmt: skip
    pq.write_table(rows.replace_schema_metadata(seal(footer)), path)
    assert FOOTER_KEY in pq.read_schema(path).metadata
    with pytest.raises(DamagedShardError, match="is damaged and cannot be read") as caught:
        load([first.output], tmp_path / "w.duckdb")
    assert str(caught.value).isprintable()


@pytest.mark.test_all
def test_two_hundred_columns_load_in_a_moment(tmp_path: Path) -> None:
    results = synthetic(tmp_path / "r")
    describe_images(results, {f"c{number}": pa.array([number] * N) for number in range(200)})
    load([results.output], tmp_path / "w.duckdb")
    frame = failmodes.open(tmp_path / "w.duckdb").sql("from predictions limit 1")
    assert isinstance(frame, pl.DataFrame)
    assert frame["c199"].to_list() == [199]
    other = synthetic(tmp_path / "other", images=12)
    describe_images(other, {"one more": pa.array(range(12))})
    before = (tmp_path / "w.duckdb").read_bytes()
    with pytest.raises(WarehouseError, match="201 columns of metadata, at most 200 fit into a warehouse"):
        load([other.output], tmp_path / "w.duckdb")
    assert (tmp_path / "w.duckdb").read_bytes() == before
    change_file(tmp_path / "w.duckdb", "alter table images add column one_more varchar")
    with pytest.raises(WarehouseError, match="images has 201 columns of metadata, at most 200"):
        rows_of(tmp_path / "w.duckdb", "from images")
