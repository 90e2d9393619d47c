"""Every link of README, docs/ and the files beside them leads to a file and a heading that are there."""

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / ".github").is_dir():
    pytest.skip("the source distribution leaves out some of what is linked", allow_module_level=True)
PAGES = [
    path
    for path in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb"))
    if path.name != "soundness.md"  # a table of figures
]
CODE = re.compile(r"^(```|~~~).*?^\1\s*$|`[^`\n]+`", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.+?)(?: \{ *#([\w-]+) *\})?\s*$", flags=re.MULTILINE)


def text_of(path: Path) -> str:
    """What a page says, its code left out; of a notebook the cells of text."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return text


def links(path: Path) -> Iterator[tuple[str, str]]:
    """The file and the heading of each relative link; the file is empty for the page itself."""
    for target in LINK.findall(CODE.sub("", text_of(path))):
        if ":" not in target:
            file, _, anchor = target.partition("#")
            yield file, anchor


def anchors(path: Path) -> set[str]:
    """Names by which headings are linked, on GitHub and in the handbook."""
    text = re.sub(r"^(```|~~~).*?^\1\s*$", "", text_of(path), flags=re.MULTILINE | re.DOTALL)
    return {given or slug(heading) for heading, given in HEADING.findall(text)}


def slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).lower()
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain).strip())


def test_the_pages_are_found() -> None:
    assert {"README.md", "CHANGELOG.md", "index.md", "gate.md", "two_models.ipynb"} <= {page.name for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_its_links_lead_somewhere(page: Path) -> None:
    broken = []
    for file, anchor in links(page):
        aim = (page.parent / file).resolve() if file else page
        if not aim.exists() or (anchor and aim.suffix == ".md" and anchor not in anchors(aim)):
            broken.append(f"{file}#{anchor}" if anchor else file)
    assert broken == []


def test_a_heading_has_the_name_that_links_use() -> None:
    assert slug('Intervals, and "inconclusive"') == "intervals-and-inconclusive"
    assert slug("`[dataset]`") == "dataset"
