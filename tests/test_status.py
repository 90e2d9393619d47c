"""`failmodes status` shows the progress of a study, and how to resume it."""

from pathlib import Path

import pytest

pytest.importorskip("torch")

from tiny_study import write_tiny_study

from failmodes.analysis.render.formats.text import render_blocks
from failmodes.cli import status
from failmodes.runtime.errors import WarehouseError
from failmodes.status_command import EvaluationProgress, StudyProgress, progress_blocks


def test_models_that_are_not_trained_are_run_not_loaded(tmp_path: Path) -> None:
    path = write_tiny_study(tmp_path)
    with pytest.raises(WarehouseError, match=r"1 model not trained yet: resume with `failmodes run .*study.toml`"):
        status(path)


def test_progress_has_a_row_an_evaluation_and_shows_labels_as_text() -> None:
    label = "\x1b[2J[red]x"
    rows = [
        EvaluationProgress(label, "recipe, seed 0", "e1", 6, 2),
        EvaluationProgress("B", "recipe, seed 0", "e2", 6, 0),
    ]
    lines = render_blocks(progress_blocks(StudyProgress(Path("s.toml"), "::error::s", [], {}, rows)), 100).splitlines()
    assert lines[0].endswith("s: 10 of 12 cells evaluated")
    assert not lines[0].startswith("::")
    assert [line.split()[-3:] for line in lines[-2:]] == [["e1", "6", "2"], ["e2", "6", "0"]]
    assert lines[-2].startswith("\\x1b[2J[red]x")
