"""What a command says beside its answer, on stderr: remarks, and that the user stopped it.

rich is imported by whoever has something to say: a short command says nothing, and would wait for it.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from failmodes.warehouse.errors import Interrupted

if TYPE_CHECKING:
    from rich.console import Console


def stderr_console() -> "Console":
    """A console on stderr that prints text as it is: no markup, no highlighting, no line breaks of its own.

    In a notebook too it is the stream that is written to: rich would make an HTML block of each line.
    """
    from rich.console import Console

    return Console(stderr=True, markup=False, highlight=False, soft_wrap=True, force_jupyter=False)


def remark(text: str) -> None:
    """Say something beside a command's answer: one line on stderr."""
    stderr_console().print(text)


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook, whose cells show output that can be written over."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """Turn Ctrl-C into one line, which begins with what is `kept`.

    Raises:
        Interrupted: the user pressed Ctrl-C.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"stopped; {kept}: run the same command to go on") from error
