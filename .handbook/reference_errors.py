"""The page of exit codes and errors, from the classes of errors."""

from collections.abc import Iterator

from markdown_text import code, first_sentence, table

import failmodes
from failmodes.warehouse import errors

INTRODUCTION = """# Exit codes and errors

A command that fails says so in one line on stderr: what was given, what was expected, how to mend it. Its exit code
says what kind of failure it was. In Python the same is an exception, all of them kinds of `failmodes.FailmodesError`.
"""
CODES = {
    0: "It did what was asked. Of `status`: every invariant holds. Of `gate`: every rule passes.",
    1: "Data or a rule fails: a file, checkpoint or warehouse is damaged or does not match, a model raises, or the"
    " disk, time or memory runs out. Of `status`: an invariant is broken. Of `gate`, a rule fails.",
    2: "What you typed or wrote is wrong: an option, a name, a study, a rule, a claim, SQL or a class count; a file or"
    " warehouse does not exist; or an extra is not installed.",
    3: "Of `gate`: a rule is inconclusive, or something is missing.",
    70: "A bug in Failmodes: please report it with the traceback that it prints.",
    130: "Stopped by Ctrl-C. What was finished is kept, and the same command goes on from there.",
    143: "Stopped by the system (SIGTERM). What was finished is kept.",
}


def errors_page() -> str:
    """Markdown: the exit codes, and each class of errors with its own."""
    rows = [(code(name), code(found.exit_code), first_sentence(found)) for name, found in _public_errors()]
    return "\n".join(
        [
            INTRODUCTION,
            table(("exit code", "means"), [(code(number), meaning) for number, meaning in CODES.items()]),
            "[The gate](../gate.md) says more of codes 1 and 3.\n",
            "## Errors in Python\n",
            table(("error", "exit code", "raised where"), rows),
        ]
    )


def _public_errors() -> Iterator[tuple[str, type[errors.FailmodesError]]]:
    for name in failmodes.__all__:
        if name.endswith("Error"):
            yield name, getattr(errors, name)
