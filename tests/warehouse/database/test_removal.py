"""Removing evaluations from results and warehouse: what goes, what stays byte for byte, and what a kill leaves."""

import hashlib
import shutil
from pathlib import Path

import duckdb
import pytest
from synthetic_results import Synthetic, write_synthetic
from synthetic_shifts import write_shift

from failmodes.analysis.judging.stored import DERIVATION
from failmodes.runtime.errors import StudyError, WarehouseError
from failmodes.runtime.storage.locks import run_lock
from failmodes.warehouse.database import removal
from failmodes.warehouse.database.checks import refuse_broken_relations
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.removal import find_place, remove_evaluations, stored_evaluations
from failmodes.warehouse.database_schema import ALL_TABLES
from failmodes.warehouse.schema import EVALUATIONS, MODELS
from failmodes.warehouse.shards.format import dimension_path, write_dimension


class Killed(BaseException):
    """Ends a removal as a kill does: nothing of it runs on."""


def write(folder: Path, models: tuple[str, ...] = ("Alpha", "Beta")) -> Synthetic:
    return write_synthetic(folder, images=24, models=models, corruptions=("fog",), severities=(1, 5))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Synthetic:
    made = write(tmp_path_factory.mktemp("made"))
    load([made.output], made.output / "warehouse.duckdb", derivation=DERIVATION)
    return made


@pytest.fixture
def two(made: Synthetic, tmp_path: Path) -> Synthetic:
    """Results of two models, and their warehouse."""
    return made._replace(output=Path(shutil.copytree(made.output, tmp_path / "out")))


@pytest.fixture
def warehouse(two: Synthetic) -> Path:
    return two.output / "warehouse.duckdb"


