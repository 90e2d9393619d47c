"""Failmodes: a warehouse of how vision models fail. This is the command line's root.

It composes the stages' commands and turns an error that is meant for the user into one line on stderr.
"""

import sys

import typer

from evaluate.cli import evaluate, ingest, train
from warehouse.errors import FailmodesError

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
for command in (ingest, train, evaluate):
    app.command()(command)


def main() -> None:
    """Run a command."""
    try:
        app()
    except FailmodesError as error:
        print(f"failmodes: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
