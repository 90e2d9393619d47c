"""Every command through its installed script, and its help, options and errors in this process."""

import re
import subprocess
import sys

import pytest
import typer
from run_commands import run, run_script

import failmodes
from failmodes.cli import app
from failmodes.evaluate.study.study_file import read_study

GROUP = typer.main.get_command(app)
VALUE = re.compile(r"[A-Z][A-Z_]*(?:=[A-Z]+| [A-Z]+)?")  # FILE, NAME=VALUE, A B
CHOICES = re.compile(r"[a-z0-9-]+(?:\|[a-z0-9-]+)+")
ALPHA = """select image_id as image, label, predicted as prediction, corruption, severity
    from predictions where model_label = 'Alpha'"""
MEAN_ACCURACY = "select model_label, avg(correct::int) from predictions where severity > 0 group by all"


@pytest.mark.parametrize("command", GROUP.commands)
@pytest.mark.test_all
def test_the_script_describes_each_command(tmp_path, command: str) -> None:
    assert "Usage: failmodes " + command in run_script(command, "--help", folder=tmp_path).stdout


@pytest.mark.test_all
def test_commands_do_their_work_through_the_script(tmp_path, handed) -> None:
    """On what others of them wrote: what is published, exported and imported again states the same."""
    from tiny_study import write_tiny_study

    warehouse, beta = handed / "warehouse.duckdb", f"{handed / 'warehouse.duckdb'}::Beta"
    for words in (
        ("init", "--output", "new.toml"),
        ("train", write_tiny_study(tmp_path)),
        ("export", "alpha.duckdb", warehouse, "--evaluation", "Alpha"),
        ("publish", warehouse, "--output", "published.csv"),
        ("query", ALPHA, warehouse, "--output", "table.csv"),
        ("import", "table.csv", "--to", "imported", "--label", "Alpha"),
        ("load", "imported", "--into", "imported.duckdb"),
        ("diff", "published.csv::Alpha", "alpha.duckdb"),
    ):
        run_script(*words, folder=tmp_path)
    assert len(read_study(tmp_path / "new.toml").models) == 2
    assert len(list(tmp_path.glob("out/checkpoints/*.safetensors"))) == 1
    run_script("diff", "alpha.duckdb", beta, folder=tmp_path, expect=1)
    accuracy = dict(failmodes.open(warehouse).sql(MEAN_ACCURACY).rows())
    assert failmodes.open(tmp_path / "imported.duckdb").sql(MEAN_ACCURACY).rows() == [("Alpha", accuracy["Alpha"])]
    points = 100 * (accuracy["Beta"] - accuracy["Alpha"])
    assert f"−{-points:.1f} points" in run_script("compare", "alpha.duckdb", beta, folder=tmp_path).stdout


@pytest.mark.test_all
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
        "heavy = {'torch', 'scipy', 'altair', 'polars', 'pyarrow', 'numpy', 'duckdb', 'starlette', 'fsspec', 'rich'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_usage_line_has_arguments_in_capitals_optional_ones_in_brackets(tmp_path) -> None:
    for command, arguments in (("chart", "[NAME] [WHERE]"), ("load", "[WHERE] [MORE]..."), ("compare", "A B [WHERE]")):
        assert f"Usage: failmodes {command} [OPTIONS] {arguments}" in run(command, "--help", folder=tmp_path).stdout


@pytest.mark.skipif(not hasattr(typer.core.TyperOption, "display_type_rich"), reason="this typer has its own notation")
@pytest.mark.parametrize("command", [GROUP, *GROUP.commands.values()], ids=lambda command: command.name or "all")
def test_the_help_names_values_in_capitals_lists_choices_and_gives_flags_no_type(command) -> None:
    context = command.make_context("failmodes", [], resilient_parsing=True)
    for param in command.get_params(context):
        name, shown = param.opts[0], param.display_type_rich(ctx=context)
        if getattr(param, "is_flag", False):
            assert shown is None, name
        elif name.startswith("-"):
            assert VALUE.fullmatch(shown) or CHOICES.fullmatch(shown), (name, shown)
        else:
            assert VALUE.fullmatch(param.metavar), name
            assert shown is None or CHOICES.fullmatch(shown), (name, shown)
        sentence = re.sub(r"\[[^]]*\]$", "", param.get_help_record(context)[1]).strip()
        assert sentence.endswith("."), (name, sentence)


def test_a_required_option_is_marked_as_one(tmp_path) -> None:
    assert "--evaluation" in run("export", "a.duckdb", folder=tmp_path, expect=2).stderr
    assert next(each for each in GROUP.commands["export"].params if each.opts == ["--evaluation"]).required


def test_charts_are_listed_and_a_misspelled_one_has_a_hint(tmp_path, handed) -> None:
    listed = run("chart", "--list", folder=tmp_path).stdout.splitlines()
    assert any(line.startswith("curves\t") for line in listed)
    assert "did you mean 'curves'?" in run("chart", "curve", folder=handed, expect=2).stderr
    assert "--list" in run("chart", folder=tmp_path, expect=2).stderr


@pytest.mark.parametrize("command", [("chart", "curves"), ("images", "--filter", "true")], ids=lambda words: words[0])
@pytest.mark.parametrize("option", [("--theme", "drak"), ("--layout", "pagee")], ids=lambda words: words[0])
def test_an_unknown_theme_or_layout_is_one_line_in_every_command(handed, command, option) -> None:
    (line,) = run(*command, *option, folder=handed, expect=2).stderr.splitlines()
    assert option[1] in line


@pytest.mark.test_all
def test_a_script_shows_the_error_of_an_argument_without_that_of_pydantic(tmp_path) -> None:
    code = "from failmodes.evaluate.study.study_file import check_study; from pathlib import Path; "
    code += "check_study({'nmae': 'x'}, Path(), 'study.toml')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "StudyError: study.toml: " in done.stderr
    assert "ValidationError" not in done.stderr
