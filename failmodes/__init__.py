"""A warehouse of how vision models fail."""

from importlib.metadata import version
from pathlib import Path

if (Path(__file__).parent / "warehouse").is_file():
    raise ImportError(
        "the folders of the package are links, and this checkout holds them as plain text files: run "
        "`git config core.symlinks true` and `git checkout -- failmodes` (on Windows, switch developer mode on first), "
        "or install the wheel: `pip install failmodes`"
    )

__version__ = version("failmodes")
