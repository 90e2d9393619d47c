"""Known advisories of locked requirements: `python .ci/audit.py requirements.txt …`, in an environment with pip-audit.

The exit code is 1 if a locked version has an advisory, and 2 if pip-audit fails. Where the registry does not answer, a
line says so and the exit code is 0: an index without advisories is no reason to stop.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

AUDIT = ("-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--no-deps", "--disable-pip")


def pins(files: list[Path]) -> list[str]:
    """The pinned versions, without hashes and comments, of which pip-audit wants all or none."""
    texts = [line.split(" --hash")[0] for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [text for text in texts if text and not text.startswith("#")]


def audit(files: list[Path]) -> tuple[list[str], int]:
    """What to print, and the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder) / "pins.txt"
        pinned.write_text("\n".join(pins(files)), encoding="utf-8")
        done = subprocess.run([sys.executable, *AUDIT, "--requirement", pinned], capture_output=True, text=True)
    if done.stdout.startswith("{"):
        return judged(json.loads(done.stdout)["dependencies"])
    is_silent = "connect" in done.stderr.lower()
    return [f"audit {'skipped' if is_silent else 'failed'}: {(done.stderr.splitlines() or ['no output'])[-1]}"], (
        0 if is_silent else 2
    )


def judged(packages: list[dict[str, Any]]) -> tuple[list[str], int]:
    """What to print of the packages of a report, and the exit code."""
    known = [one for one in packages if "vulns" in one]
    found = [
        f"{one['name']} {one['version']}: {advisory['id']}, fixed in {', '.join(advisory['fix_versions']) or 'none'}"
        for one in known
        for advisory in one["vulns"]
    ]
    if not known:
        return [f"audit skipped: the registry has no advisories of these {len(packages)} packages"], 0
    skipped = len(packages) - len(known)
    return [*found, f"{len(known)} packages audited, {len(found)} advisories, {skipped} skipped"], int(bool(found))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: audit.py REQUIREMENTS …")
    lines, code = audit([Path(name) for name in sys.argv[1:]])
    print("\n".join(lines))
    sys.exit(code)
