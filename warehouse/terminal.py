"""What a command says beside its answer, on stderr: remarks, the one progress bar, and that the user stopped it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from failmodes.warehouse.errors import Interrupted


def stderr_console() -> Console:
    """A console on stderr that prints text as it is: no markup, no highlighting, no line breaks of its own.

    In a notebook too it is the stream that is written to: rich would make an HTML block of each line.
    """
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


class ImagesPerSecond(ProgressColumn):
    """Images a second since the start; reads the task's field `images`."""

    def render(self, task: Task) -> Text:
        """The rate, or an ellipsis before the first image."""
        images, elapsed_s = task.fields["images"], task.elapsed or 0
        return Text(f"{images / elapsed_s:,.0f} images/s" if images and elapsed_s else "… images/s")


def progress_bar(description: str, *columns: ProgressColumn | str, show: bool | None = None) -> Progress:
    """A progress bar to open with `with`: description, bar, the given columns, time left.

    Args:
        description: text before the bar, in rich's markup; `{task.…}` is filled in for each task.
        columns: what stands between the bar and the time left; a text may hold `{task.fields[…]}`.
        show: whether it is drawn; by default where stderr is a terminal.
    """
    console = stderr_console()
    between = [TextColumn(column) if isinstance(column, str) else column for column in columns]
    hidden = not (console.is_terminal if show is None else show)
    return Progress(
        TextColumn(description), BarColumn(), *between, TimeRemainingColumn(), console=console, disable=hidden
    )
