"""Reference page of exit codes and errors, from the exception classes."""

from collections.abc import Iterator

from markdown_text import code, first_sentence, table

import failmodes
from failmodes.runtime import errors

INTRODUCTION = """# Exit codes and errors

A failing command prints one line on stderr: what is wrong, what was expected and how to fix it. The exit code gives the
kind of failure. In Python the same failure raises a subclass of `failmodes.FailmodesError`.
"""
CODES = {
    0: "Success. For `status`: every data check passes. For `gate`: every rule passes.",
    1: "Data or a rule fails: a file, checkpoint or warehouse is damaged or does not match, a model raises, or the"
    " disk, time or memory runs out. For `status`: a data check fails. For `gate`: a rule fails.",
    2: "Invalid input: an option, a name, a study, a rule, a claim, SQL or a class count; a file or"
    " warehouse does not exist; or an extra is not installed.",
    3: "For `gate`: a rule is inconclusive, or a cell is missing.",
    70: "A bug in Failmodes: please report it with the traceback.",
    130: "Stopped by Ctrl-C. Finished work is kept, and the same command resumes.",
    143: "Terminated (SIGTERM). Finished work is kept.",
}


def errors_page() -> str:
    """Return Markdown with the exit codes and the exit code of each exception class."""
    rows = [(code(name), code(found.exit_code), first_sentence(found)) for name, found in _public_errors()]
    return "\n".join(
        [
            INTRODUCTION,
            table(("exit code", "means"), [(code(number), meaning) for number, meaning in CODES.items()]),
            "See [the gate](../gate.md#verdicts-and-exit-codes) for codes 1 and 3.\n",
            "## Errors in Python\n",
            table(("error", "exit code", "raised if"), rows),
        ]
    )


def _public_errors() -> Iterator[tuple[str, type[errors.FailmodesError]]]:
    for name in failmodes.__all__:
        if name.endswith("Error"):
            yield name, getattr(errors, name)
