"""The commands `query` and `schema`: print rows as a table, or write them as CSV, JSON, Parquet and other formats."""

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from failmodes.runtime.errors import StudyError, translated
from failmodes.runtime.process import limit_command, query_memory
from failmodes.runtime.terminal import named, note, say, suggest
from failmodes.warehouse.cli import READING_S, Command, TimeoutOption, WhereArgument
from failmodes.warehouse.completion import complete_corruption, complete_model, complete_query, complete_relation
from failmodes.warehouse.output_files import STDOUT, ForceOption, check_result, line_width, result_file

if TYPE_CHECKING:
    import polars as pl

    from failmodes.warehouse.database.query import MissingValueError

TABLE_ROWS = 50  # default number of rows of a table
OF_SAVED = "For saved queries"  # panel of the help

Format = Literal["table", "csv", "json", "markdown", "parquet", "latex"]

FormatOption = Annotated[
    Format | None,
    typer.Option("--format", help="Output format. Default: table; with --output, the format of the file suffix."),
]
OutputOption = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Output file: .csv, .json, .md, .parquet or .tex (- for stdout: CSV, or --format).",
    ),
]
VerticalOption = Annotated[
    bool | None,
    typer.Option(
        "--vertical/--horizontal",
        help="One line per column. Default: if a table is too wide for the terminal.",
        show_default=False,
    ),
]


class SqlCommand(Command):
    """A command whose argument is SQL: a text that begins with a comment, "-- all of fog", is not an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put a space, which SQL ignores, before such texts."""
        return super().parse_args(ctx, [f" {text}" if re.match(r"--[^=\s]*\s", text) else text for text in args])


def query(
    sql: Annotated[
        str | None,
        typer.Argument(help="One SQL statement, or @NAME of a saved query.", autocompletion=complete_query),
    ] = None,
    where: WhereArgument = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"Maximum number of rows. Default: {TABLE_ROWS} for a table, all rows for other formats.",
        ),
    ] = None,
    force: ForceOption = False,
    vertical: VerticalOption = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this model, by label. Repeatable.",
            metavar="NAME",
            rich_help_panel=OF_SAVED,
            autocompletion=complete_model,
        ),
    ] = None,
    corruption: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this corruption. Repeatable.",
            metavar="NAME",
            rich_help_panel=OF_SAVED,
            autocompletion=complete_corruption,
        ),
    ] = None,
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Another parameter (see --list), or the value of $NAME in your own statement. Numbers, true, false, "
            "null and lists such as \\[1, 2] are parsed as JSON; anything else is text. Repeatable.",
            rich_help_panel=OF_SAVED,
        ),
    ] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="List the saved queries and their options.")] = False,
    timeout: TimeoutOption = 60,
    memory_gb: Annotated[
        float | None,
        typer.Option(help="Memory limit in GB. Default: half of the machine's memory.", metavar="GB", min=0.1),
    ] = None,
) -> None:
    """Query the warehouse in SQL, read-only.

    Prints a table with control characters escaped; other formats contain all rows unless --limit is given.
    `failmodes schema` lists tables, views and columns.
    """
    if list_queries:
        _list_queries(output_format, output, force=force)
        return
    if not sql:
        raise StudyError('query: expected SQL such as "select * from accuracy_by_severity", or @name (see --list)')
    parameters = _parameters(sql, model, corruption, param, limit)
    check_format(output_format, output, force=force)
    limit_command(timeout, query_memory(memory_gb))  # before imports start threads
    from failmodes.runtime.storage.locations import find_warehouse
    from failmodes.warehouse.database.query import MissingValueError

    path = find_warehouse(where)
    with translated(MissingValueError, _as_options):
        if output is not None or output_format not in (None, "table"):
            _give_all(path, sql, parameters, limit, timeout, output_format, output, force=force)
            return
        _show_table(path, sql, parameters, limit or TABLE_ROWS, vertical, timeout)
    suggest("failmodes query --list" if not sql.startswith("@") else f"failmodes schema{named(where)}")


