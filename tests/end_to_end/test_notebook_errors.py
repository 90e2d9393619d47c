"""What a notebook shows of an error: one line where it is meant for the user, a traceback where it is a bug."""

from pathlib import Path

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

MISTAKE = "import failmodes\nfailmodes.open('study.txt')"
BUG = "{}['key']"
ASKED = f"import os\nos.environ['FAILMODES_TRACEBACK'] = '1'\n{MISTAKE}"


@pytest.mark.slow
def test_an_error_for_the_user_is_one_line_and_a_bug_a_traceback(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in (MISTAKE, BUG, ASKED)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    client = nbclient.NotebookClient(
        notebook, timeout=120, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    outputs = [output for cell in client.execute().cells for output in cell.outputs]
    mistake, bug, asked = (output for output in outputs if output.output_type == "error")
    (line,) = mistake.traceback
    assert line == (
        "failmodes: StudyError: study.txt does not exist: expected a study file (.toml), an output folder or a "
        "warehouse (.duckdb)"
    )
    assert (mistake.ename, mistake.evalue) == ("StudyError", line.removeprefix("failmodes: StudyError: "))
    for shown in (bug, asked):
        assert "Traceback" in "\n".join(shown.traceback)
        assert len(shown.traceback) > 2
