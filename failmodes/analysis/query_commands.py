"""`failmodes query` and `failmodes schema`: rows as a table, or in a format for programs and papers."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from failmodes.warehouse.cli import READING_S, TimeoutOption, WhereArgument
from failmodes.warehouse.completion import complete_corruption, complete_model, complete_query, complete_relation
from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result, line_width, result_file
from failmodes.warehouse.process import limit_command, query_memory
from failmodes.warehouse.terminal import named, note, say, suggest

if TYPE_CHECKING:
    import polars as pl

TABLE_ROWS = 50  # that a table shows by default
OF_SAVED = "For saved queries"  # panel of the help

Format = Literal["table", "csv", "json", "markdown", "parquet", "latex"]

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="How to print the answer: table by default; with --output, what the file's name says."
    ),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Write to this .csv, .json, .md, .parquet or .tex file; - prints CSV, or the --format, to stdout.",
    ),
]
VerticalOption = Annotated[
    bool | None,
    typer.Option(
        "--vertical/--horizontal",
        help="A line a column, a block a row; by default where a table is too wide for the terminal.",
        show_default=False,
    ),
]


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
    seen = 0
    with query_batches(path, sql, parameters, most=most, timeout_s=timeout) as batches:

        def first_rows() -> Iterator["pl.DataFrame"]:
            nonlocal seen
            for rows in batches:
                if limit is None or seen < limit:
                    yield rows.slice(0, None if limit is None else limit - seen)
                seen += rows.height

        give_batches(first_rows(), output_format, output, force=force)
    if limit is not None and seen > limit:
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


def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A table or view, whose columns are listed, or a metric, which is explained; all tables and views "
            "without it.",
            autocompletion=complete_relation,
        ),
    ] = None,
    where: Annotated[
        Path | None,
        typer.Argument(
            help="Study file, output folder or .duckdb file; without one, and without study.toml or warehouse.duckdb "
            "here, what every warehouse has."
        ),
    ] = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    vertical: VerticalOption = None,
    timeout: TimeoutOption = READING_S,
) -> None:
    """List tables and views and what a row of each is; or the columns of one, with type, meaning, range and unit.

    Of a metric: its title, formula, unit, range, direction and source. `failmodes query "from metrics"` lists all.
    """
    if name is not None and where is None and ("." in name or "/" in name):  # `failmodes schema warehouse.duckdb`
        where, name = Path(name), None
    check_format(output_format, output, force=force)
    limit_command(timeout)
    from failmodes.warehouse.database.schema_listing import column_rows, metric_facts, relation_rows

    path = _warehouse_here(where)
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    if name is not None and (facts := metric_facts(path, name)):
        columns, rows, vertical = ("field", "value"), [*facts], False
        following = f"failmodes query \"from cell_metrics where metric = '{name}'\"{named(where)}"
    elif name is not None:
        columns, rows = ("column", "type", "unit", "range", "meaning"), [row[1:] for row in column_rows(path, name)]
        following = f'failmodes query "from {name} limit 10"{named(where)}'
    else:
        listed = relation_rows(path)
        columns, rows = ("name", "kind", "rows", "meaning"), [(x.name, x.kind, x.row_count, x.meaning) for x in listed]
        if path is None:  # nothing is counted
            columns, rows = ("name", "kind", "meaning"), [(x.name, x.kind, x.meaning) for x in listed]
        following = f"failmodes schema accuracy_by_severity{named(where)}"
    give_rows(columns, rows, output_format, output, vertical=vertical, force=force)
    if output is None and output_format in (None, "table"):
        suggest(following)


def _warehouse_here(where: Path | None) -> Path | None:
    """The warehouse that is named, or that lies here; None where none is."""
    from failmodes.warehouse.storage.locations import default_location, find_warehouse

    if where is not None:
        return find_warehouse(where)
    try:
        here = default_location()
    except StudyError:
        return None
    path = find_warehouse(here)
    return path if path.exists() else None


def check_format(output_format: Format | None, output: Path | None, *, force: bool = False) -> None:
    """Refuse what has no answer: Parquet to the terminal, a table for the eye in a file, a file that must stay.

    Raises:
        StudyError, StorageError: saying what to give instead.
    """
    if output is None:
        if output_format == "parquet":
            raise StudyError(
                "--format parquet is no text: name a file with --output FILE.parquet, or pipe it with --output -"
            )
        return
    from failmodes.analysis.render.row_formats import suffixes_of

    if output_format == "table":
        raise StudyError("--format table is for the terminal: for a file take csv, json, markdown, parquet or latex")
    check_result(output, suffixes_of(output_format), force=force)


def give_batches(
    batches: Iterable["pl.DataFrame"], output_format: Format | None, output: Path | None, *, force: bool = False
) -> int:
    """Write rows to a file, and say so, or print them in another format than a table; how many there were."""
    from failmodes.analysis.render.row_formats import print_rows, write_rows

    if output is None or (output == STDOUT and output_format != "parquet"):
        return print_rows(batches, sys.stdout, output_format or "csv")
    with result_file(output, "rows.parquet") as file:
        count = write_rows(batches, file, output_format, force=force)
    if output != STDOUT:
        note(f"{count:,} rows in {output}")
    return count


def give_rows(
    columns: Sequence[str],
    rows: Sequence[tuple[Any, ...]],
    output_format: Format | None,
    output: Path | None,
    *,
    vertical: bool | None = None,
    force: bool = False,
) -> None:
    """Give rows that are there already: all of them, in the format asked for."""
    check_format(output_format, output, force=force)
    if output is None and output_format in (None, "table"):
        print_table(columns, rows, vertical=vertical)
        return
    import polars as pl

    frame = pl.DataFrame([tuple(row) for row in rows], list(columns), orient="row", infer_schema_length=None)
    give_batches([frame], output_format, output, force=force)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, vertical: bool | None) -> None:
    """Print rows to stdout as a table, or a record a row; see `format_rows`."""
    from failmodes.analysis.render.row_formats import format_rows

    say(format_rows(columns, rows, line_width(), vertical=vertical), end="")
