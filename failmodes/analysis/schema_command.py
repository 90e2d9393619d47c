"""The command that says what can be asked: tables, views, their columns and what these mean."""

from pathlib import Path
from typing import Annotated, Any

import typer

from failmodes.analysis.row_output import FormatOption, OutputOption, VerticalOption, check_format, give_rows
from failmodes.warehouse.cli import READING_S, TimeoutOption
from failmodes.warehouse.completion import complete_relation
from failmodes.warehouse.output_files import ForceOption
from failmodes.warehouse.process import limit_command
from failmodes.warehouse.terminal import named, suggest


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

    path = _warehouse(where)
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


def _warehouse(where: Path | None) -> Path | None:
    """The warehouse that is named, or that lies here; None where none is."""
    from failmodes.warehouse.errors import StudyError
    from failmodes.warehouse.storage.locations import default_location, find_warehouse

    if where is not None:
        return find_warehouse(where)
    try:
        here = default_location()
    except StudyError:
        return None
    path = find_warehouse(here)
    return path if path.exists() else None
