"""Every link of README, docs/ and the files beside them leads to a file that is there; `make docs` checks headings."""

import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.test_all
ROOT = Path(__file__).parents[2]
if not (ROOT / ".github").is_dir():
    pytest.skip("the source distribution leaves out some of what is linked", allow_module_level=True)
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs").rglob("*.ipynb")]
CODE = re.compile(r"^(```|~~~).*?^\1\s*$|`[^`\n]+`", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^()\s:#]+)(?:#[^()\s:]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_its_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    assert [file for file in LINK.findall(CODE.sub("", text)) if not (page.parent / file).exists()] == []
