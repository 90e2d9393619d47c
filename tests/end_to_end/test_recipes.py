"""The recipes of docs/recipes.md run as they stand: the first section's block, then those of each other section."""

import re
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

RECIPES = Path(__file__).parents[2] / "docs" / "recipes.md"
FIRST = "Images and a model"


def read_recipes() -> dict[str, list[str]]:
    """The blocks of Python of each section, by its heading."""
    sections = re.split(r"^## (.+)$", RECIPES.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    blocks = (re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL) for text in sections[1::2])
    return dict(zip(sections[::2], blocks, strict=True))


RECIPES_BY_NAME = read_recipes()


def run_blocks(name: str, namespace: dict[str, Any]) -> dict[str, Any]:
    for block in RECIPES_BY_NAME[name]:
        exec(compile(block, f"{RECIPES.name}: {name}", "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def images_and_model() -> dict[str, Any]:
    return run_blocks(FIRST, {})


@pytest.mark.nightly
@pytest.mark.parametrize("name", [name for name in RECIPES_BY_NAME if name != FIRST])
def test_a_recipe_runs_as_it_stands(
    name: str, images_and_model: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_blocks(name, dict(images_and_model))


def test_every_section_is_listed_at_the_top_and_has_a_recipe() -> None:
    listed = re.findall(r"^- \[(.+?)\]", RECIPES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert listed == list(RECIPES_BY_NAME)
    assert all(RECIPES_BY_NAME.values())
