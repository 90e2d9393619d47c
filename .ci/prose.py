"""Look for banned phrases in documentation, `--help` and string literals: `python .ci/prose.py`; exit code 1 if any.

Checks README, CHANGELOG, CONTRIBUTING, SECURITY, docs/ (pages and notebooks), the help of every command, string
literals and docstrings of failmodes/, comments of its SQL files, its study and report templates. Each finding is one
line, `FILE:LINE: phrase → say …`. The phrases are in banned_phrases.txt.
"""

import ast
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
CODE_SPAN = re.compile(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)|\]\([^)\s]*\)|<!--.*?-->")  # also link targets and comments
NOT_HTML_TEXT = re.compile(r"\{[{%#].*?[}%#]\}|<(style|script)\b.*?</\1>|<[^>]*>", flags=re.DOTALL)
NOT_SQL_COMMENT = re.compile(r"^(?:(?!--).)*(?:--)?", flags=re.MULTILINE)


class Phrase(NamedTuple):
    """A banned phrase.

    Attributes:
        pattern: finds it.
        say: the term to use instead.
    """

    pattern: re.Pattern[str]
    say: str


class Text(NamedTuple):
    """A piece of prose.

    Attributes:
        path: where it is from, as printed.
        line: its first line, from 1; 0 if it has none.
        content: the prose.
    """

    path: str
    line: int
    content: str


def read_phrases(path: Path) -> list[Phrase]:
    """Read `PATTERN => SAY` lines.

    Raises:
        ValueError: a line has no `=>`, or its pattern is no regular expression.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            pattern, arrow, say = line.partition(" => ")
            if not arrow:
                raise ValueError(f"{path}:{number}: expected PATTERN => SAY")
            spaced = pattern.replace(" ", r"\s+")
            found.append(Phrase(re.compile(rf"(?<!\w)(?:{spaced})(?!\w)", re.IGNORECASE), say.strip()))
    return found


def findings(texts: Iterator[Text], phrases: list[Phrase]) -> list[str]:
    """Return one line per banned phrase."""
    lines = []
    for text in texts:
        hits = [(hit, phrase) for phrase in phrases for hit in phrase.pattern.finditer(text.content)]
        for hit, phrase in sorted(hits, key=lambda each: each[0].start()):
            line = text.line + text.content.count("\n", 0, hit.start()) if text.line else 0
            where = f"{text.path}:{line}" if line else text.path
            lines.append(f"{where}: {' '.join(hit[0].split())} → say {phrase.say}")
    return lines


def pages(root: Path = ROOT) -> Iterator[Text]:
    """Yield the prose of Markdown pages and notebooks, without inline code and link targets."""
    for path in [*(root / name for name in PAGES), *sorted((root / "docs").rglob("*.md"))]:
        yield Text(path.relative_to(root).as_posix(), 1, _without_code_spans(path.read_text(encoding="utf-8")))
    for path in sorted((root / "docs").rglob("*.ipynb")):
        for number, cell in enumerate(json.loads(path.read_text(encoding="utf-8"))["cells"], 1):
            source = "".join(cell["source"])
            prose = _without_code_spans(source) if cell["cell_type"] == "markdown" else source
            yield Text(f"{path.relative_to(root).as_posix()}, cell {number}", 0, prose)


def literals(root: Path = ROOT) -> Iterator[Text]:
    """Yield string literals and docstrings with a space, SQL comments and study templates of the package."""
    for path in sorted((root / "failmodes").rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix == ".py":
            yield from (text._replace(path=name) for text in strings(path.read_text(encoding="utf-8")))
        elif path.suffix == ".sql":
            yield Text(name, 1, NOT_SQL_COMMENT.sub("", path.read_text(encoding="utf-8")))
        elif path.suffix == ".toml":
            yield Text(name, 1, path.read_text(encoding="utf-8"))
        elif path.suffix == ".j2":
            yield Text(name, 1, NOT_HTML_TEXT.sub(_empty_lines, path.read_text(encoding="utf-8")))


def strings(source: str) -> Iterator[Text]:
    """Yield the strings of Python code; an f-string is one text, with {} for its values."""
    inside = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            inside |= {id(part) for part in node.values}
            content = "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            content = node.value
        else:
            continue
        if " " in content.strip():
            yield Text("", node.lineno, _without_code_spans(content))


def help_texts() -> Iterator[Text]:
    """Yield the help of each command, its arguments and options."""
    import typer

    from failmodes.cli import app

    group = typer.main.get_command(app)
    for name, command in {"": group, **group.commands}.items():
        where = " ".join(filter(None, ("failmodes", name, "--help")))
        parts = [command.help, *(getattr(parameter, "help", "") for parameter in command.params)]
        yield Text(where, 0, _without_code_spans("\n\n".join(filter(None, parts))))


def _without_code_spans(text: str) -> str:
    return CODE_SPAN.sub("`", text)


def _empty_lines(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def main() -> int:
    """Print the findings; return the exit code."""
    phrases = read_phrases(Path(__file__).with_name("banned_phrases.txt"))
    found = [*findings(pages(), phrases), *findings(literals(), phrases)]
    known = {line.partition(": ")[2].lower() for line in found}  # help is made of literals: only what they lack is new
    found += [line for line in findings(help_texts(), phrases) if line.partition(": ")[2].lower() not in known]
    print("\n".join(found) or "no banned phrases")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
