"""Fixtures shared by several packages. Those of models import PyTorch themselves: others run without it."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest
from built_once import built_once
from hypothesis import settings
from synthetic_results import Synthetic, write_synthetic
from warehouse_files import SECRET, SMALL_RECORD, change_file

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.evaluate.study.study_file import read_study
from failmodes.evaluate.study.study_schema import Study
from failmodes.runtime.storage.files import as_store_path
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load

TinyRun = tuple[Path, Study, dict[str, str]]
settings.register_profile("any machine", deadline=None)  # a busy machine takes any time for an example
settings.load_profile("any machine")
# Seconds of the files that last longest, measured on two quiet cores: of `make test`, and, if they are longer, of
# `make test-all`. Of another file each test counts COST
COSTS = {
    "faults/test_kills_of_commands.py": 190.0,
    "browser/test_explorer.py": 110.0,
    "analysis/results/test_slices.py": 65.0,
    "end_to_end/test_study_pages.py": 60.0,
    "warehouse/database/test_updates.py": 60.0,
    "test_exit_codes.py": 50.0,
    "analysis/judging/test_diff.py": 45.0,
    "warehouse/database/test_stored_metrics.py": 40.0,
    "analysis/test_mixed_protocols.py": 40.0,
    "faults/test_malformed_imports.py": 17.5,
    "sql/test_views.py": 12.9,
    "analysis/judging/test_claims.py": 11.6,
    "evaluate/tables/test_tables.py": 9.7,
    "evaluate/engine/test_shifts.py": 7.1,
    "analysis/charts/test_points.py": 6.0,
    "analysis/judging/test_gate.py": 5.9,
}
COST = 0.1


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Workers take the files first that last longest, so that they end together."""
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:
        counted = Counter(item.path for item in items)
        here = Path(__file__).parent
        costs = {path: COSTS.get(path.relative_to(here).as_posix(), COST * count) for path, count in counted.items()}
        items.sort(key=lambda item: -costs[item.path])


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_disks() -> Iterator[None]:
    """No test takes the power away, which alone would need it: of a process that is killed the system keeps all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A synthetic record (read only: copy it before you change it)."""
    folder, made = built_once(tmp_path_factory, "synthetic", write_synthetic)
    return made._replace(output=folder)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data that FAILMODES_DATA names."""
    folder = os.environ.get("FAILMODES_DATA")
    if not folder:
        pytest.skip("FAILMODES_DATA is unset: it names the folder with real CIFAR-10 images and checkpoints")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def sound_warehouse(synthetic: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound warehouse; copy it before you change it."""

    def build(folder: Path) -> None:
        load([synthetic.output], folder / "warehouse.duckdb", derivation=DERIVATION)

    return built_once(tmp_path_factory, "sound", build)[0] / "warehouse.duckdb"


@pytest.fixture
def warehouse_copy(sound_warehouse: Path, tmp_path: Path) -> Path:
    """A copy of the sound warehouse that a test may change."""
    return Path(shutil.copy(sound_warehouse, tmp_path / "warehouse.duckdb"))


@pytest.fixture(scope="session")
def _handed_folder(sound_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handed")
    shutil.copy(sound_warehouse, folder)
    return folder


@pytest.fixture
def handed(_handed_folder: Path) -> Iterator[Path]:
    """A folder with nothing but the sound warehouse, as an analyst is handed it; a test that changes it fails."""
    before = _state(_handed_folder)
    yield _handed_folder
    assert _state(_handed_folder) == before


def _state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Size and time of the last change, in nanoseconds, of all that lies in a folder."""
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture(scope="session")
def exported_predictions(tiny_run: TinyRun) -> pl.DataFrame:
    """What another program would hand over: image_id, corruption, severity, logits."""
    from import_files import stored_rows

    rows = stored_rows(tiny_run[0].parent / "out")
    return rows.select("image_id", "corruption", pl.col("severity").cast(pl.Float64), "logits")


@pytest.fixture
def fresh_study(tiny_run: TinyRun, tmp_path: Path) -> Path:
    """The same study without models, in a folder of its own."""
    path = tmp_path / "study.toml"
    path.write_text(tiny_run[0].read_text().split("[[models]]")[0])
    return path


@pytest.fixture
def small_import(tmp_path: Path) -> Path:
    from import_files import SMALL_STUDY

    (tmp_path / "study.toml").write_text(SMALL_STUDY)
    return tmp_path / "study.toml"


@pytest.fixture(scope="session")
def query_folder(sound_warehouse: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a warehouse, files that no query may read, and the folder that DuckDB usually spills to."""

    def build(folder: Path) -> None:
        shutil.copy(sound_warehouse, folder)
        (folder / "secret.csv").write_text(f"{SECRET}\n")
        duckdb.sql("select 1 as a").write_parquet(str(folder / "secret.parquet"))
        change_file(folder / "other.duckdb", "create table secrets as select 1 as a")
        (folder / "warehouse.duckdb.tmp").mkdir()

    return built_once(tmp_path_factory, "query", build)[0]


@pytest.fixture
def query_here(query_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder as current one; afterwards every file in it must be what it was, and none be added."""
    monkeypatch.chdir(query_folder)
    monkeypatch.setenv("FAILMODES_TEST_SECRET", SECRET)
    before = {path: path.read_bytes() for path in query_folder.rglob("*") if path.is_file()}
    folders = {path for path in query_folder.rglob("*") if path.is_dir()}
    yield query_folder
    assert {path: path.read_bytes() for path in query_folder.rglob("*") if path.is_file()} == before
    assert {path for path in query_folder.rglob("*") if path.is_dir()} == folders


@pytest.fixture(scope="session")
def local_results(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """A small record in a local folder; read only."""
    return write_synthetic(tmp_path_factory.mktemp("here"), **SMALL_RECORD)


@pytest.fixture
def memory_url(tmp_path: Path) -> Iterator[str]:
    """The URL of a folder in this process's memory, emptied at the end."""
    from fsspec.implementations.memory import MemoryFileSystem

    yield f"memory://{tmp_path.name}/study"
    for path in MemoryFileSystem().find(f"/{tmp_path.name}"):
        MemoryFileSystem().rm_file(path)


@pytest.fixture
def memory_results(memory_url: str) -> Synthetic:
    """The same record, written to memory."""
    return write_synthetic(as_store_path(memory_url), **SMALL_RECORD)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory) -> TinyRun:
    """The file of a study that was evaluated, the study, and the hashes of all that it published."""
    from tiny_study import CELLS, hashes, run_study, write_tiny_study

    def build(folder: Path) -> dict[str, str]:
        result = run_study(write_tiny_study(folder))
        assert (result.written, result.existing) == (CELLS, 0)
        return hashes(folder / "out")

    folder, expected = built_once(tmp_path_factory, "tiny", build)
    return folder / "study.toml", read_study(folder / "study.toml"), expected


@pytest.fixture
def tiny_run_copy(tiny_run, tmp_path) -> tuple[Path, Path, dict[str, str]]:
    """A finished study of one's own, to break."""
    shutil.copytree(tiny_run[0].parent, tmp_path / "study")
    return tmp_path / "study" / "study.toml", tmp_path / "study" / "out", tiny_run[2]


@pytest.fixture(scope="session")
def con(sound_warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The sound warehouse, open for reading."""
    with open_warehouse(sound_warehouse) as con:
        yield con