def _as_options(error: "MissingValueError") -> "MissingValueError":
    """The error with the options that give the values."""
    return type(error)(error.names, f"add {' '.join(f'--param {name}=…' for name in error.names)}")


def _give_all(
    path: Path, sql: str, parameters: dict[str, object], limit: int | None, timeout_s: float,
    output_format: Format | None, output: Path | None, *, force: bool,
) -> None:  # fmt: skip
    """Write all rows, or the first `limit`."""
    from failmodes.warehouse.database.query import query_batches

    most = None if limit is None else limit + 1  # one more row shows whether there are more
    seen = 0
    with query_batches(path, sql, parameters, most=most, timeout_s=timeout_s) as batches:

        def first_rows() -> Iterator["pl.DataFrame"]:
            nonlocal seen
            for rows in batches:
                if limit is None or seen < limit:
                    yield rows.slice(0, None if limit is None else limit - seen)
                seen += rows.height

        give_batches(first_rows(), output_format, output, force=force)
    if not seen:
        _note_unknown(path, sql, parameters)
    if limit is not None and seen > limit:
        note(f"first {limit:,} rows of more: leave out --limit for all rows")


def _show_table(
    path: Path, sql: str, parameters: dict[str, object], most: int, vertical: bool | None, timeout_s: float
) -> None:
    from failmodes.warehouse.database.query import first_rows

    first = first_rows(path, sql, most, parameters, timeout_s=timeout_s)
    print_table(first.columns, first.rows, vertical=vertical)
    if not first.rows:
        _note_unknown(path, sql, parameters)
    if first.row_count is None or first.row_count > most:
        count = "more" if first.row_count is None else f"{first.row_count:,} rows"
        note(f"first {most:,} of {count}; --limit N for more, --format csv or --output FILE for all")


def _note_unknown(path: Path, sql: str, parameters: dict[str, object]) -> None:
    from failmodes.warehouse.database.query import unknown_values

    for hint in unknown_values(path, sql, parameters):
        note(hint)


def _parameters(
    sql: str, model: list[str] | None, corruption: list[str] | None, param: list[str] | None, limit: int | None
) -> dict[str, object]:
    """Values of a query's parameters, by name; `limit` sets the parameter `rows` of a saved query that has one."""
    values: dict[str, object] = {}
    for text in param or []:
        name, sign, value = text.partition("=")
        if not sign or not name.isidentifier():
            raise StudyError(f"--param {text!r}: expected NAME=VALUE, such as --param confidence=0.95")
        values[name] = _value(value)
    filters = {name: names for name, names in (("model", model), ("corruption", corruption)) if names}
    if not sql.startswith("@"):
        if filters:
            option = next(iter(filters))
            raise StudyError(
                f"--{option} is for saved queries (see --list): in SQL, write `where {option} = ${option}` and give "
                f"--param {option}=…"
            )
        return values
    from failmodes.warehouse.database.saved_queries import ROWS, saved_query

    if limit is not None and ROWS in saved_query(sql[1:]).parameters:
        values.setdefault(ROWS, limit)
    return values | filters


def _value(text: str) -> object:
    """A JSON value; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _list_queries(output_format: Format | None, output: Path | None, *, force: bool) -> None:
    from failmodes.warehouse.database.saved_queries import ROWS, saved_queries

    options = {"model": "--model", "corruption": "--corruption", ROWS: "--limit"}
    rows = [
        (
            f"@{query.name}",
            query.purpose,
            " ".join(options.get(name, f"--param {name}=…") for name in query.parameters),
        )
        for query in saved_queries().values()
    ]
    if output_format is None and output is None:
        give_list(("query", "question", "options"), rows)
    else:
        give_rows(("query", "question", "options"), rows, output_format, output, force=force)
    if sys.stdout.isatty():
        suggest(f"failmodes query {rows[-1][0]}")


def give_list(columns: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a list of names: a table in a terminal, else tab-separated lines."""
    if sys.stdout.isatty():
        give_rows(columns, rows, None, None)
    else:
        say("\n".join("\t".join(row) for row in rows))


