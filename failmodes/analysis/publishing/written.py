"""What was written, and what a user must know of it."""

from pathlib import Path
from typing import NamedTuple


class Written(NamedTuple):
    """The files, and a line on each thing that they lack or that is to be added by hand."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()
