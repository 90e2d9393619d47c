"""Whether a tag may be released: `python .ci/check_release.py v0.1.0` prints what stands against it, and exits with 1.

A release needs an address of the project (none is invented here), a tag that is the version, and a section of the
changelog with its date.
"""

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def problems(tag: str, root: Path = ROOT) -> list[str]:
    """What stands against releasing a checkout under a tag, a line each.

    Args:
        tag: such as v0.1.0.
        root: the checkout's folder.
    """
    found = []
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if not project.get("urls"):
        found.append("pyproject.toml has no [project.urls]: give the project's address, such as Repository = …")
    init = (root / "failmodes" / "__init__.py").read_text(encoding="utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', init, re.MULTILINE)[0]
    if tag != f"v{version}":
        found.append(f"the tag is {tag}, and __version__ in failmodes/__init__.py is {version}: expected v{version}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    if not re.search(rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d$", changelog, re.MULTILINE):
        found.append(f"CHANGELOG.md has no section for it: expected a line such as ## [{version}] - 2026-01-31")
    return found


def main(tag: str) -> int:
    """Print what stands against a release; the exit code."""
    found = problems(tag)
    print("\n".join(f"release refused: {line}" for line in found) or f"{tag} may be released")
    return 1 if found else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: check_release.py TAG")
    sys.exit(main(sys.argv[1]))
