"""Every command through its installed script, in a directory of its own: what it prints, and how it fails."""

from installed_script import failmodes


def test_the_script_runs_where_another_package_is_called_evaluate(tmp_path) -> None:
    (tmp_path / "evaluate.py").write_text("raise RuntimeError('the wrong one')")
    assert failmodes("--version", folder=tmp_path).stdout.startswith("failmodes 0.")
