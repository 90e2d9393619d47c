"""The one progress bar of all commands, on stderr."""

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from failmodes.warehouse.terminal import stderr_console


class ImagesPerSecond(ProgressColumn):
    """Images a second since the start; reads the task's field `images`."""

    def render(self, task: Task) -> Text:
        """The rate, or an ellipsis before the first image."""
        images, elapsed_s = task.fields["images"], task.elapsed or 0
        return Text(f"{images / elapsed_s:,.0f} images/s" if images and elapsed_s else "… images/s")


def progress_bar(
    description: str, *columns: ProgressColumn | str, show: bool | None = None, vanishes: bool = False
) -> Progress:
    """A progress bar to open with `with`: description, bar, the given columns, time left.

    Args:
        description: text before the bar, in rich's markup; `{task.…}` is filled in for each task.
        columns: what stands between the bar and the time left; a text may hold `{task.fields[…]}`.
        show: whether it is drawn; by default where stderr is a terminal.
        vanishes: whether nothing is left of it in the end.
    """
    console = stderr_console()
    between = [TextColumn(column) if isinstance(column, str) else column for column in columns]
    hidden = not (console.is_terminal if show is None else show)
    return Progress(
        TextColumn(description), BarColumn(), *between, TimeRemainingColumn(),
        console=console, disable=hidden, transient=vanishes,
    )  # fmt: skip
