"""Markdown helpers: tables, code and docstrings."""

import inspect
import re
from collections.abc import Iterable, Sequence


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; newlines in cells become spaces, bars and angle brackets are escaped."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(_cell(text) for text in line)} |" for line in lines) + "\n"


def code(text: object) -> str:
    """Return a code span."""
    return f"`{text}`"


def first_sentence(documented: object) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(documented) or "").split("\n", 1)[0]


def attribute_meanings(documented: object) -> dict[str, str]:
    """Parse the `Attributes:` section of a Google-style docstring: meaning by name."""
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
