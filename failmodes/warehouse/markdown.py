"""Text from outside in GitHub's Markdown: as it is where it is plain, else as code, in which nothing is markup."""

import re

from failmodes.warehouse.errors import printable
from failmodes.warehouse.runner_commands import without_commands

LONGEST_TEXT = 60  # letters of any text from outside
# Letters that no construct of GitHub's Markdown begins with, nor a mention, a reference to an issue, a link or a list
_PLAIN = re.compile(
    r"(?!.*(?:www\.|gh-\d))(?!\d+[.)](?:\s|$))[^\W_][^\W_ .,()'+-]*(?:[ .,()'+-]+[^\W_ .,()'+-]+)*\)?", re.IGNORECASE
)


def harmless(text: str, most: int = LONGEST_TEXT) -> str:
    """At most `most` letters of a text from outside on one line: as it is where it is plain, else as code.

    In code GitHub reads no markup.
    """
    line = printable(text, most)
    return line if not line or _PLAIN.fullmatch(line) else as_code(line)


def as_code(line: str) -> str:
    """A line as code, whatever backticks are in it."""
    line = without_commands(line)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"
