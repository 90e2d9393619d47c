"""Conventions of all commands: JSON with the keys named in their help, exit codes, the next command."""

import json
import re
from pathlib import Path

import pytest
from published_files import write_published_files
from run_commands import run, run_in_terminal
from synthetic_results import write_synthetic

from failmodes.runtime import errors
from failmodes.status_command import KEYS, StudyProgress

ROOT = Path(__file__).parents[1]


def keys_in_help(command: str, folder: Path) -> str:
    text = run(command, "--help", folder=folder).stdout
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.test_all
def test_load_prints_json(tmp_path: Path) -> None:
    output = write_synthetic(tmp_path / "results", images=30, models=("A",), corruptions=("fog",)).output
    done = run("load", output, "--into", "w.duckdb", "--json", folder=tmp_path)
    first = json.loads(done.stdout)
    assert (first["shards"], first["is_changed"]) == ({"new": 12, "replaced": 0, "kept": 0, "dropped": 0}, True)
    assert (first["warehouse"], first["rows"], first["measured_evaluations"]) == ("w.duckdb", 6 * 30 + 6 * 60, 1)
    again = json.loads(run("load", output, "--into", "w.duckdb", "--json", folder=tmp_path).stdout)
    assert (again["shards"]["kept"], again["is_changed"], again["published"]) == (12, False, [])
    said = keys_in_help("load", tmp_path)
    assert all(key in said for key in (*first, *first["shards"]))


@pytest.mark.test_all
def test_published_accuracies_are_in_the_json_too(tmp_path: Path, handed: Path) -> None:
    path = write_published_files(tmp_path)
    (tmp_path / "w.duckdb").write_bytes((handed / "warehouse.duckdb").read_bytes())
    done = json.loads(run("load", "w.duckdb", "--published", path, "--json", folder=tmp_path).stdout)
    assert (done["shards"], done["rows"], done["is_changed"]) == (None, None, True)
    assert [(one["models"], one["has_clean"], one["is_drawn"]) for one in done["published"]] == [(3, True, False)]


@pytest.mark.test_all
def test_status_prints_json(handed: Path) -> None:
    found = json.loads(run("status", "--json", folder=handed).stdout)
    assert (found.pop("study"), tuple(found)) == (None, KEYS)
    assert found["row_counts"]["prediction_facts"] == 2 * 26 * 400
    assert all(check["passed"] and check["breaking_rows"] == 0 for check in found["checks"])
    assert [row["model_label"] for row in found["evaluations"]] == ["Alpha", "Beta"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", found["updated_at"])
    said = keys_in_help("status", handed)
    assert all(key in said for key in ("study", *KEYS, "name", "invariant", "passed", "breaking_rows"))


def test_help_and_page_list_the_keys_of_json_objects() -> None:
    pytest.importorskip("torch")
    from failmodes.evaluate.engine.estimate import ModelEstimate, RunEstimate
    from failmodes.evaluate.engine.tasks import Failure, RunResult

    progress = StudyProgress(Path(), "", [], {}, [])
    keys = {
        "evaluate": ("images", *RunResult().as_json(), *Failure._fields),
        "run": (*RunEstimate._fields, *ModelEstimate._fields),
        "status": ("study", *KEYS, *progress.as_json()),
    }
    page = (ROOT / "docs" / "commands.md").read_text()
    for command, names in keys.items():
        said = keys_in_help(command, ROOT)
        assert [name for name in names if name not in said] == []
        assert [name for name in names if f"`{name}`" not in page] == []


@pytest.mark.test_all
def test_status_is_in_utc_in_any_time_zone(handed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = run("status", "--json", folder=handed).stdout
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert run("status", "--json", folder=handed).stdout == here


def test_every_exit_code_is_documented() -> None:
    known = {value.exit_code for value in vars(errors).values() if isinstance(value, type)
             and issubclass(value, errors.FailmodesError)}  # fmt: skip
    codes = {0, 3, errors.BUG_EXIT_CODE, 143, *known}  # done, a gate that is inconclusive, SIGTERM
    table = re.findall(r"^\| (\d+) \|", (ROOT / "docs" / "commands.md").read_text(), re.MULTILINE)
    assert {int(code) for code in table} == codes
    text = run("--help", folder=ROOT).stdout
    assert {int(code) for code in re.findall(r"^ +(\d+)  +\S", text, re.MULTILINE)} == codes


@pytest.mark.test_all
def test_a_command_ends_with_the_next_one_but_for_programs(handed: Path) -> None:
    assert run_in_terminal("status", folder=handed).splitlines()[-1].startswith("next: failmodes ")
    assert "next:" not in run_in_terminal("status", "--json", folder=handed)
