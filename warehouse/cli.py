"""Commands of the warehouse: load records into it, ask it questions in SQL, say what it holds."""

import re
import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from failmodes.warehouse.errors import StudyError
from failmodes.warehouse.limits import limit_command, query_memory
from failmodes.warehouse.terminal import interruptible, remark, stderr_console, stdout_console

if TYPE_CHECKING:
    from failmodes.warehouse.published_layout import PublishedSet
    from failmodes.warehouse.storage.files import StorePath

WhereArgument = Annotated[
    Path | None,
    typer.Argument(help="Study file, output folder or .duckdb file; study.toml or warehouse.duckdb here by default."),
]

TimeoutOption = Annotated[float, typer.Option("--timeout", help="Seconds until it is stopped.", min=0.001)]
READING_S = 3600  # by default: a report of many networks takes minutes

TABLE_ROWS = 50  # that a table shows
WIDTH_OF_FILES = 1000  # letters of a line where output goes to a file


class SqlCommand(TyperCommand):
    """A command whose argument is SQL: text that begins with a comment, "-- all of fog", is no option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Let such texts begin with a space, which means nothing in SQL."""
        return super().parse_args(ctx, [f" {text}" if re.match(r"--[^=\s]*\s", text) else text for text in args])


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
    published: Annotated[
        list[Path] | None,
        typer.Option(help="Accuracies that others published, a CSV file of RobustBench's layout; may be repeated."),
    ] = None,
    published_of: Annotated[
        str | None, typer.Option(help="The data set that they are of, where the file's name (cifar10_…) does not tell.")
    ] = None,
) -> None:
    """Load evaluated cells into the warehouse: only what is new, each file verified by its hash."""
    limit_command(None)
    from failmodes.warehouse.database.stated_claims import claims_of_studies
    from failmodes.warehouse.published_layout import read_published
    from failmodes.warehouse.shards.inventory import has_record
    from failmodes.warehouse.storage.locations import find_record, find_warehouse

    sets = [read_published(path, published_of) for path in published or []]  # one that is damaged stops before all else
    target = find_warehouse(into or where)
    outputs = [find_record(location) for location in (where, *(more or []))]
    if not sets or rebuild or not target.exists() or any(map(has_record, outputs)):
        _load_records(outputs, target, rebuild=rebuild, claims=claims_of_studies([where, *(more or [])]))
    if sets:
        _load_published(sets, target)


def _load_published(sets: list["PublishedSet"], target: Path) -> None:
    """Put published accuracies into the warehouse, and say whether they will be drawn beside its networks."""
    from failmodes.warehouse.database.connection import open_warehouse
    from failmodes.warehouse.database.published import is_of, store_published

    with interruptible("the warehouse is as it was"):
        store_published(target, sets)
    with open_warehouse(target, ["datasets"]) as con:
        datasets = con.execute("select dataset_name, dataset_label from datasets").fetchall()
    for one in sets:
        clean = "" if one.has_clean else ", without clean accuracies, and so without shapes"
        drawn = f"drawn beside networks on {one.dataset}"
        if one.dataset is None:
            drawn = "not drawn, for it is not stated which data set they are of: load them again with --published-of"
        elif not any(is_of(one.dataset, *row) for row in datasets):
            drawn = f"not drawn, for no data set here is {one.dataset}: --published-of NAME says that one is"
        remark(f"{target}: {len(one.models):,} published networks ({one.name}){clean}; {drawn}")


def _load_records(outputs: list["StorePath"], target: Path, *, rebuild: bool, claims: list[str] | None = None) -> None:
    from failmodes.warehouse.database.load import load as load_records

    with stderr_console().status("loading …"), interruptible("the warehouse is as it was"):
        report = load_records(outputs, target, rebuild=rebuild, claims=claims)
    counts = [
        f"{report.new_shards:,} new",
        f"{report.replaced_shards:,} replaced",
        f"{report.kept_shards:,} already there",
    ]
    if report.dropped_shards:
        counts.append(f"{report.dropped_shards:,} dropped, for no folder named here holds them")
    state = f"{report.row_count:,} rows in {report.elapsed_s:.1f} s" if report.swapped else "nothing to do"
    if report.measured_evaluations and not report.row_count:  # rows that are new are measured without a word
        state = f"evaluations measured from the rows that are there: {report.measured_evaluations:,}; {state}"
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
    memory_gb: Annotated[
        float | None, typer.Option(help="Memory that it may take; half of the machine's by default.", min=0.1)
    ] = None,
) -> None:
    """Ask the warehouse a question in SQL; it can only read.

    Rows are shown as a table, whose controls are spelt out; CSV and JSON carry the values as they are.
    """
    if list_queries:
        from failmodes.warehouse.database.query import saved_queries

        for name, purpose in saved_queries().items():
            print(f"@{name}\t{purpose}")
        return
    if not sql:
        raise StudyError('query: expected SQL such as "select * from accuracy_by_severity", or @name (see --list)')
    limit_command(timeout, query_memory(memory_gb))  # before what follows brings threads
    from failmodes.warehouse.database.answers import format_table, print_rows, write_rows
    from failmodes.warehouse.database.query import first_rows, query_batches
    from failmodes.warehouse.storage.locations import find_warehouse

    path = find_warehouse(where)
    if output_format == "table" and not output:
        first = first_rows(path, sql, TABLE_ROWS, timeout_s=timeout)
        sys.stdout.write(format_table(first, get_terminal_size().columns if sys.stdout.isatty() else WIDTH_OF_FILES))
        if first.row_count is None or first.row_count > TABLE_ROWS:
            count = "more" if first.row_count is None else f"{first.row_count:,} rows"
            remark(f"first {TABLE_ROWS} of {count}: --format csv or --output FILE gives all")
        return
    with query_batches(path, sql, timeout_s=timeout) as batches:
        if output:
            remark(f"{write_rows(batches, output):,} rows in {output}")
        else:
            print_rows(batches, sys.stdout, output_format)


def print_status(where: Path, *, full: bool = False) -> bool:
    """Print what a warehouse holds and whether every invariant holds; whether all is well.

    Args:
        where: study file, output folder or .duckdb file.
        full: check all rows again, and compare stored measures with them.
    """
    from failmodes.warehouse.database.status import warehouse_status
    from failmodes.warehouse.storage.locations import find_warehouse

    path = find_warehouse(where)
    status = warehouse_status(path, full=full)
    console = stdout_console()
    facts = f"{status.row_counts['predictions']:,} predictions, {status.row_counts['attention']:,} attention rows"
    if pictures := status.row_counts["thumbnails"]:
        facts += f", {pictures:,} clean images to show"
    if published := status.row_counts["published_accuracy"]:
        facts += f", {published:,} published accuracies"
    if claims := status.row_counts["stated_claims"]:
        facts += f", {claims:,} stated claims"
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
