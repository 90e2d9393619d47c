"""The notebook and the README's ten lines, run as their readers run them: in a Jupyter kernel, and by marimo."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.test_all
ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "from_a_module_to_a_chart.ipynb"
LARGEST_BYTES = 300_000

# What a reader of the README has before its ten lines
HAVE = """
import numpy as np, torch
images = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)
labels = np.arange(40) % 4
model = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(8, 4)
)
"""


def ten_lines() -> list[str]:
    """The first Python block of the README's part on notebooks, a cell at each empty line."""
    part = (ROOT / "README.md").read_text(encoding="utf-8").split("## In Python", 1)[1]
    block = re.search(r"```python\n(.*?)```", part, re.DOTALL)
    assert block is not None
    return block[1].strip().split("\n\n")


def execute(notebook, folder: Path, **options):
    import nbclient

    resources = {"metadata": {"path": str(folder)}}
    return nbclient.NotebookClient(notebook, timeout=240, resources=resources, **options).execute()


def shown(notebook) -> list[str]:
    """The kinds of what cells show, in order."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    return [kind for output in outputs for kind in output.get("data", {})]


def test_the_notebook_is_stored_executed_small_and_without_anybodys_paths() -> None:
    import nbformat

    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, 4)
    nbformat.validate(notebook)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert "image/svg+xml" in shown(notebook)
    assert len(text) < LARGEST_BYTES
    assert not re.search(r"/(tmp|home|root|Users|work)/", text)


@pytest.mark.nightly
def test_the_notebook_runs_in_a_kernel(tmp_path: Path) -> None:
    import nbformat

    notebook = execute(nbformat.read(NOTEBOOK, 4), tmp_path)
    assert shown(notebook).count("image/svg+xml") == 1
    assert (tmp_path / "digits" / "warehouse.duckdb").is_file()
    if os.environ.get("FAILMODES_WRITE_DOCS"):
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)
        NOTEBOOK.write_text(nbformat.writes(notebook).replace(f"{tmp_path}/", "") + "\n", encoding="utf-8")


def test_the_ten_lines_of_the_readme_run_in_a_kernel(tmp_path: Path) -> None:
    import nbformat

    cells = [nbformat.v4.new_code_cell(text) for text in [HAVE, *ten_lines(), 'w.chart("curves")', "w", "w.findings()"]]
    notebook = execute(nbformat.v4.new_notebook(cells=cells), tmp_path)
    kinds = [tuple(output.data) for cell in notebook.cells[-3:] for output in cell.outputs if "data" in output]
    assert len(kinds) == 3
    assert any("vegalite" in kind or kind == "text/html" for kind in kinds[0])
    assert all("text/html" in kind and "text/plain" in kind for kind in kinds[1:])
    progress = [output.data["text/plain"] for output in notebook.cells[2].outputs if "data" in output]
    assert len(progress) == 1, "one line, which changes"


def test_an_error_for_the_user_is_one_line_and_a_bug_a_traceback(tmp_path: Path) -> None:
    import nbformat

    mistake = "import failmodes\nfailmodes.open('study.txt')"
    sources = (mistake, "{}['key']", f"import os\nos.environ['FAILMODES_TRACEBACK'] = '1'\n{mistake}")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    outputs = [output for cell in execute(notebook, tmp_path, allow_errors=True).cells for output in cell.outputs]
    said, bug, asked = (output.traceback for output in outputs if output.output_type == "error")
    assert len(said) == 1
    assert said[0].startswith("failmodes: StudyError: study.txt does not exist")
    assert all(len(shown) > 2 and "Traceback" in "\n".join(shown) for shown in (bug, asked))


@pytest.mark.nightly
def test_the_notebook_runs_in_marimo(tmp_path: Path) -> None:
    for command in (["convert", NOTEBOOK, "-o", "made.py"], ["export", "html", "made.py", "-o", "made.html"]):
        marimo = [sys.executable, "-m", "marimo", *command]
        subprocess.run(marimo, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    page = (tmp_path / "made.html").read_text(encoding="utf-8")
    assert "Traceback" not in page
    assert "application/vnd.vegalite" in page or "image/png" in page
