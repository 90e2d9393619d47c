"""Removing evaluations from results and warehouse: what goes, what stays byte for byte, and what a kill leaves."""

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest
from synthetic_results import Synthetic, write_synthetic
from synthetic_shifts import write_shift

from failmodes.analysis.judging.derivation import DERIVATION
from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.runtime.storage.locks import run_lock
from failmodes.warehouse.database import removal
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.connection import count_rows, open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.removal import find_place, remove_evaluations, stored_evaluations
from failmodes.warehouse.database_schema import ALL_TABLES
from failmodes.warehouse.schema import EVALUATIONS, MODELS
from failmodes.warehouse.shards.format import dimension_path, write_dimension
from failmodes.warehouse.shards.inventory import read_rows

WAREHOUSE = "warehouse.duckdb"


def write_models(folder: Path, models: tuple[str, ...] = ("Alpha", "Beta")) -> Synthetic:
    return write_synthetic(folder, images=24, models=models, corruptions=("fog",), severities=(1, 5))


def load_results(folder: Path, warehouse: str = WAREHOUSE) -> Path:
    load([folder], folder / warehouse, derivation=DERIVATION)
    return folder / warehouse


def remove(where: Path, *identities: str) -> None:
    remove_evaluations(find_place(where), identities, DERIVATION)


def identities_in(where: Path) -> set[str]:
    return {stored.evaluation_id for stored in stored_evaluations(find_place(where))}


