"""The command: how it begins and how it ends, whatever it does. `failmodes …`, or `python -m failmodes …`."""

import sys

from failmodes.warehouse.diagnosis import explain
from failmodes.warehouse.errors import StorageError, printable, wants_traceback
from failmodes.warehouse.runner_commands import without_commands
from failmodes.warehouse.terminal import finish_output, prepare_streams, raise_on_termination
from failmodes.warehouse.watched_process import end_command, failure_code, ignore_stops, watch_command


def main() -> None:
    """Run a command; whatever ends it early is one line and an exit code, never a traceback."""
    prepare_streams()
    raise_on_termination()
    try:
        watch_command()
        code = _run_command()
    except SystemExit:  # in the process that watches
        raise
    except BaseException as error:
        if wants_traceback():
            from traceback import format_exception

            sys.stderr.write(without_commands("".join(format_exception(error))))
        end_command(*_last_word(error))
    end_command(code)


def _run_command() -> int:
    """Run it, and bring its answer out; its exit code."""
    from failmodes.cli import build_app  # not before, so that the process that watches stays small
    from failmodes.warehouse.completion import completed_words, join_saved_query

    join_saved_query()
    words = sys.argv[1:] or completed_words()
    try:
        build_app(words[0] if words else None)()
    except SystemExit as end:  # typer ends every command with it, one that was stopped too
        cause = end.__context__.__cause__ if end.__context__ else None
        if isinstance(cause, KeyboardInterrupt):
            raise cause from None
        finish_output()
        return end.code if isinstance(end.code, int) else 0
    return 0


def _last_word(error: BaseException) -> tuple[int, str]:
    """The exit code of a command that `error` ended, and the line that says so."""
    ignore_stops()
    try:
        explained = explain(error)
        try:
            finish_output()
        except StorageError as unwritten:  # else the interpreter would fail at it once more, in its own words
            explained = unwritten if isinstance(error, OSError) else explained
        return failure_code(explained.exit_code), f"failmodes: {printable(str(explained))}"
    except Exception:  # it takes memory and files too
        return failure_code(), "failmodes: out of memory, or of open files"


if __name__ == "__main__":
    main()
