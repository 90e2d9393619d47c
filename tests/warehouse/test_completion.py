"""What the shell offers: by the functions, and by the installed script as bash, zsh and fish ask it."""

import os
import subprocess
from pathlib import Path

import pytest
from run_commands import SCRIPT
from synthetic_results import write_synthetic

from failmodes.warehouse.database.load import load
from failmodes.warehouse.database.saved_queries import saved_queries
from failmodes.warehouse.database.views import relation_names


def bash(folder: Path, *words: str) -> list[str]:
    """What bash is offered for the last of the words."""
    asked = {"_FAILMODES_COMPLETE": "complete_bash", "COMP_WORDS": "\n".join(["failmodes", *words]),
             "COMP_CWORD": str(len(words))}  # fmt: skip
    done = subprocess.run([SCRIPT], cwd=folder, env=os.environ | asked, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return [line for line in done.stdout.splitlines() if line]


def other_shell(folder: Path, shell: str, line: str) -> str:
    asked = {"_FAILMODES_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line,
             "_TYPER_COMPLETE_FISH_ACTION": "get-args"}  # fmt: skip
    done = subprocess.run([SCRIPT], cwd=folder, env=os.environ | asked, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.test_all
def test_commands_tables_queries_and_charts_are_offered_anywhere(tmp_path: Path) -> None:
    assert bash(tmp_path, "sch") == ["schema"]
    assert bash(tmp_path, "schema", "accuracy_") == [name for name in relation_names() if name.startswith("accuracy_")]
    assert bash(tmp_path, "query", "@", "wor") == ["@worst_cells"], "as bash splits it"
    assert bash(tmp_path, "query", "@") == [f"@{name}" for name in saved_queries()]
    assert bash(tmp_path, "chart", "d") == ["differences", "distortion", "distortion-shapes"]
    assert bash(tmp_path, "corrupt", "digits", "--corruption", "gl") == ["glass_blur"]
    assert "accuracy_by_class\tOne row per" in other_shell(tmp_path, "fish", "failmodes schema accuracy_by_c")
    assert '"accuracy_by_class":"One row per' in other_shell(tmp_path, "zsh", "failmodes schema accuracy_by_c")


@pytest.mark.test_all
def test_names_come_from_the_warehouse_of_the_line(handed: Path, tmp_path: Path) -> None:
    assert bash(handed, "query", "@worst_cells", "--model", "A") == ["Alpha"]
    assert bash(handed, "query", "@", "worst_cells", "--corruption", "fo") == ["fog"]
    path = str(handed / "warehouse.duckdb")
    assert bash(tmp_path, "chart", "curves", path, "--corruption", "") == [
        "brightness", "contrast", "fog", "gaussian_noise", "motion_blur",
    ]  # fmt: skip
    assert bash(tmp_path, "query", "@worst_cells", path, "--model", "") == ["Alpha", "Beta"]
    assert bash(handed, "compare", "B") == ["Beta"]


def test_damaged_warehouses_offer_nothing(tmp_path: Path) -> None:
    (tmp_path / "warehouse.duckdb").write_bytes(b"no database")
    assert bash(tmp_path, "query", "@worst_cells", "--model", "") == []


@pytest.mark.test_all
def test_a_name_that_a_shell_would_run_is_not_offered(tmp_path: Path) -> None:
    labels = ("Net A", "$(touch taken)", "`touch taken`", "a'b", 'a"b', "\\$(touch taken)", "ViT-B/16")
    output = write_synthetic(
        tmp_path / "results", images=20, models=labels, corruptions=("fog",), severities=(1,)
    ).output
    load([output], tmp_path / "warehouse.duckdb")
    assert bash(tmp_path, "query", "@worst_cells", "--model", "") == ["'Net A'", "ViT-B/16"]
    offered = other_shell(tmp_path, "zsh", "failmodes query @worst_cells --model ")
    assert '"Net A"' in offered
    assert "touch" not in offered
    assert not (tmp_path / "taken").exists()


@pytest.mark.test_all
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_be_set_up(tmp_path: Path, shell: str) -> None:
    environment = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        [SCRIPT, "--show-completion", shell], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert "_FAILMODES_COMPLETE=complete_" in done.stdout
