"""How far a command is: what works tells of its stages, and a command shows them as one bar with the time left.

Nothing is shown before two seconds are over, nor where stderr is no terminal, nor where nobody asked for it, as in
Python. rich is imported as the bar appears: short commands do without.
"""

import sys
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Item = TypeVar("Item")

WAIT_S = 2.0  # before a bar appears


def counted(stage: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
    """Pass items on, and tell how many are done.

    Args:
        stage: what is done with them, in a word or two.
        items: what is passed on.
        total: how many there are; by default the length of `items`.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    _report(stage, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        _report(stage, done, total)


@contextmanager
def stages_shown(command: str) -> Iterator[None]:
    """Show the stages of a command while it works; one bar, which vanishes in the end.

    Args:
        command: its name, which stands before the bar until it tells of a stage.
    """
    if not sys.stderr.isatty() or _Shown.bar is not None:  # a command within another shows its stages in the other's
        yield
        return
    _Shown.bar = _StageBar(command)
    try:
        yield
    finally:
        bar, _Shown.bar = _Shown.bar, None
        bar.close()


class _StageBar:
    """A bar that appears when the wait is over, by a timer, with the stage that was told of last."""

    def __init__(self, command: str) -> None:
        self._lock = Lock()
        self._progress: Progress | None = None
        self._task: TaskID | None = None
        self._command = command
        self._stage: tuple[str, int, int | None] = ("", 0, None)
        self._timer = Timer(WAIT_S, self._appear)
        self._timer.daemon = True
        self._timer.start()

    def report(self, stage: str, done: int, total: int | None) -> None:
        """Take note of a stage; in any thread."""
        with self._lock:
            is_new = stage != self._stage[0]
            self._stage = stage, done, total
            if self._progress is None or self._task is None:
                return
            if is_new:
                self._progress.reset(self._task, total=total, description=f"{self._command}: {stage}")
            self._progress.update(self._task, completed=done, total=total)

    def close(self) -> None:
        """Take the bar away."""
        self._timer.cancel()
        with self._lock:
            if self._progress is not None:
                self._progress.stop()
            self._command = ""

    def _appear(self) -> None:
        from failmodes.warehouse.progress_bar import progress_bar

        with self._lock:
            if not self._command:  # it ended just now
                return
            stage, done, total = self._stage
            said = f"{self._command}: {stage}" if stage else self._command
            self._progress = progress_bar("[bold]{task.description}[/]", vanishes=True)
            self._task = self._progress.add_task(said, completed=done, total=total)
            self._progress.start()


class _Shown:
    """The bar of the command that runs; None where none does."""

    bar: _StageBar | None = None


def _report(stage: str, done: int, total: int | None) -> None:
    if _Shown.bar is not None:
        _Shown.bar.report(stage, done, total)
