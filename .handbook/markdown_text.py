"""Markdown from values of the code: tables, whose cells may hold any text, and docstrings."""

import inspect
import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a cell's line ends become spaces, its bars and angle brackets text."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def code(text: object) -> str:
    """Text as code."""
    return f"`{text}`"


def first_sentence(documented: object) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(documented) or "").split("\n", 1)[0]


def attribute_meanings(documented: object) -> dict[str, str]:
    """The part `Attributes:` of a docstring, in Google's form: meaning by name."""
    text = inspect.getdoc(documented) or ""
    part = re.search(r"^Attributes:\n(.*?)(?=^\S|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    if part is None:
        return {}
    entries = re.findall(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", part[1], flags=re.MULTILINE | re.DOTALL)
    return {name: " ".join(meaning.split()) for name, meaning in entries}


def _cell(text: str) -> str:
    inside_code = re.split(r"(`[^`]*`)", " ".join(str(text).split()))
    shown = (part if part.startswith("`") else part.replace("<", "&lt;") for part in inside_code)
    return "".join(shown).replace("|", "\\|")
