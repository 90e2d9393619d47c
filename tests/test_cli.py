"""Every command through its installed script in a separate directory: output and errors."""

import subprocess
import sys

import pytest
from installed_script import failmodes

COMMANDS = (
    "init", "run", "status", "download", "corrupt", "ingest", "train", "evaluate", "load", "remove", "query", "schema",
    "claims", "shapes", "chart", "images", "explore", "report", "compare",
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.slow
def test_help_describes_each_command(tmp_path, command: str) -> None:
    assert "Usage: failmodes " + command in failmodes(command, "--help", folder=tmp_path).stdout


@pytest.mark.slow
def test_a_question_loads_no_library_that_it_does_not_need(handed) -> None:
    code = (
        "import sys, failmodes.__main__\n"
        "sys.argv = ['failmodes', 'query', 'select count(*) from prediction_facts']\n"
        "try: failmodes.__main__.main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'torchvision', 'pytorch_grad_cam', 'sklearn', 'altair', 'matplotlib'}\n"
        "heavy |= {'polars', 'pyarrow', 'numpy', 'fsspec', 'upath'}  # each would cost a tenth of the time\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=handed, check=True, capture_output=True)


def test_the_commands_load_no_library_before_one_of_them_is_called() -> None:
    code = (
        "import sys, failmodes.cli\n"
        "heavy = {'torch', 'scipy', 'altair', 'polars', 'pyarrow', 'numpy', 'duckdb', 'marimo', 'fsspec', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_help_has_arguments_in_capitals_and_flags_without_a_type(tmp_path) -> None:
    for command, arguments in (("chart", "[NAME] [WHERE]"), ("query", "[SQL] [WHERE]"), ("report", "[WHERE]")):
        text = failmodes(command, "--help", folder=tmp_path).stdout
        assert f"Usage: failmodes {command} [OPTIONS] {arguments}" in text
        assert "<bool>" not in text


def test_charts_are_listed_and_a_misspelled_one_has_a_hint(tmp_path, handed) -> None:
    listed = failmodes("chart", "--list", folder=tmp_path).stdout.splitlines()
    assert any(line.startswith("curves\t") for line in listed)
    assert "did you mean 'curves'?" in failmodes("chart", "curve", folder=handed, expect=2).stderr
    assert "--list" in failmodes("chart", folder=tmp_path, expect=2).stderr


def test_a_script_shows_the_error_of_an_argument_without_that_of_pydantic(tmp_path) -> None:
    code = "from failmodes.evaluate.study.study_file import check_study; from pathlib import Path; "
    code += "check_study({'nmae': 'x'}, Path(), 'study.toml')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "StudyError: study.toml: " in done.stderr
    assert "ValidationError" not in done.stderr
