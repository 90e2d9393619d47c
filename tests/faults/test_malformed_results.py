"""Files of a record that damage or a stranger made: `load` names each in one line, and loads nothing."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fault_trials import MAX_S, refused
from marked_cases import quick
from warehouse_files import write_small_results

from failmodes.runtime.errors import DamagedShardError, FailmodesError, StorageError
from failmodes.runtime.hashing import identity_of
from failmodes.warehouse.schema import MODELS, PREDICTION_FACTS
from failmodes.warehouse.shards.format import (
    FOOTER_HASH_KEY,
    FOOTER_KEY,
    content_hash,
    list_results_files,
    read_footer,
    read_verified,
    seal,
)
from failmodes.warehouse.shards.inventory import read_verified_rows, scan_results

Fault = Callable[[Path], object]  # what is done to the path of a shard of predictions
Rows = Callable[[pa.Table], pa.Table]


def footer_of(path: Path) -> dict[str, Any]:
    return json.loads(pq.read_metadata(path).metadata[FOOTER_KEY])


def write(path: Path, rows: pa.Table, footer: Any, **options: Any) -> None:
    """A file whose seal is right, as anyone can make one."""
    pq.write_table(rows.replace_schema_metadata(seal(footer)), path, compression="zstd", **options)


def footer_with(**changes: Any) -> Fault:
    """Another footer; what is None is left out, and a dictionary changes the one that is there."""

    def fault(path: Path) -> None:
        footer = footer_of(path)
        for key, value in changes.items():
            footer[key] = footer[key] | value if isinstance(value, dict) else value
        write(path, read_verified(path).rows, {key: value for key, value in footer.items() if value is not None})

    return fault


def text_of_footer(text: str) -> Fault:
    def fault(path: Path) -> None:
        keys = {FOOTER_KEY: text.encode(), FOOTER_HASH_KEY: identity_of(text).encode()}
        pq.write_table(read_verified(path).rows.replace_schema_metadata(keys), path)

    return fault


def rows_with(change: Rows, hashed: bool = True) -> Fault:
    """Other rows, under their own hash."""

    def fault(path: Path) -> None:
        rows = change(read_verified(path).rows)
        write(path, rows, footer_of(path) | {"content_hash": content_hash(rows) if hashed else "0" * 32})

    return fault


def column(name: str, values: Callable[[int], Any], *, hashed: bool = True) -> Fault:
    """Another column of this name, in place of the first or as a further one."""

    def change(rows: pa.Table) -> pa.Table:
        made = pa.array(values(rows.num_rows))
        if name not in rows.column_names:
            return rows.append_column(name, made)
        return rows.set_column(rows.column_names.index(name), name, made)

    return rows_with(change, hashed)


def of_model(fault: Fault) -> Fault:
    """The fault of the first model's file, in place of the shard's."""
    return lambda shard: fault(next((shard.parents[4] / MODELS.name).iterdir()))


def replaced(make: Callable[[Path], object]) -> Fault:
    def fault(path: Path) -> None:
        path.unlink()
        make(path)

    return fault


def content(change: Callable[[bytes], bytes]) -> Fault:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def moved(path: Path) -> None:
    """The shard in a further partition."""
    (path.parent / "host=a").mkdir()
    shutil.move(path, path.parent / "host=a" / path.name)


def swapped(path: Path) -> None:
    """The shard of another cell, whole, in this one's place."""
    other = next(other for other in path.parents[2].rglob(path.name) if other != path)
    path.write_bytes(other.read_bytes())


