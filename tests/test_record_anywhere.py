"""A record at a URL is the record of a local folder: same files, same hashes, same rows, and no half file."""

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from typer.testing import CliRunner
from upath import UPath

from failmodes.cli import app
from failmodes.evaluate.study.reading import read_study
from failmodes.warehouse import schema
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.errors import DamagedShardError, FailmodesError, StorageError, StudyError, WarehouseError
from failmodes.warehouse.hashing import content_hash
from failmodes.warehouse.shards.format import (
    ShardKey,
    clean_shard_key,
    dimension_path,
    list_record_files,
    published_cells,
    read_footer,
    read_verified,
    shard_path,
    write_dimension,
)
from failmodes.warehouse.shards.inventory import scan_record
from failmodes.warehouse.storage import paths as store_paths
from failmodes.warehouse.storage.atomic import atomic_write, atomic_write_bytes, remove_stale_temporaries
from failmodes.warehouse.storage.locations import find_record, find_warehouse
from failmodes.warehouse.storage.paths import StorePath, as_store_path, delete, exists, list_published
from tests.synthetic_record import Synthetic, write_synthetic

SMALL = {"images": 40, "models": ("Alpha",), "corruptions": ("fog", "contrast")}

FILES = 11 * 2 + 5 + 3 + 1 + 2  # cells, shared dimensions, corruptions, evaluation, exemplars


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A small record in a local folder; read only."""
    return write_synthetic(tmp_path_factory.mktemp("here"), **SMALL)


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """The URL of a folder in this process's memory, emptied at the end."""
    yield f"memory://{tmp_path.name}/study"
    for path in MemoryFileSystem().find(f"/{tmp_path.name}"):
        MemoryFileSystem().rm_file(path)


@pytest.fixture
def there(url: str) -> Synthetic:
    """The same record, written to memory."""
    return write_synthetic(as_store_path(url), **SMALL)


def contents(output: StorePath) -> dict[str, tuple[str, dict[str, str], int]]:
    """Content hash, identity and row count of every recorded file by its path within the record, read in full."""
    paths = [path for table in schema.RECORDED.values() for path in list_record_files(output, table)]
    stored = {"/".join(path.parts[len(output.parts) :]): read_verified(path) for path in paths}
    return {name: (s.content_hash, s.identity, s.rows.num_rows) for name, s in stored.items()}


def rows_of(path: Path) -> dict[str, str]:
    """Content hash of every table of a warehouse by key."""
    with open_warehouse(path) as con:
        tables = (*schema.FACTS, *schema.DIMENSIONS)
        return {t.name: content_hash(con.sql(f"from {t.name} order by {', '.join(t.key)}").to_arrow_table())
                for t in tables}  # fmt: skip


def write_half(path: StorePath, error: BaseException) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error


def failing(*_: object, **__: object) -> None:
    raise PermissionError("403")


@pytest.mark.parametrize("options", [{}, {"paired": False, "seed": 3}], ids=["paired", "unpaired"])
def test_a_remote_record_holds_what_the_local_one_holds(tmp_path: Path, url: str, options: dict) -> None:
    local = write_synthetic(tmp_path, **SMALL, **options).output
    remote = write_synthetic(as_store_path(url), **SMALL, **options).output
    expected = contents(local)
    assert len(expected) == FILES
    assert contents(remote) == expected
    assert len(MemoryFileSystem().find(remote.path)) == FILES  # no temporary is left


def test_footers_are_read_without_rows_however_long_they_are(there: Synthetic, monkeypatch) -> None:
    paths = list(list_record_files(there.output, schema.PREDICTIONS))
    short = [read_footer(path) for path in paths]
    monkeypatch.setattr(store_paths, "FOOTER_BYTES", 64)  # no footer fits
    assert [read_footer(path) for path in paths] == short
    assert {footer["row_count"] for footer in short} == {40}


def test_loading_from_memory_gives_the_rows_of_the_local_record(here, there, tmp_path: Path) -> None:
    local, remote, both = (tmp_path / f"{name}.duckdb" for name in ("local", "remote", "both"))
    load([here.output], local)
    report = load([there.output], remote)
    assert (report.new_shards, report.row_count) == (22, 11 * 40 + 11 * 80)
    assert rows_of(remote) == rows_of(local)
    assert load([there.output], remote).swapped is False
    load([here.output, there.output], both)
    assert rows_of(both) == rows_of(local)
    with open_warehouse(remote) as con:
        path = con.sql("select path from shards where table_name = 'predictions' order by path limit 1").pl().item()
    assert (here.output / path).is_file()


