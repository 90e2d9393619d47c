"""The command line: in this process, or through the installed script as a user runs it."""

import faulthandler
import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from failmodes import __main__ as entry
from failmodes.ingest.corruptions import catalog
from failmodes.runtime import process, terminal

SCRIPT = Path(sys.executable).parent / "failmodes"
HANGS_AFTER_S = 300.0


def run(
    *arguments: str | bytes | float | Path, folder: Path, expect: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """A command in this process, in a tenth of a process's time; it leaves this process as it was.

    Signals, closed streams and limits of time and memory need a process of their own: `run_script`, or `attempt`. One
    that hangs ends this process.

    Args:
        arguments: of the command.
        folder: the current one.
        expect: its exit code; None for any.
    """
    words = [str(SCRIPT), *(os.fsdecode(word) if isinstance(word, bytes) else str(word) for word in arguments)]
    called_by_name = patch.object(sys.modules["__main__"], "__package__", None)  # not `python -m pytest`
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="", write_through=True) for _ in range(2))
    with (
        _unchanged_process(), chdir(folder), patch.object(sys, "argv", words), called_by_name,
        redirect_stdout(out), redirect_stderr(err),
    ):  # fmt: skip
        terminal.prepare_streams()
        try:
            code = entry.run_command()
        except Exception as error:
            code = entry.report(error)
    texts = (stream.buffer.getvalue().decode(errors="replace") for stream in (out, err))
    return _checked(subprocess.CompletedProcess(arguments, code, *texts), expect)


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """Forget afterwards what a command leaves in its process: the next one must not find it there."""
    modules, paths = set(sys.modules), [*sys.path]
    with ExitStack() as stack:
        for kept in (os.environ, catalog._registered, catalog._of_sets):
            stack.enter_context(patch.dict(kept))
        command = process._Command
        own = {
            name: value for name, value in vars(command).items() if not name.startswith("_") and name != "connections"
        }
        stack.enter_context(patch.multiple(command, **own))
        stack.enter_context(patch.object(terminal, "_ANNOUNCED", set()))
        stack.enter_context(patch.object(sys, "path", [*paths]))
        stack.enter_context(_unchanged_torch())
        faulthandler.dump_traceback_later(HANGS_AFTER_S, exit=True, file=sys.__stderr__)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            for name in sys.modules.keys() - modules:  # of a user's own files
                file = getattr(sys.modules[name], "__file__", None)
                if file and not any(Path(file).is_relative_to(path) for path in paths if path):
                    del sys.modules[name]


@contextmanager
def _unchanged_torch() -> Iterator[None]:
    """Restore the seed and threads of PyTorch where it is imported; where a command imports it, those of a start."""
    before = sys.modules.get("torch")
    state = (before.get_rng_state(), before.get_num_threads()) if before else None
    try:
        yield
    finally:
        if torch := sys.modules.get("torch"):
            torch.set_rng_state(state[0] if state else torch.Generator().get_state())
            torch.set_num_threads(state[1] if state else int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))


def run_script(
    *arguments: str | float | Path, folder: Path, expect: int | None = 0
) -> subprocess.CompletedProcess[str]:
    """A command through the installed script."""
    words = [SCRIPT, *map(str, arguments)]
    return _checked(subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300), expect)


def _checked(done: subprocess.CompletedProcess[str], expect: int | None) -> subprocess.CompletedProcess[str]:
    assert expect is None or done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


def run_in_terminal(*arguments: str | Path, folder: Path, columns: int = 80, answer: str = "") -> str:
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
