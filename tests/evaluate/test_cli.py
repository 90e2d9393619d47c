"""Commands on a study file through the installed script."""

from run_commands import run


def test_init_writes_a_study_once(tmp_path) -> None:
    run("init", "digits", folder=tmp_path)
    before = (tmp_path / "study.toml").read_text()
    assert "[dataset]" in before
    assert "already exists" in run("init", "cifar10", folder=tmp_path, expect=2).stderr
    assert (tmp_path / "study.toml").read_text() == before