def file_hashes(folder: Path) -> dict[str, str]:
    paths = [path for path in (folder / "results").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def row_counts(warehouse: Path) -> dict[str, int]:
    with open_warehouse(warehouse) as con:
        return count_rows(con)


def tables_with(warehouse: Path, *texts: str) -> set[str]:
    """Tables that have one of the texts in a row."""
    rows = "select 1 from (select x::varchar as text from {} as x) where " + " or ".join(
        "contains(text, ?)" for _ in texts
    )
    with duckdb.connect(str(warehouse), read_only=True) as con:
        return {t.name for t in ALL_TABLES if con.execute(f"{rows.format(t.name)} limit 1", texts).fetchall()}


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    """Results of two models with their warehouse (read only)."""
    models = write_models(tmp_path_factory.mktemp("loaded"))
    load_results(models.output)
    return models


@pytest.fixture(scope="module")
def without_alpha(loaded: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder after Alpha was removed (read only)."""
    folder = Path(shutil.copytree(loaded.output, tmp_path_factory.mktemp("removed") / "out"))
    remove(folder, loaded.evaluations["Alpha"])
    return folder


@pytest.fixture
def models(loaded: Synthetic, tmp_path: Path) -> Synthetic:
    """A copy that a test may change."""
    return loaded._replace(output=Path(shutil.copytree(loaded.output, tmp_path / "out")))


@pytest.fixture
def alpha(loaded: Synthetic) -> str:
    return loaded.evaluations["Alpha"]


@pytest.fixture
def beta(loaded: Synthetic) -> str:
    return loaded.evaluations["Beta"]


def test_other_files_stay_byte_for_byte(loaded: Synthetic, without_alpha: Path, tmp_path: Path) -> None:
    left = file_hashes(without_alpha)
    assert left.items() <= file_hashes(loaded.output).items()
    assert left.keys() == file_hashes(write_models(tmp_path, ("Beta",)).output).keys()


@pytest.mark.test_all
def test_checks_hold_and_derived_tables_are_current(without_alpha: Path) -> None:
    with open_warehouse(without_alpha / WAREHOUSE) as con:
        refuse_broken_relations(con)
        assert DERIVATION.due(con) == []


@pytest.mark.test_all
def test_next_load_has_nothing_to_do_until_the_evaluation_is_written_again(
    loaded: Synthetic, without_alpha: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(without_alpha, tmp_path / "again"))
    assert not load([folder], folder / WAREHOUSE, derivation=DERIVATION).swapped
    write_models(folder)
    assert row_counts(load_results(folder)) == row_counts(loaded.output / WAREHOUSE)


@pytest.mark.test_all
def test_model_stays_until_its_last_evaluation(models: Synthetic, alpha: str) -> None:
    (row,) = read_rows(dimension_path(models.output, EVALUATIONS, alpha), EVALUATIONS).to_pylist()
    model = dimension_path(models.output, MODELS, row["model_id"])
    half = "0" * 16
    write_dimension(models.output, EVALUATIONS, half, [row | {"evaluation_id": half, "precision": "float16"}])
    load([models.output], models.output / WAREHOUSE)
    remove(models.output, alpha)
    assert model.is_file()
    assert "models" in tables_with(models.output / WAREHOUSE, row["model_id"])
    remove(models.output, half)
    assert not model.is_file()


@pytest.mark.test_all
def test_warehouse_without_evaluations_can_be_loaded_into(models: Synthetic) -> None:
    remove(models.output, *models.evaluations.values())
    assert identities_in(models.output) == set()
    assert tables_with(models.output / WAREHOUSE, *models.evaluations.values(), "Synthetic digits") == set()
    write_models(models.output)
    assert load([models.output], models.output / WAREHOUSE, derivation=DERIVATION).new_shards


class Killed(BaseException):
    """Ends a removal as a kill does: none of its code runs on."""


class Kill(NamedTuple):
    """An instant of a removal: a share of its files removed, and whether the new warehouse would be swapped next."""

    share: float
    has_warehouse: bool = True
    at_swap: bool = False


KILLS = {
    "at the first file": Kill(0),
    "at the last file": Kill(0.999),
    "at the swap": Kill(1, at_swap=True),
    "in the middle, without a warehouse": Kill(0.5, has_warehouse=False),
}


def kill(*_: object) -> None:
    raise Killed


def remove_until(folder: Path, evaluation: str, file_count: int | None, *, at_swap: bool = False) -> int:
    """Remove an evaluation until so many files and folders are removed; returns how many were."""
    removed: list[Path] = []

    def counted(original):
        def step(path: Path) -> None:
            if len(removed) == file_count:
                raise Killed
            removed.append(path)
            original(path)

        return step

    with pytest.MonkeyPatch.context() as patch:
        for name in ("delete", "delete_folder"):
            patch.setattr(removal, name, counted(getattr(removal, name)))
        if at_swap:
            patch.setattr("failmodes.runtime.storage.files.os.replace", kill)
        remove_evaluations(find_place(folder), [evaluation])
    return len(removed)


@pytest.fixture(scope="module")
def file_count(loaded: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many files and folders the removal of Alpha removes."""
    folder = Path(shutil.copytree(loaded.output, tmp_path_factory.mktemp("counted") / "out"))
    return remove_until(folder, loaded.evaluations["Alpha"], None)


@pytest.mark.test_all
@pytest.mark.parametrize("name", KILLS)
def test_second_removal_completes_a_killed_one(
    name: str, models: Synthetic, alpha: str, file_count: int, without_alpha: Path
) -> None:
    """The results never hold what the warehouse no longer has, so that no load in between brings anything back."""
    instant = KILLS[name]
    if not instant.has_warehouse:
        (models.output / WAREHOUSE).unlink()
    with pytest.raises(Killed):
        remove_until(models.output, alpha, int(instant.share * file_count), at_swap=instant.at_swap)
    stored = {each.evaluation_id: each for each in stored_evaluations(find_place(models.output))}[alpha]
    assert (stored.in_warehouse, stored.in_results) == (instant.has_warehouse, not instant.at_swap)
    load([models.output], models.output / WAREHOUSE)
    remove_evaluations(find_place(models.output), [alpha])
    assert file_hashes(models.output) == file_hashes(without_alpha)
    load([models.output], models.output / WAREHOUSE)
    assert tables_with(models.output / WAREHOUSE, alpha, "Alpha") == set()


@pytest.mark.test_all
def test_warehouse_alone(models: Synthetic, alpha: str, beta: str, tmp_path: Path) -> None:
    (tmp_path / "alone").mkdir()
    warehouse = (models.output / WAREHOUSE).rename(tmp_path / "alone" / "w.duckdb")
    stored = {each.evaluation_id: each for each in stored_evaluations(find_place(warehouse))}[alpha]
    assert (stored.in_results, stored.in_warehouse, stored.cell_count) == (False, True, 3)
    remove_evaluations(find_place(warehouse), [alpha])
    assert identities_in(warehouse) == {beta}
    assert {path.name for path in warehouse.parent.iterdir()} == {"w.duckdb", ".w.duckdb.lock"}


def test_results_alone(models: Synthetic, alpha: str, beta: str) -> None:
    (models.output / WAREHOUSE).unlink()
    remove(models.output, alpha)
    assert identities_in(models.output) == {beta}
    assert not (models.output / WAREHOUSE).exists()


def test_remote_results(models: Synthetic, alpha: str, beta: str) -> None:
    pytest.importorskip("upath")
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(models.output / "results"), "/removed/results", recursive=True)
    place = find_place("memory://removed")
    assert {stored.evaluation_id: stored.file_count for stored in stored_evaluations(place)}[alpha] > 3
    remove_evaluations(place, [alpha])
    assert not [name for name in memory.find("/removed") if alpha in name]
    assert [stored.evaluation_id for stored in stored_evaluations(place)] == [beta]


def test_nothing_is_removed_during_a_run(models: Synthetic, alpha: str) -> None:
    before = file_hashes(models.output)
    with run_lock(models.output), pytest.raises(WarehouseError, match="another run"):
        remove(models.output, alpha)
    assert file_hashes(models.output) == before


@pytest.mark.parametrize(
    ("name", "message"), [(".", "neither results nor a warehouse"), ("mistyped.duckdb", "does not exist")]
)
def test_location_without_evaluations_is_refused(name: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=message):
        find_place(tmp_path / name)


@pytest.mark.test_all
def test_shifts_of_a_model_are_removed_with_it_and_not_listed(tmp_path: Path) -> None:
    models = write_models(tmp_path)
    plain = write_shift(tmp_path, "V2", {"Alpha": 20, "Beta": 10}, images=30, clean=models.evaluations)
    hard = write_shift(
        tmp_path, "Hard", {"Alpha": 5}, images=10, clean_correct={"Alpha": 8}, clean_images=10, classes=2
    )
    load([tmp_path], tmp_path / WAREHOUSE)
    assert identities_in(tmp_path) == set(models.evaluations.values())
    remove(tmp_path, models.evaluations["Alpha"])
    removed = (models.evaluations["Alpha"], plain["Alpha"], hard["Alpha"])
    assert tables_with(tmp_path / WAREHOUSE, *removed) == set()
    assert not [name for name in file_hashes(tmp_path) if any(identity in name for identity in removed)]
    with open_warehouse(tmp_path / WAREHOUSE) as con:
        refuse_broken_relations(con)
        assert con.sql("select shift, model_label from accuracy_by_shift").fetchall() == [("V2", "Beta")]
    remove(tmp_path, models.evaluations["Beta"])
    assert {Path(name).parts[1] for name in file_hashes(tmp_path)} == {"corruptions"}