def files_of(folder: Path) -> dict[str, str]:
    paths = [path for path in (folder / "results").rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def traces(warehouse: Path, *texts: str) -> list[str]:
    """Tables in which one of the texts stands."""
    with duckdb.connect(str(warehouse), read_only=True) as con:
        rows = {t.name: str(con.execute(f"select columns(*)::varchar from {t.name}").fetchall()) for t in ALL_TABLES}
    return [name for name, found in rows.items() if any(text in found for text in texts)]


def rows_of(warehouse: Path) -> dict[str, int]:
    with duckdb.connect(str(warehouse), read_only=True) as con:
        return {t.name: con.execute(f"select count(*) from {t.name}").fetchall()[0][0] for t in ALL_TABLES}


def remove(where: Path, *identities: str) -> None:
    remove_evaluations(find_place(where), identities, DERIVATION)


def ids(where: Path) -> set[str]:
    return {one.evaluation_id for one in stored_evaluations(find_place(where))}


def test_what_is_left_is_as_if_the_evaluation_had_never_been(two: Synthetic, warehouse: Path, tmp_path: Path) -> None:
    gone, whole, before = two.evaluations["Alpha"], rows_of(warehouse), files_of(two.output)
    remove(two.output, gone)
    after = files_of(two.output)
    assert after.items() <= before.items()
    assert after.keys() == files_of(write(tmp_path / "alone", ("Beta",)).output).keys()
    load([two.output], tmp_path / "again.duckdb", derivation=DERIVATION)
    assert rows_of(warehouse) == rows_of(tmp_path / "again.duckdb")
    assert traces(warehouse, gone, "Alpha") == []
    assert "findings" in traces(warehouse, two.evaluations["Beta"])
    with open_warehouse(warehouse) as con:
        refuse_broken_relations(con)
        assert DERIVATION.due(con) == []
    assert not load([two.output], warehouse, derivation=DERIVATION).swapped
    write(two.output)  # made and loaded again
    load([two.output], warehouse, derivation=DERIVATION)
    assert rows_of(warehouse) == whole


@pytest.mark.slow
def test_a_model_that_another_evaluation_uses_stays(two: Synthetic, warehouse: Path) -> None:
    path, other = dimension_path(two.output, EVALUATIONS, two.evaluations["Alpha"]), "0" * 16
    (row,) = removal.read_rows(path, EVALUATIONS).to_pylist()
    write_dimension(two.output, EVALUATIONS, other, [row | {"evaluation_id": other, "precision": "float16"}])
    load([two.output], warehouse)
    remove(two.output, two.evaluations["Alpha"])
    assert dimension_path(two.output, MODELS, row["model_id"]).is_file()
    assert "models" in traces(warehouse, row["model_id"])
    remove(two.output, other)
    assert not dimension_path(two.output, MODELS, row["model_id"]).is_file()


@pytest.mark.slow
def test_the_last_evaluation_leaves_a_warehouse_that_can_be_loaded_into(two: Synthetic, warehouse: Path) -> None:
    remove(two.output, *two.evaluations.values())
    assert ids(two.output) == set()
    assert traces(warehouse, *two.evaluations.values(), "Synthetic digits") == []
    write(two.output)
    assert load([two.output], warehouse, derivation=DERIVATION).new_shards


@pytest.mark.parametrize(
    ("instant", "has_warehouse"),
    [
        ("middle", False),
        *(pytest.param(instant, True, marks=pytest.mark.slow) for instant in ("first", "last", "swap")),
    ],
)
def test_a_second_removal_finishes_what_a_killed_one_left(
    two: Synthetic, warehouse: Path, monkeypatch: pytest.MonkeyPatch, instant: str, has_warehouse: bool
) -> None:
    """The results never hold what the warehouse no longer has, so that no load in between brings anything back."""
    gone, steps = two.evaluations["Alpha"], []
    if not has_warehouse:
        warehouse.unlink()
    undisturbed = Path(shutil.copytree(two.output, two.output.parent / "undisturbed"))

    def remove_until(folder: Path, at: int | None) -> None:
        with monkeypatch.context() as patch:
            for name in ("delete", "delete_folder"):
                original = getattr(removal, name)

                def step(path: Path, original=original) -> None:
                    if len(steps) == at:
                        raise Killed
                    steps.append(path)
                    original(path)

                patch.setattr(removal, name, step)
            if instant == "swap" and at is not None:
                patch.setattr("failmodes.runtime.storage.files.os.replace", _kill)
            remove_evaluations(find_place(folder), [gone])

    remove_until(undisturbed, None)
    at = {"first": 0, "middle": len(steps) // 2, "last": len(steps) - 1, "swap": len(steps)}[instant]
    steps.clear()
    with pytest.raises(Killed):
        remove_until(two.output, at)
    held = {one.evaluation_id: one for one in stored_evaluations(find_place(two.output))}[gone]
    assert (held.in_warehouse, held.in_results) == (has_warehouse, instant != "swap")
    load([two.output], warehouse)
    remove_evaluations(find_place(two.output), [gone])
    assert files_of(two.output) == files_of(undisturbed)
    load([two.output], warehouse)
    assert traces(warehouse, gone, "Alpha") == []


def _kill(*_: object) -> None:
    raise Killed


def test_a_warehouse_alone_and_results_alone(two: Synthetic, warehouse: Path, tmp_path: Path) -> None:
    gone, alone = two.evaluations["Alpha"], tmp_path / "alone" / "w.duckdb"
    alone.parent.mkdir()
    warehouse.rename(alone)
    (one,) = [each for each in stored_evaluations(find_place(alone)) if each.evaluation_id == gone]
    assert (one.in_results, one.in_warehouse, one.cell_count) == (False, True, 3)
    for where in (alone, two.output):
        remove(where, gone)
        assert ids(where) == {two.evaluations["Beta"]}
    assert {path.name for path in alone.parent.iterdir()} == {"w.duckdb", ".w.duckdb.lock"}
    assert not warehouse.exists()


def test_remote_results(two: Synthetic) -> None:
    pytest.importorskip("upath")
    import fsspec

    gone = two.evaluations["Alpha"]
    fsspec.filesystem("memory").put(str(two.output / "results"), "/removed/results", recursive=True)
    place = find_place("memory://removed")
    assert {one.evaluation_id: one.file_count for one in stored_evaluations(place)}[gone] > 3
    remove_evaluations(place, [gone])
    assert not [name for name in fsspec.filesystem("memory").find("/removed") if gone in name]
    assert [one.evaluation_id for one in stored_evaluations(place)] == [two.evaluations["Beta"]]


def test_nothing_is_removed_during_a_run_nor_where_there_is_nothing(two: Synthetic, tmp_path: Path) -> None:
    before = files_of(two.output)
    with run_lock(two.output), pytest.raises(WarehouseError, match="another run"):
        remove(two.output, two.evaluations["Alpha"])
    assert files_of(two.output) == before
    with pytest.raises(StudyError, match="neither results nor a warehouse"):
        find_place(tmp_path)
    with pytest.raises(StudyError, match="does not exist"):
        find_place(two.output / "mistyped.duckdb")


@pytest.mark.slow
def test_natural_shifts_go_with_their_model_and_are_not_listed(tmp_path: Path) -> None:
    made = write(tmp_path)
    of_shift = write_shift(tmp_path, "V2", {"Alpha": 20, "Beta": 10}, images=30, clean=made.evaluations)
    hard = write_shift(
        tmp_path, "Hard", {"Alpha": 5}, images=10, clean_correct={"Alpha": 8}, clean_images=10, classes=2
    )
    load([tmp_path], tmp_path / "warehouse.duckdb")
    assert {one.evaluation_id for one in stored_evaluations(find_place(tmp_path))} == set(made.evaluations.values())
    remove(tmp_path, made.evaluations["Alpha"])
    gone = (made.evaluations["Alpha"], of_shift["Alpha"], hard["Alpha"])
    assert traces(tmp_path / "warehouse.duckdb", *gone) == []
    assert not [name for name in files_of(tmp_path) if any(one in name for one in gone)]
    with open_warehouse(tmp_path / "warehouse.duckdb") as con:
        refuse_broken_relations(con)
        assert con.sql("select shift, model_label from accuracy_by_shift").fetchall() == [("V2", "Beta")]
    remove(tmp_path, made.evaluations["Beta"])
    assert {Path(name).parts[1] for name in files_of(tmp_path)} == {"corruptions"}
