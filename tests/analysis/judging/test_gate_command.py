"""The command `failmodes gate`: exit codes, what it prints, what it writes."""

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
from run_commands import SCRIPT, run, run_script

RULES = """
[gate]
baseline = "Alpha"
candidate = "Noisier"
[[gate.rules]]
metric = "accuracy"
relation = "worse_by_at_most"
limit = {margin}
corruptions = {corruptions}
"""
PASSES, FAILS, INCONCLUSIVE, MISSING = (
    {"margin": 0.2, "corruptions": '["fog"]'}, {"margin": 0, "corruptions": '["fog"]'},
    {"margin": 0.002, "corruptions": '["none"]'}, {"margin": 0.2, "corruptions": '["snow"]'},
)  # fmt: skip


def write(folder: Path, rules: dict[str, object]) -> str:
    (folder / "gate.toml").write_text(RULES.format(**rules))
    return str(folder / "gate.toml")


@pytest.mark.parametrize(
    ("rules", "options", "code"),
    [
        (PASSES, [], 0), (FAILS, [], 1), (INCONCLUSIVE, [], 3), (INCONCLUSIVE, ["--inconclusive", "pass"], 0),
        (MISSING, ["--inconclusive", "pass"], 3), (PASSES, ["--candidate", "Alpha", "--baseline", "Noisier"], 0),
    ],
    ids=str,
)  # fmt: skip
def test_exit_codes(gate_folder: Path, tmp_path: Path, rules, options, code: int) -> None:
    arguments = [write(tmp_path, rules), gate_folder / "both.duckdb", *options]
    assert f"(exit code {code})" in run("gate", *arguments, folder=tmp_path, expect=code).stdout


NOT_JUDGED = {
    "missing warehouse": (["gate.toml", "gone.duckdb"], "warehouse gone.duckdb does not exist"),
    "output that is a folder": (["gate.toml", "both.duckdb", "--json", "folder.json"], "cannot write folder.json"),
    "time is over": (["gate.toml", "both.duckdb", "--timeout", "0.001"], "stopped after 0.001 s"),
}


@pytest.mark.parametrize("name", [*NOT_JUDGED][:2] + [pytest.param("time is over", marks=pytest.mark.test_all)])
def test_an_error_of_a_gate_never_reads_as_a_failing_rule(gate_folder: Path, tmp_path: Path, name: str) -> None:
    arguments, message = NOT_JUDGED[name]
    write(tmp_path, FAILS)
    (tmp_path / "both.duckdb").symlink_to(gate_folder / "both.duckdb")
    (tmp_path / "folder.json").mkdir()
    command = run_script if "--timeout" in arguments else run
    assert message in command("gate", *arguments, folder=tmp_path, expect=2).stderr


@pytest.mark.test_all
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_verdict_that_cannot_be_printed_is_no_failing_rule(gate_folder: Path, tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([SCRIPT, "gate", write(tmp_path, FAILS), gate_folder / "both.duckdb"], stdout=full)
    assert done.returncode == 2


PASSED = {  # whether a text of this format says so, by the suffix of its file
    "json": ("json", lambda text: json.loads(text)["passed"]),
    "junit": ("xml", lambda text: ElementTree.fromstring(text)[0].get("failures") == "0"),
    "markdown": ("md", lambda text: "passes" in text.splitlines()[0]),
}


@pytest.mark.test_all
@pytest.mark.parametrize(("rules", "code"), [(PASSES, 0), (FAILS, 1)], ids=["passes", "fails"])
def test_formats_are_printed_or_written_whatever_the_verdict(
    gate_folder: Path, tmp_path: Path, rules: dict[str, object], code: int
) -> None:
    arguments = ("gate", write(tmp_path, rules), gate_folder / "both.duckdb")
    for name, (suffix, passed) in PASSED.items():
        path = tmp_path / "new" / f"gate.{suffix}"
        run(*arguments, f"--{name}", path, folder=tmp_path, expect=code)
        printed = run(*arguments, f"--{name}", "-", folder=tmp_path, expect=code).stdout
        assert path.read_text() == printed
        assert passed(printed) == (code == 0)
