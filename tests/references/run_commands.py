"""The command line: in this process, or through the installed script as a user runs it."""

import io
import os
import pty
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from failmodes import __main__ as entry
from failmodes.runtime.terminal import prepare_streams

SCRIPT = Path(sys.executable).parent / "failmodes"


def run_here(*arguments: str | bytes | Path, folder: Path) -> tuple[int, str, str]:
    """A command in this process: its exit code, its output and its errors, in a tenth of a process's time.

    Signals, limits and closed streams need a process.
    """
    words = [str(SCRIPT), *map(os.fsdecode, arguments)]
    called_by_name = patch.object(sys.modules["__main__"], "__package__", None)  # not `python -m pytest`
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2))
    with chdir(folder), patch.object(sys, "argv", words), called_by_name, redirect_stdout(out), redirect_stderr(err):
        prepare_streams()
        try:
            code = entry.run_command()
        except Exception as error:
            code = entry.report(error)
    texts = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))
    return code, *texts


def failmodes(*arguments: str | Path, folder: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """A command in this process."""
    return _checked(subprocess.CompletedProcess(arguments, *run_here(*map(str, arguments), folder=folder)), expect)


def failmodes_script(*arguments: str | Path, folder: Path, expect: int = 0) -> subprocess.CompletedProcess[str]:
    """A command through the installed script."""
    words = [SCRIPT, *map(str, arguments)]
    return _checked(subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300), expect)


def _checked(done: subprocess.CompletedProcess[str], expect: int) -> subprocess.CompletedProcess[str]:
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
