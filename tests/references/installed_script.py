"""The command line as a user runs it: through the installed script, in a folder of the test's own."""

import os
import pty
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(sys.executable).parent / "failmodes"


def failmodes(*arguments: str | Path, folder: Path, expect: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([SCRIPT, *map(str, arguments)], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


def failmodes_in_terminal(*arguments: str | Path, folder: Path, columns: int = 80, answer: str = "") -> str:
    """What a terminal of so many columns shows of a command, stdout and stderr together, once it has ended well.

    What it asks for is typed in before: `answer`.
    """
    ours, its = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen(
        [SCRIPT, *map(str, arguments)], cwd=folder, stdin=its, stdout=its, stderr=its, env=environment
    ) as process:
        os.close(its)
        os.write(ours, answer.encode())
        shown = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so that nobody holds the other end
                break
            if not part:
                break
            shown += part
        os.close(ours)
    assert process.returncode == 0, shown
    return shown.decode().replace("\r\n", "\n")
