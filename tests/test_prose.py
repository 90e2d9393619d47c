"""The check of prose finds banned phrases where they are, and nothing in identifiers and inline code."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

pytestmark = pytest.mark.test_all
ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / ".ci" / "prose.py"
PAGE = "# Title\n\nBoth networks fail.\n\nSee `both networks` and [this](networks.md).\nA rate of 5 %.\n"
CODE = '''"""One line.

Whoever reads this.
"""
KEY = "networks"
TEXT = f"the {KEY} are taken for granted, {1} % of them"
'''


@pytest.fixture(scope="module")
def prose():
    spec = spec_from_file_location("prose", SCRIPT)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def phrases(prose):
    return prose.read_phrases(SCRIPT.with_name("banned_phrases.txt"))


def test_pages_are_checked_outside_inline_code(prose, phrases, tmp_path) -> None:
    for name in prose.PAGES:
        (tmp_path / name).write_text("")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    assert prose.findings(prose.pages(tmp_path), phrases) == [
        "docs/page.md:3: networks → say models",
        "docs/page.md:6: 5 % → say no space before %",
    ]


def test_literals_are_checked_and_identifiers_are_not(prose, phrases, tmp_path) -> None:
    (tmp_path / "failmodes").mkdir()
    (tmp_path / "failmodes" / "code.py").write_text(CODE)
    (tmp_path / "failmodes" / "view.sql").write_text("-- One row.\nselect 1 as networks, -- the networks\n")
    found = prose.findings(prose.literals(tmp_path), phrases)
    assert [line.partition(" → ")[0] for line in found] == [
        "failmodes/code.py:3: Whoever",
        "failmodes/code.py:6: are taken for",
        "failmodes/code.py:6: taken for granted",
        "failmodes/code.py:6: {} %",
        "failmodes/view.sql:2: networks",
    ]


def test_help_of_every_command_is_read(prose) -> None:
    texts = {text.path: text.content for text in prose.help_texts()}
    assert len(texts) > 20
    assert "baseline" in texts["failmodes compare --help"]


def test_a_line_without_a_replacement_is_refused(prose, tmp_path) -> None:
    (tmp_path / "phrases.txt").write_text("# A comment\nnetworks models\n")
    with pytest.raises(ValueError, match="phrases.txt:2: expected PATTERN => SAY"):
        prose.read_phrases(tmp_path / "phrases.txt")
