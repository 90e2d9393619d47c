"""Commands of the warehouse: load records into it, ask it questions in SQL, say what it holds."""

import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import Annotated, Literal

import typer

from failmodes.warehouse.terminal import remark, stderr_console

WhereArgument = Annotated[
    Path | None,
    typer.Argument(help="Study file, output folder or .duckdb file; study.toml or warehouse.duckdb here by default."),
]

TABLE_ROWS = 50  # that a table shows
WIDTH_OF_FILES = 1000  # letters of a line where output goes to a file

RecordArgument = Annotated[
    str | None,
    typer.Argument(help="Study file, output folder or URL that holds a record; study.toml here by default."),
]


def load(
    where: RecordArgument = None,
    more: Annotated[list[str] | None, typer.Argument(help="More studies, output folders or URLs.")] = None,
    into: Annotated[
        Path | None, typer.Option(help="The warehouse, a local file; by default that of the first WHERE.")
    ] = None,
    rebuild: Annotated[bool, typer.Option("--rebuild", help="Start from nothing: holds just what is named.")] = False,
) -> None:
    """Load evaluated cells into the warehouse: only what is new, each file verified by its hash."""
    from failmodes.warehouse.database.load import load as load_records
    from failmodes.warehouse.storage.locations import find_record, find_warehouse

    target = find_warehouse(into or where)
    outputs = [find_record(location) for location in (where, *(more or []))]
    with stderr_console().status("loading …"):
        report = load_records(outputs, target, rebuild=rebuild)
    counts = [
        f"{report.new_shards:,} new",
        f"{report.replaced_shards:,} replaced",
        f"{report.kept_shards:,} already there",
    ]
    if report.dropped_shards:
        counts.append(f"{report.dropped_shards:,} dropped, for no folder named here holds them")
    state = f"{report.row_count:,} rows in {report.elapsed_s:.1f} s" if report.swapped else "nothing to do"
    remark(f"{target}: shards {', '.join(counts)}; {state}")


def query(
    sql: Annotated[str | None, typer.Argument(help="One statement, or @name of a saved query.")] = None,
    where: WhereArgument = None,
    output_format: Annotated[
        Literal["table", "csv", "json"], typer.Option("--format", help="How to print the answer.")
    ] = "table",
    output: Annotated[Path | None, typer.Option(help="Write to this .csv, .json or .parquet file instead.")] = None,
    list_queries: Annotated[bool, typer.Option("--list", help="List the saved queries.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds until the query is stopped.", min=0.001)] = 60,
) -> None:
    """Ask the warehouse a question in SQL; it can only read."""
    from failmodes.warehouse.database.query import first_rows, run_query, saved_queries
    from failmodes.warehouse.errors import StudyError
    from failmodes.warehouse.storage.locations import find_warehouse

    if list_queries:
        for name, purpose in saved_queries().items():
            print(f"@{name}\t{purpose}")
        return
    if not sql:
        raise StudyError('query: expected SQL such as "select * from accuracy_by_severity", or @name (see --list)')
    from failmodes.warehouse.database.answers import format_rows, format_table, write_rows

    path = find_warehouse(where)
    if output_format == "table" and not output:
        first = first_rows(path, sql, TABLE_ROWS, timeout_s=timeout)
        sys.stdout.write(format_table(first, get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_FILES))
        if first.row_count > TABLE_ROWS:
            remark(f"first {TABLE_ROWS} of {first.row_count:,} rows: --format csv or --output FILE gives all")
        return
    rows = run_query(path, sql, timeout_s=timeout)
    if output:
        write_rows(rows, output)
        remark(f"{rows.height:,} rows in {output}")
    else:
        sys.stdout.write(format_rows(rows, output_format))


def print_status(where: Path) -> bool:
    """Print what a warehouse holds and whether every invariant holds; whether all is well."""
    from rich.console import Console

    from failmodes.warehouse.database.status import warehouse_status
    from failmodes.warehouse.storage.locations import find_warehouse

    path = find_warehouse(where)
    status = warehouse_status(path)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    facts = f"{status.row_counts['predictions']:,} predictions, {status.row_counts['attention']:,} attention rows"
    console.print(
        f"{path}: schema {status.schema_version}, {status.size_bytes / 1e6:,.1f} MB, {facts}, "
        f"last changed {status.updated_at:%Y-%m-%d %H:%M} UTC"
    )
    for row in status.evaluations.iter_rows(named=True):
        unpaired = "" if row["paired"] else ", not paired with clean images"
        console.print(
            f"  {row['evaluation_id']}  {row['model_label']} on {row['dataset_label']}, {row['subset']}; "
            f"{row['source_label']}{unpaired}; {row['cell_count']} cells, {row['attention_cell_count']} with attention"
        )
    failed = [check for check in status.checks if not check.passed]
    for check in failed:
        console.print(f"BROKEN {check.name}: {check.invariant} ({check.row_count:,} rows break it)")
    if status.stale_derived:
        console.print(f"out of date: {', '.join(status.stale_derived)}: `failmodes shapes` makes them anew")
    console.print(f"{len(status.checks) - len(failed)} of {len(status.checks)} checks hold")
    return not failed
