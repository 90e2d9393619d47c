"""The explorer as its user starts it: a process of the installed command, until the context is left."""

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from run_commands import SCRIPT

ADDRESS = re.compile(r"http://\S+\?token=\S+")


class Explorer(NamedTuple):
    """The process, and the address that it prints: host and port, and with the token."""

    process: subprocess.Popen[str]
    address: str

    @property
    def origin(self) -> str:
        """The address without page and token."""
        return self.address.split("/?")[0]


@contextmanager
def explorer(warehouse: Path, *options: str) -> Iterator[Explorer]:
    """Serve a warehouse; the process is stopped, as by Ctrl-C, when the context is left."""
    process = subprocess.Popen(
        [SCRIPT, "explore", str(warehouse), "--no-browser", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = ADDRESS.search(line)
        if found is None:
            raise AssertionError(f"no address: {line} {process.communicate(timeout=20)}")
        yield Explorer(process, found[0])
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=20)
        finally:
            process.kill()
