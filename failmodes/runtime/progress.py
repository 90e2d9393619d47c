"""Progress on stderr: a bar on a terminal, one updated line in a notebook, one line a minute in a log.

A bar appears with the first update after `WAIT_S` and is removed at the end. Python functions show nothing by default.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from datetime import timedelta
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Self, TypeVar

from failmodes.runtime.errors import printable
from failmodes.runtime.terminal import in_notebook, note, stderr_console

if TYPE_CHECKING:
    from rich.progress import Task

Item = TypeVar("Item")

WAIT_S = 2.0  # before a bar begins
LOG_LINE_S = 60.0  # at least, between two lines
NOTEBOOK_LINE_S = 0.2
SPEED_S = 600.0  # over which speed and time left are estimated


class ProgressBar:
    """Progress of one piece of work, which may have several stages."""

    def __init__(self, name: str, unit: str = "", *, show: bool = True) -> None:
        """Prepare a bar; open it with `with`.

        Args:
            name: the task, such as the command's name.
            unit: counted unit, if the speed is to be shown.
            show: whether anything is shown.
        """
        self._name = name
        self._unit = unit
        self._progress = _progress() if show else None
        self._is_terminal = sys.stderr.isatty()
        self._is_notebook = in_notebook()
        wait_s = WAIT_S if self._is_terminal else 0 if self._is_notebook else LOG_LINE_S
        self._due = monotonic() + wait_s
        self._write: Callable[[str], None] = _notebook_line() if self._is_notebook else note

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the bar; a notebook keeps the last line."""
        if self._progress is None:
            return
        if self._progress.live.is_started:
            self._progress.stop()
        elif self._is_notebook and self._progress.tasks:
            self._write(self._line())

    def update(self, done: float, total: float | None = None, text: str = "", stage: str = "") -> None:
        """Report how much is done.

        Args:
            done: how much of the stage.
            total: of how much; None if unknown.
            text: text behind the bar.
            stage: the current stage; a new one restarts the bar.
        """
        if self._progress is None:
            return
        stage = printable(f"{self._name}: {stage}" if stage else self._name)
        if (task := self._task) is None or task.description != stage:
            if task is not None:
                self._progress.remove_task(task.id)
            self._progress.add_task(stage, total=total, text="")
            task = self._task
        assert task is not None, "one was added"
        self._progress.update(task.id, completed=done, total=total)
        task.fields["text"] = printable(self._with_speed(text, task))
        now = monotonic()
        if now < self._due:
            return
        if self._is_terminal:
            self._progress.start()
        else:
            self._due = now + (NOTEBOOK_LINE_S if self._is_notebook else LOG_LINE_S)
            self._write(self._line())

    @property
    def _task(self) -> "Task | None":
        return next(iter(self._progress.tasks), None) if self._progress else None

    def _with_speed(self, text: str, task: "Task") -> str:
        speed = (task.finished_speed or task.speed) if self._unit else None
        if speed is None:
            return text
        return f"{text}{', ' * bool(text)}{speed:,.{int(speed < 10)}f} {self._unit}/s"

    def _line(self) -> str:
        """The bar as text."""
        task = self._task
        assert task is not None, "it was updated"
        share = f"{task.percentage:.0f}%" if task.total else f"{task.completed:,.0f}"
        left_s = task.time_remaining
        left = f"{timedelta(seconds=round(left_s))} left" if left_s else ""
        return f"{task.description}: {', '.join(part for part in (share, task.fields['text'], left) if part)}"


def _progress() -> Any:
    """A progress bar of rich that shows plain text on stderr."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    name, text = (TextColumn(f"{{task.{field}}}", markup=False) for field in ("description", "fields[text]"))
    return Progress(
        name, BarColumn(), text, TimeRemainingColumn(),
        console=stderr_console(), transient=True, redirect_stdout=False, speed_estimate_period=SPEED_S,
    )  # fmt: skip


def _notebook_line() -> Callable[[str], None]:
    """One line in the output of a notebook's cell, overwritten each time; rich would need widgets."""
    display: Callable[..., Any] = import_module("IPython.display").display
    shown: list[Any] = []

    def write(line: str) -> None:
        content = {"text/plain": line}
        if shown:
            shown[0].update(content, raw=True)
        else:
            shown.append(display(content, raw=True, display_id=True))

    return write


class _Shown:
    """The bar of the running command; None if none runs."""

    bar: ProgressBar | None = None


@contextmanager
def stages_shown(command: str) -> Iterator[None]:
    """Show the stages that `counted` reports; a command within another shows the other's name."""
    if _Shown.bar is not None:
        yield
        return
    try:
        with ProgressBar(command) as _Shown.bar:
            yield
    finally:
        _Shown.bar = None


def counted(stage: str, items: Iterable[Item], total: int | None = None) -> Iterator[Item]:
    """Yield items, and report how many are done.

    Args:
        stage: name of the stage.
        items: the items.
        total: their number; default: the length of `items`.
    """
    if total is None and isinstance(items, Sized):
        total = len(items)
    _report(stage, 0, total)
    for done, item in enumerate(items, 1):
        yield item
        _report(stage, done, total)


def _report(stage: str, done: int, total: int | None) -> None:
    if _Shown.bar is not None:
        _Shown.bar.update(done, total, stage=stage)
