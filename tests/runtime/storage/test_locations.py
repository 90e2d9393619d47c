"""Finding the warehouse from a study file, an output folder, a database file, or nothing."""

from pathlib import Path

import pytest

from failmodes.runtime.errors import StudyError
from failmodes.runtime.storage.locations import find_output, find_warehouse


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_study_names_its_output_relative_to_itself(tmp_path: Path) -> None:
    study = tmp_path / "studies" / "mine.toml"
    study.parent.mkdir()
    study.write_text('output = "runs/mine"\n[anything]\nelse = 1\n')
    assert find_output(study) == tmp_path / "studies" / "runs" / "mine"
    assert find_warehouse(study) == tmp_path / "studies" / "runs" / "mine" / "warehouse.duckdb"
    study.write_text('output = "/elsewhere"')
    assert find_warehouse(study) == Path("/elsewhere/warehouse.duckdb")


def test_folder_and_database_stand_for_themselves(tmp_path: Path) -> None:
    assert find_warehouse(tmp_path) == tmp_path / "warehouse.duckdb"
    assert find_warehouse(tmp_path / "other.duckdb") == tmp_path / "other.duckdb"
    assert find_output(tmp_path / "other.duckdb") == tmp_path


def test_default_is_study_then_database_of_the_current_folder(here: Path) -> None:
    with pytest.raises(StudyError, match=r"no study\.toml or warehouse\.duckdb"):
        find_warehouse(None)
    (here / "warehouse.duckdb").touch()
    assert find_warehouse(None) == Path("warehouse.duckdb")
    (here / "study.toml").write_text('output = "out"')
    assert find_warehouse(None) == Path("out/warehouse.duckdb")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ("output = ", "not valid TOML"),
        (b"\xff\xfe", "not UTF-8 text"),
        ("name = 'x'", "names no output folder"),
        ("output = 3", "names no output folder"),
        ("output = ''", "names no output folder"),
    ],
)
def test_bad_study_is_one_clear_line(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    study = tmp_path / "study.toml"
    if content is not None:
        study.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(StudyError, match=message) as caught:
        find_warehouse(study)
    assert str(study) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "message"), [("missing", "does not exist"), ("file.csv", "is not a folder")])
def test_anything_else_is_refused(here: Path, name: str, message: str) -> None:
    (here / "file.csv").touch()
    with pytest.raises(StudyError, match=message):
        find_warehouse(Path(name))
