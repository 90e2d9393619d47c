"""Text from outside as code of Markdown."""

import re

from failmodes.warehouse.runner_commands import without_commands


def as_code(line: str) -> str:
    """A line as code, whatever backticks are in it."""
    line = without_commands(line)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return f"{fence} {line} {fence}" if "`" in line else f"{fence}{line}{fence}"
