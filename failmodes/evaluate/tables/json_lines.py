"""Limits of a file of JSON lines that hold before it is parsed."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from failmodes.runtime.errors import DataError

MAX_DEPTH = 32  # Arrow's time grows with its square, and at some thousands it crashes
MAX_EMPTY = 16  # values that lines lack per value that they state: Arrow makes room for each
FREE_CELLS = 1_000_000  # any file may have so many: Arrow takes a tenth of a second
MAX_LINE_BYTES = 1 << 24
_CHUNK_BYTES = 1 << 20
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_KEY = re.compile(rb'"([^"\\]*+)"\s*+:')
_STRING = re.compile(rb'"[^"\n]*"?')
_OTHERS = bytes(set(range(256)) - set(b'[]{}"\n'))
_STEPS = np.zeros(256, np.int8)
_STEPS[list(b"[{")], _STEPS[list(b"]}")] = 1, -1


def check_json_lines(path: Path) -> None:
    """Refuse JSON lines that Arrow would parse for minutes, or crash on.

    Raises:
        DataError: a line has more than MAX_LINE_BYTES, or nests more than MAX_DEPTH deep; or keys differ by line.
    """
    keys: set[bytes] = set()
    line_count = stated_count = 0
    for lines in _whole_lines(path):
        text = _ESCAPED.sub(b"", lines) if b"\\" in lines else lines
        brackets = _STRING.sub(b"", text.translate(None, _OTHERS))
        level = np.cumsum(_STEPS[np.frombuffer(brackets, np.uint8)], dtype=np.int64)
        if len(level) and (level - np.minimum(np.minimum.accumulate(level), 0)).max() > MAX_DEPTH:
            raise DataError(
                f"{path} has values nested more than {MAX_DEPTH} deep: expected one object of values a line"
            )
        named = _KEY.findall(text)
        keys.update(named)
        line_count += lines.count(b"\n") + 1
        stated_count += len(named)
        if line_count * len(keys) > FREE_CELLS + MAX_EMPTY * stated_count:
            raise DataError(f"{path} has {len(keys):,} keys, most of them in few lines: expected the same in each line")


def _whole_lines(path: Path) -> Iterator[bytes]:
    """Parts of a file that end with a line."""
    with path.open("rb") as file:
        while part := file.read(_CHUNK_BYTES):
            part += file.readline(MAX_LINE_BYTES)
            if len(part) > MAX_LINE_BYTES:
                raise DataError(f"{path} has a line of more than {MAX_LINE_BYTES / 1e6:,.0f} MB")
            yield part
