"""A warehouse of how vision models fail: the package, whose five rooms are links to the folders beside it."""

from importlib.metadata import version
from pathlib import Path

ROOMS = ("analysis", "evaluate", "ingest", "sql", "warehouse")

if any((Path(__file__).parent / room).is_file() for room in ROOMS):
    raise ImportError(
        "the folders of the package failmodes are links, and this checkout holds them as text files: run "
        "`git config core.symlinks true`, then `git checkout -- failmodes` (on Windows, switch developer mode on "
        "first); or install the published package: `pip install failmodes`"
    )

__version__ = version("failmodes")
