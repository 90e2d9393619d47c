"""The answer to a query in a format that programs and papers take: CSV, JSON, Markdown, LaTeX, Parquet."""

import base64
import json
import math
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from failmodes.warehouse.database.paper_tables import LATEX_END, latex_rows, markdown_rows
from failmodes.warehouse.database.query import unshowable_values
from failmodes.warehouse.errors import QueryError
from failmodes.warehouse.output_files import NO_SUFFIX, atomic_output
from failmodes.warehouse.runner_commands import json_without_commands

if TYPE_CHECKING:
    import polars as pl

SUFFIXES = {".csv": "csv", ".json": "json", ".md": "markdown", ".parquet": "parquet", ".tex": "latex"}


def suffixes_of(output_format: str | None) -> tuple[str, ...]:
    """The suffixes of a format; those of all where none was asked for."""
    if output_format is None:
        return tuple(SUFFIXES)
    own = [suffix for suffix in SUFFIXES if SUFFIXES[suffix] == output_format]
    return (*own, NO_SUFFIX) if output_format == "parquet" else (*own, ".txt", NO_SUFFIX)


def print_rows(batches: Iterable["pl.DataFrame"], file: TextIO, output_format: str) -> int:
    """Write an answer, batch by batch, as csv, json (a list of objects), markdown or latex, ending in a line break.

    Returns:
        How many rows there were.

    Raises:
        QueryError: a value that the format cannot say.
    """
    count = 0
    for position, rows in enumerate(batches):
        with unshowable_values():
            file.write(_TEXTS[output_format](rows, is_first=position == 0))
        count += rows.height
    file.write({"json": "]\n", "latex": LATEX_END}.get(output_format, ""))
    return count


def write_rows(
    batches: Iterable["pl.DataFrame"], path: Path, output_format: str | None = None, *, force: bool = False
) -> int:
    """Write an answer, batch by batch, to a file, whole or not at all.

    Args:
        batches: the rows.
        path: the file.
        output_format: csv, json, markdown, parquet or latex; by default that of the file's suffix.
        force: see `check_output`.

    Returns:
        How many rows there were.

    Raises:
        StudyError: another suffix; see `check_output`.
        QueryError: a value that such a file cannot hold.
        StorageError: the file cannot be written.
    """
    with atomic_output(path, suffixes_of(output_format), force=force) as temporary:
        chosen = output_format or SUFFIXES[path.suffix.lower()]
        if chosen == "parquet":
            return _write_parquet(batches, temporary)
        with temporary.open("w", encoding="utf-8", newline="") as file:
            return print_rows(batches, file, chosen)


def _csv_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    return _flat(rows).write_csv(include_header=is_first)


def _json_rows(rows: "pl.DataFrame", *, is_first: bool) -> str:
    objects = [_as_json(_plain(row)) for row in rows.iter_rows(named=True)]
    return ("[" if is_first else ", " if objects else "") + ", ".join(objects)


_TEXTS = {"csv": _csv_rows, "json": _json_rows, "markdown": markdown_rows, "latex": latex_rows}


def _write_parquet(batches: Iterable["pl.DataFrame"], path: Path) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    count, writer = 0, None
    try:
        for rows in batches:
            with unshowable_values():
                table = rows.to_arrow()
                writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
                writer.write_table(table)
            count += rows.height
    except pa.ArrowException as error:
        raise QueryError(f"a column cannot be stored as Parquet, cast it to varchar: {error}") from error
    finally:
        if writer:
            writer.close()
    return count


def _flat(rows: "pl.DataFrame") -> "pl.DataFrame":
    """Rows without what CSV lacks: lists, structures and bytes become JSON text (bytes base64), decimals 3 or 2.5."""
    import polars as pl

    nested = [
        name
        for name, kind in rows.schema.items()
        if kind.is_nested() or kind.is_decimal() or kind in (pl.Binary, pl.Object)
    ]
    columns = {name: [_as_text(value) for value in rows[name].to_list()] for name in nested}
    return rows.with_columns([pl.Series(name, values, pl.String) for name, values in columns.items()])


def _as_text(value: Any) -> str | None:
    plain = _plain(value)
    return plain if plain is None or isinstance(plain, str) else _as_json(plain)


def _as_json(plain: Any) -> str:
    """JSON in readable letters; those that a terminal may act on, such as marks of direction, are escaped."""
    text = json.dumps(plain, ensure_ascii=False)
    text = json_without_commands(text)
    return text if text.isprintable() else "".join(x if x.isprintable() else json.dumps(x)[1:-1] for x in text)


def _plain(value: Any) -> Any:
    """The value in JSON's types: not-a-number and infinity become null, decimals numbers, bytes base64, times ISO."""
    match value:
        case dict():
            return {str(name): _plain(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case bytes():
            return base64.b64encode(value).decode()
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta():
            return str(value)
        case _:
            return value
