"""The command line as a user runs it: through the installed script, in a folder of the test's own."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).parent / "failmodes"


def failmodes(*arguments: str | Path, folder: Path, expect: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done