def schema(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A table or view (lists its columns) or a metric. Default: all tables and views.",
            autocompletion=complete_relation,
        ),
    ] = None,
    where: Annotated[
        Path | None,
        typer.Argument(
            help="Study file, output folder or .duckdb file. Default: study.toml or warehouse.duckdb in the current "
            "folder, else the schema of every warehouse."
        ),
    ] = None,
    output_format: FormatOption = None,
    output: OutputOption = None,
    force: ForceOption = False,
    vertical: VerticalOption = None,
    timeout: TimeoutOption = READING_S,
) -> None:
    """List tables and views, or the columns of one with type, meaning, range and unit.

    For a metric: its title, formula, unit, range, direction and source. `failmodes query "from metrics"` lists all.
    """
    if name is not None and where is None and ("." in name or "/" in name):  # `failmodes schema warehouse.duckdb`
        where = Path(name)
        name = None
    check_format(output_format, output, force=force)
    limit_command(timeout)
    from failmodes.warehouse.database.schema_listing import column_rows, metric_facts, relation_rows

    path = _warehouse_here(where)
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    if name is not None and (facts := metric_facts(path, name)):
        columns = ("field", "value")
        rows = [*facts]
        vertical = False
        following = f"failmodes query \"from cell_metrics where metric = '{name}'\"{named(where)}"
    elif name is not None:
        columns = ("column", "type", "unit", "range", "meaning")
        rows = [row[1:] for row in column_rows(path, name)]
        following = f'failmodes query "from {name} limit 10"{named(where)}'
    else:
        listed = relation_rows(path)
        columns = ("name", "kind", "rows", "meaning")
        rows = [(x.name, x.kind, x.row_count, x.meaning) for x in listed]
        if path is None:  # no row counts
            columns = ("name", "kind", "meaning")
            rows = [(x.name, x.kind, x.meaning) for x in listed]
        following = f"failmodes schema accuracy_by_severity{named(where)}"
    give_rows(columns, rows, output_format, output, vertical=vertical, force=force)
    if output is None and output_format in (None, "table"):
        suggest(following)


def _warehouse_here(where: Path | None) -> Path | None:
    """The named warehouse, else the one in the current folder, else None."""
    from failmodes.runtime.storage.locations import default_location, find_warehouse

    if where is not None:
        return find_warehouse(where)
    try:
        here = default_location()
    except StudyError:
        return None
    path = find_warehouse(here)
    return path if path.exists() else None


def check_format(output_format: Format | None, output: Path | None, *, force: bool = False) -> None:
    """Refuse Parquet on the terminal, a terminal table in a file, and a file that must not be replaced.

    Raises:
        StudyError, StorageError: the message says what to give instead.
    """
    if output is None:
        if output_format == "parquet":
            raise StudyError(
                "--format parquet is binary: name a file with --output FILE.parquet, or pipe it with --output -"
            )
        return
    from failmodes.analysis.render.row_formats import suffixes_of

    if output_format == "table":
        raise StudyError("--format table is for the terminal: choose csv, json, markdown, parquet or latex for a file")
    check_result(output, suffixes_of(output_format), force=force)


def give_batches(
    batches: Iterable["pl.DataFrame"], output_format: Format | None, output: Path | None, *, force: bool = False
) -> int:
    """Write rows to a file, or print them in a format other than a table; return the number of rows."""
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
    """Print or write all rows in the given format."""
    check_format(output_format, output, force=force)
    if output is None and output_format in (None, "table"):
        print_table(columns, rows, vertical=vertical)
        return
    import polars as pl

    frame = pl.DataFrame([tuple(row) for row in rows], list(columns), orient="row", infer_schema_length=None)
    give_batches([frame], output_format, output, force=force)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, vertical: bool | None) -> None:
    """Print rows to stdout as a table, or one record per row; see `format_rows`."""
    from failmodes.analysis.render.row_formats import format_rows

    say(format_rows(columns, rows, line_width(), vertical=vertical), end="")
