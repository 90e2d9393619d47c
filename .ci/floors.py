"""The oldest versions that pyproject.toml allows, as constraints of pip: `python .ci/floors.py explore > floors.txt`.

Of what the package always needs, and of the extras that are named. `make test-floors` installs these very versions.
"""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def floors(extras: list[str], pyproject: Path = PYPROJECT) -> list[str]:
    """A line such as duckdb==1.4.2 for each requirement; what has no lower bound, such as our own extras, is left out.

    Args:
        extras: names of extras.
        pyproject: the file.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    required = project["dependencies"] + [one for name in extras for one in project["optional-dependencies"][name]]
    found = (re.match(r"([\w.-]+)(?:\[.*\])? *>= *([\w.]+)", requirement) for requirement in required)
    return [f"{one[1]}=={one[2]}" for one in found if one]


if __name__ == "__main__":
    print("\n".join(floors(sys.argv[1:])))