def test_an_inventory_asks_once_a_file(there: Synthetic, monkeypatch) -> None:
    asked: dict[str, list[str]] = {name: [] for name in ("cat_file", "find", "info", "ls")}
    for name, paths in asked.items():
        original = getattr(MemoryFileSystem, name)

        def counted(self, path, *rest, _original=original, _paths=paths, **options):
            _paths.append(path)
            return _original(self, path, *rest, **options)

        monkeypatch.setattr(MemoryFileSystem, name, counted)
    inventory = scan_record([there.output])
    assert (len(inventory.shards), inventory.damaged) == (22, [])
    assert len(asked["cat_file"]) == len(set(asked["cat_file"])) == FILES
    assert len(asked["find"]) == len(schema.FACTS) + len(schema.DIMENSIONS)
    assert len(asked["info"]) + len(asked["ls"]) <= 2  # whether there is a record at all


def test_done_cells_are_those_whose_shards_are_there(here: Synthetic, there: Synthetic, tmp_path: Path) -> None:
    evaluation_id = there.evaluations["Alpha"]
    fog = ShardKey(evaluation_id, "fog", Decimal("2.000"))
    delete(shard_path(there.output, schema.ATTENTION, fog))
    for output, missing in ((here.output, set()), (there.output, {fog})):
        everything = published_cells(output, evaluation_id, attention=False)
        assert len(everything) == 11
        assert clean_shard_key(evaluation_id) in everything
        assert published_cells(output, evaluation_id, attention=True) == everything - missing
        assert {c for c in everything if not exists(shard_path(output, schema.ATTENTION, c))} == missing
    assert published_cells(there.output, "nobody", attention=True) == set()


@pytest.mark.parametrize("whole_puts", [False, True], ids=["put and rename", "one put"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("403"), "access denied"),
        (FileNotFoundError("bucket"), "no such bucket or folder"),
        (RuntimeError("Unable to locate\ncredentials"), "Unable to locate$"),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=["rights", "bucket", "driver", "silent"],
)
def test_a_failing_put_is_one_line_and_leaves_the_old_file(url, monkeypatch, error, message, whole_puts) -> None:
    path = as_store_path(url) / "a=1" / "x.bin"
    atomic_write_bytes(path, b"old")
    put_file = MemoryFileSystem.put_file

    def half(self: MemoryFileSystem, source: str, target: str, **options: object) -> None:
        if not whole_puts:
            put_file(self, source, target, **options)
        raise error

    monkeypatch.setattr(MemoryFileSystem, "put_file", half)
    monkeypatch.setattr(store_paths, "_WHOLE_PUTS", ("memory",) if whole_puts else ())
    with pytest.raises(StorageError, match=f"^cannot write {url}/a=1/x.bin: {message}") as caught:
        atomic_write_bytes(path, b"new")
    assert "\n" not in str(caught.value)
    assert MemoryFileSystem().find(as_store_path(url).path) == [path.path]
    assert path.read_bytes() == b"old"


def test_an_object_store_is_given_the_file_itself_in_one_put(url: str, monkeypatch) -> None:
    monkeypatch.setattr(store_paths, "_WHOLE_PUTS", ("memory",))
    for name in ("mv", "cp_file"):
        monkeypatch.setattr(MemoryFileSystem, name, failing)
    path = as_store_path(url) / "x.bin"
    atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_writer_that_fails_puts_nothing_and_leaves_no_temporary(url: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    path = as_store_path(url) / "x.bin"
    for error, raised in ((KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "full"), StorageError)):
        with pytest.raises(raised):
            write_half(path, error)
    assert not exists(path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 4, 0.5, -20], ids=["empty", "magic only", "half", "without its end"])
def test_a_truncated_remote_file_is_damage_and_nothing_is_loaded(there, tmp_path: Path, keep: float) -> None:
    path = next(list_record_files(there.output, schema.PREDICTIONS))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else int(keep)])
    for read in (read_verified, read_footer):
        with pytest.raises(DamagedShardError, match="is damaged"):
            read(path)
    with pytest.raises(DamagedShardError, match=f"1 damaged.*{path}"):
        load([there.output], tmp_path / "w.duckdb")
    assert list(tmp_path.glob("*.duckdb")) == []


def test_a_missing_remote_file_is_damage_and_a_changed_dimension_is_written_anew(there: Synthetic) -> None:
    path = next(list_record_files(there.output, schema.MODELS))
    row = read_verified(path).rows.to_pylist()[0]
    before = path.stat().st_mtime
    write_dimension(there.output, schema.MODELS, row["model_id"], [row])
    assert path.stat().st_mtime == before  # exactly these rows were there
    write_dimension(there.output, schema.MODELS, row["model_id"], [{**row, "model_label": "Renamed"}])
    assert read_verified(path).rows["model_label"].to_pylist() == ["Renamed"]
    delete(path)
    delete(path)  # gone already: no error
    with pytest.raises(DamagedShardError, match="is missing"):
        read_verified(path)
    assert dimension_path(there.output, schema.MODELS, row["model_id"]) == path


