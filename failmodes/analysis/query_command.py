"""The command that asks a warehouse in SQL."""

import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from failmodes.analysis.row_output import (
    FirstBatches,
    Format,
    FormatOption,
    OutputOption,
    VerticalOption,
    check_format,
    give_batches,
    give_rows,
    print_table,
)
from failmodes.warehouse.cli import WhereArgument
from failmodes.warehouse.completion import complete_corruption, complete_model, complete_query
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.output_files import ForceOption
from failmodes.warehouse.process import limit_command, query_memory
from failmodes.warehouse.terminal import named, note, say, suggest

TABLE_ROWS = 50  # that a table shows by default
OF_SAVED = "For saved queries"  # panel of the help


class SqlCommand(TyperCommand):
    """A command whose argument is SQL: text that begins with a comment, "-- all of fog", is no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let such texts begin with a space, which means nothing in SQL."""
        return super().parse_args(ctx, [f" {text}" if re.match(r"--[^=\s]*\s", text) else text for text in args])


def query(
    sql: Annotated[
        str | None,
        typer.Argument(help="One statement, or @name of a saved query.", autocompletion=complete_query),
    ] = None,
    where: WhereArgument = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help=f"Give the first rows only. A table shows {TABLE_ROWS} unless told; files have all."),
    ] = None,
    force: ForceOption = False,
    vertical: VerticalOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this model, by its label; may be repeated.",
            rich_help_panel=OF_SAVED,
            autocompletion=complete_model,
        ),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this corruption; may be repeated.",
            rich_help_panel=OF_SAVED,
            autocompletion=complete_corruption,
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Another of its parameters (see --list); in a statement of your own, the value of $NAME. A number, "
            "true, false, null, or a list such as \\[1, 2] is taken as such, everything else as text.",
            rich_help_panel=OF_SAVED,
        ),
    ] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="List the saved queries, and what they take.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds until the query is stopped.", min=0.001)] = 60,
    memory_gb: Annotated[
        float | None, typer.Option(help="Memory that it may take; half of the machine's by default.", min=0.1)
    ] = None,
) -> None:
    """Ask the warehouse a question in SQL; it can only read.

    Rows are shown as a table, whose controls are spelt out; all other formats carry every row, unless --limit is given.
    `failmodes schema` lists what can be asked.
    """
    if list_queries:
        _list_queries(output_format, output, force=force)
        return
    if not sql:
        raise StudyError('query: expected SQL such as "select * from accuracy_by_severity", or @name (see --list)')
    parameters = _parameters(sql, model, corruption, param, limit)
    check_format(output_format, output, force=force)
    limit_command(timeout, query_memory(memory_gb))  # before what follows brings threads
    from failmodes.warehouse.storage.locations import find_warehouse

    path = find_warehouse(where)
    if output is None and output_format in (None, "table"):
        _show_table(path, sql, parameters, limit or TABLE_ROWS, vertical, timeout)
        suggest("failmodes query --list" if not sql.startswith("@") else f"failmodes schema{named(where)}")
        return
    from failmodes.warehouse.database.query import query_batches

    most = None if limit is None else limit + 1  # one more says whether there are more
    with query_batches(path, sql, parameters, most=most, timeout_s=timeout) as batches:
        if limit is None:
            give_batches(batches, output_format, output, force=force)
            return
        first = FirstBatches(batches, limit)
        give_batches(first, output_format, output, force=force)
    if first.has_more:
        note(f"first {limit:,} rows, and there are more: without --limit all are given")


def _show_table(
    path: Path, sql: str, parameters: dict[str, object], most: int, vertical: bool | None, timeout_s: float
) -> None:
    from failmodes.warehouse.database.query import first_rows

    first = first_rows(path, sql, most, parameters, timeout_s=timeout_s)
    print_table(first.columns, first.rows, vertical=vertical)
    if first.row_count is None or first.row_count > most:
        count = "more" if first.row_count is None else f"{first.row_count:,} rows"
        note(f"first {most:,} of {count}: --limit N shows N, --format csv or --output FILE gives all")


def _parameters(
    sql: str, model: list[str] | None, corruption: list[str] | None, param: list[str] | None, limit: int | None
) -> dict[str, object]:
    """What options give to a query, by parameter; a saved query that gives its first rows gives as many as `limit`."""
    found: dict[str, object] = {}
    for text in param or []:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise StudyError(f"--param {text!r}: expected NAME=VALUE, such as --param confidence=0.95")
        found[name] = _value(value)
    filters = {name: names for name, names in (("model", model), ("corruption", corruption)) if names}
    if not sql.startswith("@"):
        if filters:
            option = next(iter(filters))
            raise StudyError(
                f"--{option} is for saved queries (see --list): in SQL, write `where {option} = ${option}` and give "
                f"--param {option}=…"
            )
        return found
    from failmodes.warehouse.database.saved_queries import ROWS, saved_query

    if limit is not None and ROWS in saved_query(sql[1:]).parameters:
        found.setdefault(ROWS, limit)
    return found | filters


def _value(text: str) -> object:
    """A value as JSON has it; all else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _list_queries(output_format: Format | None, output: Path | None, *, force: bool) -> None:
    from failmodes.warehouse.database.saved_queries import ROWS, saved_queries

    options = {"model": "--model", "corruption": "--corruption", ROWS: "--limit"}
    rows = [
        (
            f"@{one.name}",
            one.purpose,
            " ".join(options.get(name, f"--param {name}=…") for name in one.parameters),
        )
        for one in saved_queries().values()
    ]
    if output_format is None and output is None and not sys.stdout.isatty():
        say("\n".join("\t".join(row) for row in rows))
        return
    give_rows(("query", "question", "options"), rows, output_format, output, force=force)
    suggest(f"failmodes query {rows[-1][0]}")
