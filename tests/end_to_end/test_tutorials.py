"""The tutorials are stored as they run: in order, in a kernel, in one folder, by public names alone.

After a change, FAILMODES_WRITE_DOCS=1 stores them again: read what changed before you commit it.
"""

import ast
import base64
import io
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import failmodes

pytest.importorskip("torch")

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
IN_ORDER = (
    "two_models", "severity_curves", "attention", "your_own_model", "compare_and_gate", "failures_in_sql",
)  # fmt: skip
COLORS = 128  # of stored pictures
IMPORTED = {"altair", "failmodes", "numpy", "pathlib", "PIL", "sklearn", "torch"}
NUMBER = re.compile(r"-?\d+\.\d+|(?<![\w.])-?\d+(?![\w.])")
every_tutorial = pytest.mark.parametrize("name", IN_ORDER)


def stored(name: str) -> Any:
    import nbformat

    return nbformat.read(FOLDER / f"{name}.ipynb", 4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_every_tutorial_is_in_order_and_linked() -> None:
    assert sorted(IN_ORDER) == sorted(path.stem for path in FOLDER.glob("*.ipynb"))
    listed = re.findall(r"\((\w+)\.ipynb\)", (FOLDER / "index.md").read_text(encoding="utf-8"))
    assert listed == list(IN_ORDER)


@pytest.mark.test_all
@every_tutorial
def test_it_is_stored_executed_and_without_anybodys_paths(name: str) -> None:
    import nbformat

    notebook = stored(name)
    nbformat.validate(notebook)
    for cell in code_cells(notebook):
        assert cell.execution_count
        assert not [output for output in cell.outputs if output.output_type == "error"]
        if any({"image/png", "image/svg+xml"} & output.get("data", {}).keys() for output in cell.outputs):
            assert cell.metadata["alt"], "a picture needs a text for those who do not see it"
    assert not re.search(r"/(tmp|home|root|Users|work)/", (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


@pytest.mark.test_all
@every_tutorial
def test_it_uses_public_names_alone(name: str) -> None:
    for cell in code_cells(stored(name)):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                assert {alias.name for alias in node.names} <= IMPORTED
            if isinstance(node, ast.ImportFrom):
                assert str(node.module).partition(".")[0] in IMPORTED - {"failmodes"}
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "failmodes":
                assert node.attr in failmodes.__all__


@pytest.fixture(scope="module")
def executed() -> Iterator[dict[str, Any]]:
    """All of them as they run now, one after the other in one folder."""
    import nbclient

    notebooks = {}
    # HTML breaks no word before a number such as pytest-0, so `store` would not find a folder of that name
    with tempfile.TemporaryDirectory(prefix="tutorials_") as folder:
        for name in IN_ORDER:
            notebook = stored(name)
            nbclient.NotebookClient(notebook, timeout=500, resources={"metadata": {"path": folder}}).execute()
            notebooks[name] = notebook
            if os.environ.get("FAILMODES_WRITE_DOCS"):
                store(notebook, FOLDER / f"{name}.ipynb", folder)
        yield notebooks


@pytest.mark.nightly
@every_tutorial
def test_it_shows_what_is_stored(name: str, executed: dict[str, Any]) -> None:
    for before, now in zip(code_cells(stored(name)), code_cells(executed[name]), strict=True):
        assert kinds(now) == kinds(before), now.source
        if "compare" in now.metadata:
            assert numbers(now) == pytest.approx(numbers(before), abs=now.metadata["compare"]), now.source


def kinds(cell: Any) -> list[tuple[str, ...]]:
    """What it shows beside text that is printed, such as progress."""
    return [tuple(sorted(output.data)) for output in cell.outputs if output.output_type == "execute_result"]


def numbers(cell: Any) -> list[float]:
    """The numbers in its result."""
    (text,) = (output.data["text/plain"] for output in cell.outputs if output.output_type == "execute_result")
    return [float(number) for number in NUMBER.findall(text)]


def store(notebook: Any, path: Path, folder: str) -> None:
    """Write it without the folder in which it ran, without times, with pictures of few colors."""
    import nbformat

    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)
        for output in cell.outputs:
            data = output.get("data", {})
            if "image/png" in data:
                with Image.open(io.BytesIO(base64.b64decode(data["image/png"]))) as picture:
                    small = io.BytesIO()
                    picture.convert("RGB").quantize(COLORS).save(small, "PNG", optimize=True)
                data["image/png"] = base64.b64encode(small.getvalue()).decode()
    path.write_text(nbformat.writes(notebook).replace(f"{folder}/", "") + "\n", encoding="utf-8")
