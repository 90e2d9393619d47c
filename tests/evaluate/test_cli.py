"""Every command through its installed script, in a directory of its own: what it prints, and how it fails."""

import pytest
from installed_script import failmodes
from PIL import Image

from failmodes.evaluate.cli import print_run
from failmodes.evaluate.engine.run import RunReport
from failmodes.evaluate.engine.tasks import Failure
from failmodes.warehouse.errors import IncompleteRunError


def test_init_writes_a_study_once(tmp_path) -> None:
    failmodes("init", "digits", folder=tmp_path)
    before = (tmp_path / "study.toml").read_text()
    assert "[dataset]" in before
    assert "is there already" in failmodes("init", "cifar10", folder=tmp_path, expect=2).stderr
    assert (tmp_path / "study.toml").read_text() == before


def test_what_is_said_of_photographs_stands_in_brackets(tmp_path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "photographs" / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (50 + number, 40), (90, 20 * number, 0)).save(
                tmp_path / f"photographs/{name}/{number}.png"
            )
    failmodes("init", "folder", folder=tmp_path)
    study = tmp_path / "study.toml"
    (tmp_path / "my-classifier.safetensors").touch()
    study.write_text(study.read_text().replace("image_size = 32", "image_size = 32\nresize = 36"))
    said = failmodes("ingest", folder=tmp_path).stderr
    assert "[shorter side resized to 36" in said  # no markup of rich's, which would swallow it


def test_a_failed_model_ends_the_command_with_an_error_of_one_line(capsys) -> None:
    report = RunReport(
        evaluation_ids=["e"], written=3, existing=1, failures=[Failure("e", "Net 1", "fog 2, batch 3: ValueError: no")]
    )
    with pytest.raises(IncompleteRunError, match="not evaluated to the end: Net 1; mend it") as caught:
        print_run(report)
    assert caught.value.exit_code != 0
    assert "Net 1 raised and was set aside: fog 2, batch 3: ValueError: no" in capsys.readouterr().err
