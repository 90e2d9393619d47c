"""Entry point of the command line: `failmodes …` or `python -m failmodes …`."""

import sys
from contextlib import suppress

from failmodes.runtime.errors import BUG_EXIT_CODE, StorageError, printable, wants_traceback
from failmodes.runtime.process import begin_command, end_process, explain, ignore_stops, raise_if_stopped
from failmodes.runtime.terminal import finish_output, prepare_streams, without_commands


def main() -> None:
    """Run the command in `sys.argv` and exit with its exit code."""
    try:
        prepare_streams()
        begin_command()
        code = run_command()
        ignore_stops()
    except BaseException as error:
        try:
            ignore_stops()
        except KeyboardInterrupt:  # a pending one: DuckDB may receive a signal before Python does
            ignore_stops()
        code = report(error)
    end_process(code)


def run_command() -> int:
    """Run the command in `sys.argv`, flush its output and return its exit code."""
    from failmodes.cli import build_app
    from failmodes.warehouse.completion import completed_words, join_saved_query

    join_saved_query()
    words = sys.argv[1:] or completed_words()
    code: object = 0
    try:
        build_app(words[0] if words else None)()
    except SystemExit as end:  # typer ends every command with SystemExit
        code = end.code
        if code:
            raise_if_stopped()
    finish_output()
    return code if isinstance(code, int) else 0


def report(error: BaseException) -> int:
    """Print the error in one line, after the traceback if it is a bug, and return the exit code."""
    explained = explain(error)
    try:
        finish_output()
    except StorageError as unwritten:  # the interpreter would fail to flush again and print its own message
        explained = unwritten if isinstance(error, OSError) else explained
    lines = []
    if explained is None or wants_traceback():
        from traceback import format_exception

        text = "".join(format_exception(error))
        lines = [printable(line, len(line)) for line in text.splitlines()]
    bug = f"unexpected {type(error).__name__}; this is a bug in failmodes: please report it with the lines above"
    lines.append(f"failmodes: {bug if explained is None else explained}")
    with suppress(OSError):  # stderr is closed
        print(without_commands("\n".join(lines)), file=sys.stderr, flush=True)
    return BUG_EXIT_CODE if explained is None else explained.exit_code


if __name__ == "__main__":
    main()
