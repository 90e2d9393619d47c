"""Files of a record that damage or a stranger made: `load` names each in one line, and loads nothing."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from fault_trials import refused
from malformed_results import FILES, FOOTERS, MODEL_FILES, PLACES, ROWS
from warehouse_files import write_small_results

from failmodes.warehouse.errors import DamagedShardError, FailmodesError, StorageError
from failmodes.warehouse.schema import CLASSES, PREDICTION_FACTS
from failmodes.warehouse.shards.format import (
    CLEAN_CELL,
    list_results_files,
    published_cells,
    read_footer,
    read_verified,
    write_dimension,
)
from failmodes.warehouse.shards.inventory import read_verified_rows, scan_results


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_results(tmp_path_factory.mktemp("sound"), "Alpha").output


@pytest.fixture
def output(sound: Path, tmp_path: Path) -> Path:
    """A record of one's own, to break."""
    return Path(shutil.copytree(sound, tmp_path / "out"))


def shard_of(output: Path) -> Path:
    return next(list_results_files(output, PREDICTION_FACTS))


ALL = {**FOOTERS, **ROWS, **FILES, **PLACES}
QUICK = ("deep JSON", "a text as label", "a pipe", "a further partition")
HEAVY = {
    "a text of 300 MB",
    "a text of 300 MB that its column denies",
    "a row of 60 million numbers",
    "100 million rows",
    "ten thousand row groups",
}


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in ALL])
def test_load_names_a_file_that_is_wrong_and_loads_nothing(name: str, output: Path) -> None:
    fault, says = ALL[name]
    fault(shard_of(output))
    refused("load", output, "--into", "w.duckdb", folder=output.parent, says=says, code=1)
    assert not list(output.parent.glob("*.duckdb"))


def read_all(output: Path) -> None:
    """Read a record as a load does; what that gathers is raised."""
    files, found = scan_results([output])
    list(read_verified_rows(list(files.values()), found))  # type: ignore[arg-type]
    for error in found:
        raise error


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in ALL])
def test_reading_raises_one_of_two_errors(name: str, sound: Path, tmp_path: Path) -> None:
    """Whatever is wrong with a file: nothing but these two is caught by those that go on without it."""
    lone = tmp_path / "out" / shard_of(sound).relative_to(sound)
    lone.parent.mkdir(parents=True)
    shutil.copy(shard_of(sound), lone)
    ALL[name][0](lone)
    with pytest.raises((DamagedShardError, StorageError) if "version" not in name else FailmodesError) as caught:
        read_all(tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert ALL[name][1] in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_dimension_that_is_wrong_is_named(name: str, output: Path) -> None:
    fault, says = MODEL_FILES[name]
    fault(shard_of(output))
    refused("load", output, "--into", "w.duckdb", folder=output.parent, says=says, code=1)


@pytest.mark.slow
def test_a_bit_that_turned_is_reported_or_changes_nothing(output: Path) -> None:
    path = shard_of(output)
    intact, expected = path.read_bytes(), (read_verified(path), read_footer(path))
    rng = np.random.default_rng(0)
    reported = 0
    for position in [6716, *rng.integers(0, len(intact), 2000)]:
        changed = bytearray(intact)
        changed[position % len(intact)] ^= 1 << int(rng.integers(8))
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

        monkeypatch.setattr("failmodes.warehouse.shards.format.pq.read_metadata", failing)
        with pytest.raises(kind):
            read_verified(path)


def test_only_shards_where_they_belong_are_published_cells(output: Path) -> None:
    shard = next(path for path in list_results_files(output, PREDICTION_FACTS) if "corruption=none" in str(path))
    evaluation_id = shard.parents[2].name.removeprefix("evaluation_id=")
    before = published_cells(output, evaluation_id, attention=False)
    for parts in (("corruption=fog", "severity=x"), ("corruption=fog", "severity=1e3"), ("severity=9.000",), ()):
        stray = shard.parents[2].joinpath(*parts, "rows.parquet")
        stray.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shard, stray)
    assert published_cells(output, evaluation_id, attention=False) == before
    assert CLEAN_CELL in before


def test_a_text_that_repeats_is_read_as_it_was_written(tmp_path: Path) -> None:
    names = ["cat", "", "dög"] * 1000
    rows = pa.table({"dataset_id": ["d"] * 3000, "class_index": range(3000), "class_name": names, "wordnet_id": names})
    stored = read_verified(write_dimension(tmp_path, CLASSES, "d", rows))
    assert stored.rows["class_name"].to_pylist() == names
    assert [field.type for field in stored.rows.schema] == [field.type for field in CLASSES.arrow()]
