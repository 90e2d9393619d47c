"""Commands on a study file through the installed script."""

import pytest
from installed_script import failmodes

from failmodes.evaluate.cli import print_run
from failmodes.evaluate.engine.tasks import Failure, RunResult
from failmodes.warehouse.errors import IncompleteRunError


def test_init_writes_a_study_once(tmp_path) -> None:
    failmodes("init", "digits", folder=tmp_path)
    before = (tmp_path / "study.toml").read_text()
    assert "[dataset]" in before
    assert "already exists" in failmodes("init", "cifar10", folder=tmp_path, expect=2).stderr
    assert (tmp_path / "study.toml").read_text() == before


def test_a_failed_model_ends_the_command_with_an_error_of_one_line(capsys) -> None:
    report = RunResult(
        evaluation_ids=["e"], written=3, existing=1, failures=[Failure("e", "Net 1", "fog 2, batch 3: ValueError: no")]
    )
    with pytest.raises(IncompleteRunError, match="Net 1") as caught:
        print_run(report)
    assert caught.value.exit_code != 0
    assert "fog 2, batch 3: ValueError: no" in capsys.readouterr().err
