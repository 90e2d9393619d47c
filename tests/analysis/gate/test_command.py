"""The command `failmodes gate`: exit codes, what it prints, what it writes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer import Typer
from typer.testing import CliRunner

from failmodes.analysis import cli
from failmodes.warehouse.errors import FailmodesError, WarehouseError

RULES = """
[gate]
baseline = "Alpha"
candidate = "Noisier"
[[gate.rules]]
measure = "accuracy"
worse_by_at_most = {margin}
corruptions = {corruptions}
"""
HOLDS, BROKEN, UNDECIDED, MISSING = (
    {"margin": 0.2, "corruptions": '["fog"]'}, {"margin": 0, "corruptions": '["fog"]'},
    {"margin": 0.002, "corruptions": '["none"]'}, {"margin": 0.2, "corruptions": '["snow"]'},
)  # fmt: skip


@pytest.fixture
def app() -> Typer:
    app = Typer()
    app.command()(cli.gate)
    return app


def write(folder: Path, rules: dict[str, object]) -> str:
    (folder / "gate.toml").write_text(RULES.format(**rules))
    return str(folder / "gate.toml")


@pytest.mark.parametrize(
    ("rules", "options", "code"),
    [
        (HOLDS, [], 0), (BROKEN, [], 1), (UNDECIDED, [], 3), (UNDECIDED, ["--undecided", "pass"], 0),
        (MISSING, [], 3), (MISSING, ["--undecided", "pass"], 3), (BROKEN, ["--undecided", "pass"], 1),
        (HOLDS, ["--candidate", "Alpha", "--baseline", "Noisier"], 0),
    ],
    ids=str,
)  # fmt: skip
def test_exit_codes(app: Typer, gate_folder: Path, tmp_path: Path, rules, options, code: int) -> None:
    arguments = [write(tmp_path, rules), str(gate_folder / "both.duckdb"), *options]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == code
    assert f"(exit code {code})" in result.stdout


def test_nothing_but_a_broken_rule_ends_with_1(app: Typer, gate_folder: Path, tmp_path: Path) -> None:
    rules, warehouse = write(tmp_path, HOLDS), str(gate_folder / "both.duckdb")
    (tmp_path / "no.duckdb").write_text("no database")
    (tmp_path / "folder.json").mkdir()
    wrong = {
        "gone": [rules, str(tmp_path / "gone.duckdb")],
        "no warehouse": [rules, str(tmp_path / "no.duckdb")],
        "no such network": [rules, warehouse, "--candidate", "Nobody"],
        "not to be written": [rules, warehouse, "--json", str(tmp_path / "folder.json")],
        "two on stdout": [rules, warehouse, "--json", "-", "--junit", "-"],
    }
    for arguments in wrong.values():
        with pytest.raises(FailmodesError) as raised:
            CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert raised.value.exit_code == 2
    assert WarehouseError.exit_code == 1  # elsewhere it stays what it was


def test_files_are_written_whatever_the_verdict(app: Typer, gate_folder: Path, tmp_path: Path) -> None:
    files = {name: tmp_path / "new" / f"gate.{name}" for name in ("json", "junit", "markdown")}
    options = [text for name, file in files.items() for text in (f"--{name}", str(file))]
    arguments = [write(tmp_path, BROKEN), str(gate_folder / "both.duckdb"), *options]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    assert json.loads(files["json"].read_text())["exit_code"] == 1
    assert ElementTree.parse(files["junit"]).getroot().tag == "testsuites"
    assert files["markdown"].read_text().startswith("### Gate stops: Noisier against Alpha\n")


@pytest.mark.parametrize("name", ["json", "junit", "markdown"])
def test_a_format_is_printed_in_place_of_the_text(app: Typer, gate_folder: Path, tmp_path: Path, name: str) -> None:
    arguments = [write(tmp_path, HOLDS), str(gate_folder / "both.duckdb"), f"--{name}", "-"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    starts = {"json": "{\n", "junit": "<?xml ", "markdown": "### Gate passes"}
    assert result.stdout.startswith(starts[name])
    assert "next:" not in result.stdout
    assert not (Path.cwd() / "-").exists()


def test_help_says_what_rules_are_and_what_exit_codes_mean(app: Typer) -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).output
    for line in ("[gate]", "[[gate.rules]]", 'measure = "accuracy"', "worse_by_at_most = 0.01", "at_most = 0.05",
                 "0  every rule is shown to hold", "1  a rule is shown to be broken",
                 "3  not enough images to tell, or a cell is missing",
                 "2  rules, arguments or files are wrong, and nothing was judged"):  # fmt: skip
        assert line in text


@pytest.mark.slow
def test_as_a_process(gate_folder: Path, tmp_path: Path) -> None:
    rules = write(tmp_path, BROKEN)
    for arguments, code, line in (
        ([rules, str(gate_folder / "both.duckdb")], 1, ""),
        ([rules, str(tmp_path / "gone.duckdb")], 2, "failmodes: there is no warehouse "),
        ([str(tmp_path / "gone.toml")], 2, "failmodes: no rules at"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "failmodes", "gate", *arguments],
            capture_output=True, text=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert done.returncode == code
        assert done.stderr.startswith(line)
        assert done.stderr.count("\n") == bool(line)