def test_silence_of_a_file_system_is_never_taken_for_damage(there: Synthetic, tmp_path: Path, monkeypatch) -> None:
    path = next(list_record_files(there.output, schema.PREDICTIONS))
    cat_file = MemoryFileSystem.cat_file

    def footers_only(self: MemoryFileSystem, name: str, start: int | None = None, **options: object) -> bytes:
        if start is None:
            raise ConnectionError("reset by peer")
        return cat_file(self, name, start=start, **options)

    monkeypatch.setattr(MemoryFileSystem, "cat_file", footers_only)
    for attempt in (lambda: read_verified(path), lambda: load([there.output], tmp_path / "w.duckdb")):
        with pytest.raises(StorageError, match="^cannot read memory://.*: reset by peer$"):
            attempt()
    assert list(tmp_path.glob("*.duckdb")) == []
    monkeypatch.setattr(MemoryFileSystem, "find", failing)
    with pytest.raises(StorageError, match="^cannot read memory://.*: access denied"):
        published_cells(there.output, "x", attention=False)


def test_an_empty_place_holds_no_record(url: str, tmp_path: Path) -> None:
    with pytest.raises(WarehouseError, match=f"{url} holds no record"):
        load([as_store_path(url)], tmp_path / "w.duckdb")
    assert list_published(as_store_path(url), ".parquet") == []
    assert remove_stale_temporaries(as_store_path(url)) == 0


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("nonsense://bucket/x", "cannot reach nonsense://bucket/x: Protocol not known: nonsense; expected a path, or"),
        ("s3://bucket/x", "cannot reach s3://bucket/x: Install s3fs"),
        ("gs://bucket/x", "cannot reach gs://bucket/x: .*gcsfs"),
    ],
    ids=["protocol", "s3 driver", "gs driver"],
)
def test_what_cannot_be_reached_is_one_line(monkeypatch, where: str, message: str) -> None:
    for driver in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, driver, None)  # as if it were not installed
    with pytest.raises(StorageError, match=message) as caught:
        as_store_path(where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("where", "expected"),
    [("runs/x", Path("/base/runs/x")), ("/runs/x", Path("/runs/x")), ("file:///runs/a=1", Path("/runs/a=1"))],
    ids=["relative", "absolute", "file URL"],
)
def test_local_places_are_plain_paths(where: str, expected: Path) -> None:
    place = as_store_path(where, Path("/base"))
    assert place == expected
    assert not isinstance(place, UPath)


STUDY = """
name = "x"
output = "out"
{record}
[dataset]
kind = "digits"
[[models]]
label = "A"
architecture = "resnet18"
training = {{ epochs = 1 }}
"""


def study_file(folder: Path, record: str | None) -> Path:
    path = folder / "study.toml"
    path.write_text(STUDY.format(record="" if record is None else f'record = "{record}"'))
    return path


@pytest.mark.parametrize(
    ("record", "expected"),
    [(None, "{folder}/out"), ("shared", "{folder}/shared"), ("memory://b/x", "memory://b/x"), ("/a/b", "/a/b")],
    ids=["not given", "relative", "URL", "absolute"],
)
def test_a_study_says_where_its_record_lies_and_the_rest_stays_local(tmp_path, record, expected: str) -> None:
    path = study_file(tmp_path, record)
    study = read_study(path)
    assert str(study.record_output) == str(find_record(path)) == expected.format(folder=tmp_path)
    assert study.output == tmp_path / "out"
    assert study.cache == tmp_path / "out" / "cache"
    assert find_warehouse(path) == tmp_path / "out" / "warehouse.duckdb"


def test_a_study_whose_record_cannot_be_reached_is_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="Protocol not known"):
        read_study(study_file(tmp_path, "nonsense://bucket"))
    with pytest.raises(StudyError, match="record"):
        read_study(study_file(tmp_path, ""))


def test_load_takes_a_url_or_a_study_that_names_one(there, url: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    study, named = study_file(tmp_path, url), tmp_path / "w.duckdb"
    for arguments in ([url, "--into", str(named)], [str(study)]):
        done = CliRunner().invoke(app, ["load", *arguments], catch_exceptions=False)
        assert "22 new" in done.stderr
    for warehouse_file in (named, tmp_path / "out" / "warehouse.duckdb"):
        with open_warehouse(warehouse_file) as con:
            assert con.sql("select count(*) from predictions").pl().item() == 11 * 40
    refused = CliRunner().invoke(app, ["load", url])
    assert isinstance(refused.exception, FailmodesError)
    assert "name it with --into FILE.duckdb" in str(refused.exception)


def test_rows_of_any_chunking_are_stored_alike(tmp_path: Path, url: str) -> None:
    rows = [{"dataset_id": "d", "class_index": i, "class_name": f"class {i}"} for i in range(300)]
    whole = pa.Table.from_pylist(rows, schema=schema.CLASSES.arrow())
    pieces = pa.concat_tables([whole.slice(i, 7) for i in range(0, 300, 7)])
    paths = [
        write_dimension(output, schema.CLASSES, key, table)
        for output in (tmp_path, as_store_path(url))
        for key, table in (("whole", whole), ("pieces", pieces))
    ]
    assert len({read_verified(path).content_hash for path in paths}) == 1
