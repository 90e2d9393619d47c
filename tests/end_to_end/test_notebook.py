"""The notebook and the README's ten lines, run as their readers run them: in a Jupyter kernel, and by marimo."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

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


def execute(notebook, folder: Path):
    client = nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(folder)}})
    return client.execute()


def shown(notebook) -> list[str]:
    """The kinds of what cells show, in order."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert not [output for output in outputs if output.output_type == "error"]
    return [kind for output in outputs for kind in output.get("data", {})]


def test_the_notebook_is_stored_executed_small_and_without_anybodys_paths() -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    notebook = nbformat.reads(text, 4)
    nbformat.validate(notebook)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert "image/svg+xml" in shown(notebook)
    assert len(text) < LARGEST_BYTES
    assert not re.search(r"/(tmp|home|root|Users|work)/", text)


@pytest.mark.slow
def test_the_notebook_runs_in_a_kernel(tmp_path: Path) -> None:
    notebook = execute(nbformat.read(NOTEBOOK, 4), tmp_path)
    assert shown(notebook).count("image/svg+xml") == 1
    assert (tmp_path / "digits" / "warehouse.duckdb").is_file()


@pytest.mark.slow
def test_the_ten_lines_of_the_readme_run_in_a_kernel(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in [HAVE, *ten_lines(), 'w.chart("curves")', "w", "w.findings()"]]
    notebook = execute(nbformat.v4.new_notebook(cells=cells), tmp_path)
    kinds = [tuple(output.data) for cell in notebook.cells[-3:] for output in cell.outputs if "data" in output]
    assert len(kinds) == 3
    assert any("vegalite" in kind or kind == "text/html" for kind in kinds[0])
    assert all("text/html" in kind and "text/plain" in kind for kind in kinds[1:])


@pytest.mark.slow
def test_progress_in_a_notebook_is_one_line_that_changes(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in [HAVE, "\n".join(ten_lines()[:2])]]
    notebook = execute(nbformat.v4.new_notebook(cells=cells), tmp_path)
    lines = [output.data["text/plain"] for output in notebook.cells[1].outputs if "data" in output]
    assert len(lines) == 1
    assert lines[0].startswith("evaluate: 100%, 11/11 shards, contrast 5, ")


@pytest.mark.slow
@pytest.mark.parametrize("source", ["notebook", "ten lines"])
def test_they_run_in_marimo(tmp_path: Path, source: str) -> None:
    pytest.importorskip("marimo")
    if source == "notebook":
        notebook = nbformat.read(NOTEBOOK, 4)
    else:
        cells = [nbformat.v4.new_code_cell(text) for text in [HAVE, *ten_lines()]]
        notebook = nbformat.v4.new_notebook(cells=cells)
    nbformat.write(notebook, tmp_path / "given.ipynb")
    marimo = [sys.executable, "-m", "marimo"]
    subprocess.run(
        [*marimo, "convert", "given.ipynb", "-o", "made.py"], cwd=tmp_path, check=True, capture_output=True, timeout=120
    )
    subprocess.run(
        [*marimo, "export", "html", "made.py", "-o", "made.html"], cwd=tmp_path, check=True, capture_output=True,
        timeout=300,
    )  # fmt: skip
    page = (tmp_path / "made.html").read_text(encoding="utf-8")
    assert "Traceback" not in page
    assert "application/vnd.vegalite" in page or "image/png" in page