DAMAGED = "is damaged and cannot be read"
ELSEWHERE = "does not belong here"
CASES: dict[str, tuple[Fault, str]] = {
    # its footer
    "no footer": (lambda path: pq.write_table(read_verified(path).rows, path), "no footer of failmodes"),
    "a list as footer": (text_of_footer("[]"), DAMAGED),
    "deep JSON": (text_of_footer("[" * 200_000), DAMAGED),
    "a long footer": (text_of_footer('"' + "x" * 2_000_000 + '"'), "Exceeded size limit"),
    "no version": (footer_with(schema_version=None), DAMAGED),
    "another version": (footer_with(schema_version="\x1b]0;x\x07\n"), "has schema version"),
    "no identity": (footer_with(identity=None), DAMAGED),
    "an identity of numbers": (footer_with(identity={"evaluation_id": 7}), DAMAGED),
    "half a letter": (footer_with(identity={"corruption": "\udcff"}), DAMAGED),
    "an upward path": (footer_with(identity={"corruption": "../../../../etc"}), ELSEWHERE),
    "a severity that is no number": (footer_with(identity={"severity": "NaN"}), "its severity is 'NaN'"),
    "an unknown table": (footer_with(table="x", identity={"key": "y"}), ELSEWHERE),
    "another hash": (footer_with(content_hash="0" * 32), "do not match the hash"),
    "a time beyond all": (footer_with(facts={"created_at": "9999-12-31T23:59:59-14:00"}), DAMAGED),
    "seconds in words": (footer_with(facts={"elapsed_s": "long"}), "tried to convert to double"),
    "a batch beyond all": (footer_with(facts={"batch_size": 1 << 40}), "too large to fit in C integer type"),
    # its rows
    "a text as label": (column("label", lambda n: ["a"] * n), DAMAGED),
    "a label beyond its type": (column("label", lambda n: [1 << 40] * n), DAMAGED),
    "no label": (rows_with(lambda rows: rows.drop_columns("label")), "it has no prediction_facts.label"),
    "null labels": (column("label", lambda n: pa.nulls(n, pa.int16())), "prediction_facts.label may not be null"),
    "a struct": (column("more", lambda n: [{"a": 1}] * n, hashed=False), DAMAGED),
    "2 million rows": (rows_with(lambda _: pa.table({"finite": np.zeros(2_000_000, bool)})), "2,000,000 rows of"),
    "no label of a model": (of_model(rows_with(lambda rows: rows.drop_columns("model_label"))), "has no models."),
    "no UTF-8": (of_model(column("model_label", lambda n: pa.array([b"\xff\xfe"] * n).view(pa.string()))), DAMAGED),
    # the file
    "empty": (content(lambda _: b""), DAMAGED),
    "half": (content(lambda whole: whole[: len(whole) // 2]), DAMAGED),
    "zeros": (content(lambda whole: bytes(len(whole))), DAMAGED),
    "a footer of 4 GB": (content(lambda whole: whole[:-8] + b"\xff\xff\xff\xffPAR1"), DAMAGED),
    "a pipe": (replaced(os.mkfifo), "it is a named pipe, expected a regular file"),
    "a link to a device": (replaced(lambda path: path.symlink_to("/dev/zero")), "it is a device"),
    "a link to nothing": (replaced(lambda path: path.symlink_to("nothing")), "is missing"),
    # its place
    "a further partition": (moved, ELSEWHERE),
    "another cell's": (swapped, ELSEWHERE),
}  # fmt: skip
COMMANDS = ("deep JSON", "a text as label", "a pipe", "another cell's")
LARGE = ("a long footer", "2 million rows", "a footer of 4 GB", "a link to a device")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_results(tmp_path_factory.mktemp("sound"), "Alpha").output


@pytest.fixture
def output(sound: Path, tmp_path: Path) -> Path:
    """A record of one's own, to break."""
    return Path(shutil.copytree(sound, tmp_path / "out"))


def shard_of(output: Path) -> Path:
    return next(list_results_files(output, PREDICTION_FACTS))


@quick("name", [*COMMANDS, *LARGE], "deep JSON", "a pipe")
def test_load_names_a_file_that_is_wrong_and_loads_nothing(name: str, output: Path) -> None:
    fault, says = CASES[name]
    fault(shard_of(output))
    refused("load", output, "--into", "w.duckdb", folder=output.parent, says=says, code=1, most_s=MAX_S)
    assert not list(output.parent.glob("*.duckdb"))


@pytest.mark.test_all
@pytest.mark.parametrize("name", CASES)
def test_reading_raises_one_of_two_errors(name: str, output: Path) -> None:
    """Whatever is wrong with a file: nothing but these two is caught by those that go on without it."""
    CASES[name][0](shard_of(output))
    with pytest.raises((DamagedShardError, StorageError) if "version" not in name else FailmodesError) as caught:
        read_all(output)
    assert "\n" not in str(caught.value)
    assert CASES[name][1] in str(caught.value)


def read_all(output: Path) -> None:
    """Read a record as a load does; what that gathers is raised."""
    files, found = scan_results([output])
    list(read_verified_rows(list(files.values()), found))  # type: ignore[arg-type]
    for error in found:
        raise error


@pytest.mark.test_all
def test_a_bit_that_turned_is_reported_or_changes_nothing(output: Path) -> None:
    """Nor does it end the process, as Arrow does where a column's own metadata are asked for."""
    path = shard_of(output)
    intact, expected = path.read_bytes(), (read_verified(path), read_footer(path))
    rng = np.random.default_rng(0)
    reported = 0
    for position in rng.integers(0, len(intact), 2000):
        changed = bytearray(intact)
        changed[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        try:
            assert (read_verified(path), read_footer(path)) == expected
        except DamagedShardError:
            reported += 1
    assert reported > 500


def test_what_the_system_refuses_is_no_damage(output: Path, monkeypatch) -> None:
    """Else `--redo-damaged` would remove sound shards where a process has too many files open."""
    path = shard_of(output)
    for raised, kind in ((OSError(24, "Too many open files"), StorageError), (MemoryError(), MemoryError)):

        def failing(*_: object, raised: BaseException = raised, **__: object) -> None:
            raise raised

        monkeypatch.setattr("failmodes.warehouse.shards.format.pq.ParquetFile", failing)
        with pytest.raises(kind):
            read_verified(path)
