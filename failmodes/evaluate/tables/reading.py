"""Read tables: CSV, Parquet, JSON lines, or a data frame in memory, in batches, with texts as codes.

Files are untrusted: only regular files are read, types are checked before values are decoded, texts are limited.
"""

import gzip
import re
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq
from numpy.typing import NDArray

from failmodes.evaluate.tables.columns import Columns, Role, check_roles, find_columns
from failmodes.evaluate.tables.json_lines import check_json_lines
from failmodes.ingest.data_files import check_memory
from failmodes.runtime.errors import DataError, StudyError
from failmodes.runtime.storage.files import check_regular, make_folder, parsing_errors, storage_errors

pc: Any = pyarrow.compute  # its functions are made as it is imported: no checker knows them

ProgressCallback = Callable[[str, int, int | None], None]  # ("rows" or "cells", how many are done, of how many)
PARQUET_SUFFIXES, CSV_SUFFIXES = (".parquet", ".pq"), (".csv", ".csv.gz")
JSON_SUFFIXES = (".jsonl", ".ndjson")
SUFFIXES = (*CSV_SUFFIXES, *PARQUET_SUFFIXES, *JSON_SUFFIXES)
BATCH_VALUES = 1 << 21  # outputs per batch: 16 MiB in double precision
BATCH_ROWS = 1 << 18
CSV_BLOCK_BYTES = 1 << 22
READ_BUFFER_BYTES = 1 << 20
MAX_TEXT_BYTES = 1000  # of the name of an image, a class or a corruption
MAX_COLUMNS = 100_000  # four per class of ImageNet-21k; Arrow takes a second for these
MAX_ROWS = 2**31 - 1
BYTES_PER_CODE = 16  # of memory per row and column while checks run
JSON_GROWTH = 4  # memory of a file of JSON lines, as a multiple of its size
NUMBERS: tuple[Role, ...] = ("confidence",)  # roles that are read as numbers, others as text
FIRST_COMPARED_ROWS = 1 << 18  # after which columns are compared with images, and again whenever rows have doubled
_QUOTED = re.compile(r"(?<=, got )(\d+): .*|(): invalid value .*", re.DOTALL)  # how Arrow quotes a file
NO_TEXT = -1  # code of an empty text


@dataclass(frozen=True, eq=False)
class Texts:
    """A column of texts.

    Attributes:
        codes: (N,) place of each text in the dictionary, NO_TEXT for empty or missing ones.
        dictionary: distinct texts.
    """

    codes: NDArray[np.int32]
    dictionary: pa.Array

    @cached_property
    def names(self) -> list[str]:
        """The distinct texts; a column of measurements may have millions, which nobody needs."""
        found: list[str] = self.dictionary.to_pylist()
        return found

    def text(self, row: int) -> str | None:
        """The text of a row; None if it is empty."""
        code = int(self.codes[row])
        return None if code == NO_TEXT else self.names[code]

    def recoded(self, names: Sequence[Any], code_of: Mapping[Any, int]) -> NDArray[np.int64]:
        """(N,) another code of each row.

        Args:
            names: what stands for each of the texts, in their order.
            code_of: the code of these; NO_TEXT for others.
        """
        lookup = np.array([*(code_of.get(name, NO_TEXT) for name in names), NO_TEXT], np.int64)
        return lookup[self.codes]


class Part(NamedTuple):
    """One of the tables of an import: its name, the path of a file, its number of rows."""

    name: str
    path: Path | None
    row_count: int


class Limits(NamedTuple):
    """What tables may hold.

    Attributes:
        most_rows: number of rows, before a file is read to its end.
        reason: why there may not be more; the end of an error.
        class_count: number of outputs of a row; None for that of the first row.
    """

    most_rows: int = MAX_ROWS
    reason: str = "more cannot be stored"
    class_count: int | None = None


NO_LIMITS = Limits()


class PredictionTable(NamedTuple):
    """Rows of one or several tables, not checked.

    Attributes:
        columns: the columns of the first.
        parts: the tables.
        texts: columns of texts by role.
        confidence: (N,) float64, NaN if missing; None without.
        others: further columns, except those with more values than there are images.
        varying: names of these exceptions, which cannot be constant by image.
        outputs: (N, C) float64 outputs of all classes, mapped from an anonymous file; None without.
    """

    columns: Columns
    parts: tuple[Part, ...]
    texts: dict[Role, Texts]
    confidence: NDArray[np.float64] | None
    others: dict[str, Texts]
    varying: tuple[str, ...]
    outputs: NDArray[np.float64] | None

    def __len__(self) -> int:
        return sum(part.row_count for part in self.parts)

    def part_of(self, row: int) -> int:
        """The table that holds a row, from 0."""
        return int(np.searchsorted(np.cumsum([part.row_count for part in self.parts]), row, side="right"))

    def place(self, row: int) -> str:
        """Where a row is: `p.csv, line 17`, or `p.parquet, row 16`."""
        number = self.part_of(row)
        part = self.parts[number]
        row -= sum(before.row_count for before in self.parts[:number])
        name = "" if part.path is None else part.path.name.lower()
        if name.endswith(JSON_SUFFIXES) or name.endswith(CSV_SUFFIXES):
            assert part.path is not None
            return f"{part.name}, line {_line_of(part.path, row + (not name.endswith(JSON_SUFFIXES))):,}"
        return f"{part.name}, row {row + 1:,}"


def read_tables(
    tables: Sequence[Any],
    stated: Mapping[Role, str],
    needed: Sequence[Role],
    on_progress: ProgressCallback = lambda _unit, _done, _total: None,
    *,
    limits: Limits = NO_LIMITS,
    scratch: Path | None = None,
) -> PredictionTable:
    """Read tables one after the other.

    Args:
        tables: paths of files, or data frames (Polars, pandas, Arrow).
        stated: columns that the user names, by role.
        needed: roles that each must have.
        on_progress: called with the number of rows read.
        limits: what the tables may hold.
        scratch: folder for an anonymous file of outputs, which disappears with the process; default: the system's.

    Raises:
        StudyError: a file does not exist, or has another suffix; or an object is no table.
        DataError: a file is damaged, or a column is missing or has another type, or there are too many rows.
        StorageError: a file cannot be read, or the scratch folder cannot be written.
        LimitError: the rows do not fit into memory.
    """
    opened = [_open(table, stated, needed) for table in tables]
    first = opened[0].columns
    for source in opened[1:]:
        if source.columns.roles.keys() != first.roles.keys() or source.columns.kind != first.kind:
            raise DataError(
                f"{source.name} has {source.columns.describe()}, but {opened[0].name} has {first.describe()}: import "
                "tables of the same columns together, others by a command each"
            )
        if not first.is_list and source.columns.outputs != first.outputs:
            raise DataError(f"{source.name} and {opened[0].name} differ in the columns of their classes")
    collected = _Collected(first, limits, scratch)
    for source in opened:
        before = collected.row_count
        with _readable(source.name):
            for batch in source.batches:
                collected.add(source, batch)
                on_progress("rows", collected.row_count, None)
        collected.parts.append(Part(source.name, source.path, collected.row_count - before))
    if not collected.row_count:
        raise DataError(f"{opened[0].name} has no rows")
    return collected.table()


class _Source(NamedTuple):
    """An opened table: its name, its path, its columns, the type of each, and its batches."""

    name: str
    path: Path | None
    columns: Columns
    batches: Iterable[pa.RecordBatch]


class _Collected:
    """Batches of tables: texts with their dictionaries, numbers, and outputs in an anonymous file."""

    def __init__(self, columns: Columns, limits: Limits, scratch: Path | None) -> None:
        self.columns = columns
        self.limits = limits
        self.scratch = scratch
        self.parts: list[Part] = []
        self.row_count = 0
        self._texts: dict[str, list[pa.Array]] = {}
        self._started: dict[str, int] = {}  # rows before the first batch with the column
        self._varying: dict[str, None] = {}
        self._compared_rows = FIRST_COMPARED_ROWS
        self._confidence: list[NDArray[np.float64]] = []
        self._class_count = limits.class_count
        self._file: BinaryIO | None = None

    def add(self, source: _Source, batch: pa.RecordBatch) -> None:
        """Take in one batch."""
        roles = source.columns.roles
        self._check_size(source.name, self.row_count + batch.num_rows)
        for role in roles:
            if role in NUMBERS:
                self._confidence.append(_as_numbers(source.name, batch.column(roles[role])))
            else:
                self._add_texts(f"role {role}", source.name, batch.column(roles[role]), roles[role])
        for name in source.columns.others:
            if name not in self._varying:
                self._add_texts(f"column {name}", source.name, batch.column(name), name)
        self._complete(self.row_count + batch.num_rows)
        if self.row_count + batch.num_rows >= self._compared_rows and "image" in roles:
            self._compared_rows = 2 * (self.row_count + batch.num_rows)
            self._leave_out_varying()
        if source.columns.kind is not None:
            self._write(self._as_outputs(source, batch))
        self.row_count += batch.num_rows

    def table(self) -> PredictionTable:
        """The rows of all batches."""
        texts = {key: self._joined(key) for key in tuple(self._texts)}
        outputs = None
        if self._file is not None:
            self._file.flush()
            outputs = np.memmap(self._file, np.float64, "r", shape=(self.row_count, self._class_count or 0))
        return PredictionTable(
            self.columns,
            tuple(self.parts),
            {role: texts[f"role {role}"] for role in self.columns.roles if role not in NUMBERS},
            np.concatenate(self._confidence) if self._confidence else None,
            {key.removeprefix("column "): column for key, column in texts.items() if key.startswith("column ")},
            tuple(self._varying),
            outputs,
        )

    def _add_texts(self, key: str, subject: str, column: pa.Array, name: str) -> None:
        if key not in self._texts:
            self._texts[key] = []
            self._started[key] = self.row_count
        self._texts[key].append(_as_texts(subject, name, column))

    def _leave_out_varying(self) -> None:
        """Forget columns with more values than images so far: measurements would take more memory than all others."""
        distinct = {}
        for key in [key for key in self._texts if key == "role image" or key.startswith("column ")]:
            unified = pa.chunked_array(self._texts[key]).unify_dictionaries()
            self._texts[key] = list(unified.chunks)
            distinct[key] = len(unified.chunk(0).dictionary)
        for key, count in distinct.items():
            if count > distinct["role image"] + 1:  # an empty text too
                self._varying[key.removeprefix("column ")] = None
                del self._texts[key], self._started[key]

    def _check_size(self, subject: str, row_count: int) -> None:
        """Refuse more rows than are allowed, or than fit into memory, before a file is read to its end."""
        if row_count > self.limits.most_rows:
            raise DataError(f"{subject} has more than {self.limits.most_rows:,} rows, but {self.limits.reason}")
        check_memory(row_count * (len(self._texts) + 1) * BYTES_PER_CODE, f"{subject}, of {row_count:,} rows or more,")

    def _write(self, outputs: NDArray[np.float64]) -> None:
        folder = Path(tempfile.gettempdir()) if self.scratch is None else self.scratch
        with storage_errors(folder):
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=make_folder(folder))  # noqa: SIM115
            self._file.write(outputs.data)

    def _complete(self, row_count: int) -> None:
        """Add empty texts to columns that a table lacks."""
        for key, arrays in self._texts.items():
            lacking = row_count - self._started[key] - sum(map(len, arrays))
            if lacking:
                arrays.append(pa.nulls(lacking, pa.string()).dictionary_encode())

    def _joined(self, key: str) -> Texts:
        arrays = self._texts.pop(key)
        started = self._started[key]
        if started:
            arrays.insert(0, pa.nulls(started, pa.string()).dictionary_encode())
        joined = pa.chunked_array(arrays).unify_dictionaries()
        dictionary = joined.chunk(0).dictionary
        codes = np.concatenate(
            [chunk.indices.fill_null(NO_TEXT).to_numpy(zero_copy_only=False) for chunk in joined.chunks]
        ).astype(np.int32, copy=False)
        empty = pc.index(dictionary, "").as_py()
        if empty >= 0:
            codes = np.where(codes == empty, np.int32(NO_TEXT), codes)
        return Texts(codes, dictionary)

    def _as_outputs(self, source: _Source, batch: pa.RecordBatch) -> NDArray[np.float64]:
        """Outputs (n, C) of a batch; nulls become NaN."""
        columns = source.columns
        if columns.is_list:
            lists = batch.column(columns.outputs[0])
            is_known = np.asarray(lists.is_valid())
            lengths = np.asarray(pc.list_value_length(lists).fill_null(0), np.int64)
            count = int(lengths[is_known][:1].sum()) if self._class_count is None else self._class_count
            wrong = np.flatnonzero(is_known & (lengths != count))
            if len(wrong):
                row = self.row_count - sum(part.row_count for part in self.parts) + int(wrong[0]) + 1
                raise DataError(
                    f"{source.name}, row {row:,}: {lengths[wrong[0]]:,} {columns.kind}, expected {count:,}, one per "
                    "class"
                )
            flat = lists.drop_null().flatten().cast(pa.float64())
            values = np.full((len(lists), count), np.nan)
            values[is_known] = np.asarray(flat.to_numpy(zero_copy_only=False), np.float64).reshape(-1, count)
        else:
            numbers = [_as_numbers(source.name, batch.column(name)) for name in columns.outputs]
            values = np.stack(numbers, axis=1)
        self._class_count = values.shape[1]
        if self._class_count < 2:
            raise DataError(f"{source.name} has {columns.kind} of {self._class_count} class: expected two or more")
        return np.ascontiguousarray(values)


def _open(table: Any, stated: Mapping[Role, str], needed: Sequence[Role]) -> _Source:
    if not isinstance(table, str | Path):
        return _open_frame(table, stated, needed)
    path = Path(table)
    try:
        check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"{path} does not exist: expected a table of predictions, {', '.join(SUFFIXES)}") from error
    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise StudyError(f"{path} has an unknown suffix: expected {', '.join(SUFFIXES)}")
    opened = (
        _open_csv if name.endswith(CSV_SUFFIXES) else _open_parquet if name.endswith(PARQUET_SUFFIXES) else _open_json
    )
    with _readable(path):
        return opened(path, stated, needed)


def _open_frame(table: Any, stated: Mapping[Role, str], needed: Sequence[Role]) -> _Source:
    """A data frame of any library that exports Arrow streams: Polars, pandas, PyArrow, DuckDB."""
    if not hasattr(table, "__arrow_c_stream__"):
        raise StudyError(
            f"a {type(table).__name__} is no table: expected a path, or a data frame of Polars, pandas or Arrow"
        )
    with _readable("the table"):
        rows = pa.table(table)
        rows = rows.select([name for name in rows.column_names if not name.startswith("__index_level_")])
        columns = _columns("the table", rows.schema, stated, needed)
        return _Source("the table", None, columns, rows.combine_chunks().to_batches(max_chunksize=_batch_rows(columns)))


def _open_csv(path: Path, stated: Mapping[Role, str], needed: Sequence[Role]) -> _Source:
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        header = file.readline(CSV_BLOCK_BYTES)
    if header.count(b",") >= MAX_COLUMNS:
        raise DataError(f"{path} has more than {MAX_COLUMNS:,} columns: expected one per class")
    blocks = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES)
    with _rows_of_errors(path), pyarrow.csv.open_csv(path, blocks) as reader:
        names = reader.schema.names
    if len(names) == 1 and (b";" in header or b"\t" in header):
        raise DataError(f"{path} has one column, {names[0]!r}: expected columns separated by commas")
    columns = find_columns(str(path), names, stated)
    check_roles(str(path), columns, names, needed)
    if columns.is_list:
        raise DataError(f"{path}: CSV files have no lists: use one column per class, {columns.kind[:-1]}_0 …")  # type: ignore[index]
    text = pa.dictionary(pa.int32(), pa.string())
    types = {name: pa.float64() if role in NUMBERS else text for role, name in columns.roles.items()}
    types |= dict.fromkeys(columns.outputs, pa.float64()) | dict.fromkeys(columns.others, text)
    options = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    return _Source(str(path), path, columns, _csv_batches(path, options))


def _csv_batches(path: Path, options: pyarrow.csv.ConvertOptions) -> Iterator[pa.RecordBatch]:
    with _rows_of_errors(path, options):
        yield from pyarrow.csv.open_csv(
            path, pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES), convert_options=options
        )


@contextmanager
def _rows_of_errors(path: Path, options: pyarrow.csv.ConvertOptions | None = None) -> Iterator[None]:
    """Name the row of Arrow's errors, which it knows on one thread alone, and leave out the text that it quotes."""
    try:
        yield
    except pa.ArrowInvalid as error:
        reason = str(error)
        one_thread = pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False)
        try:
            deque(pyarrow.csv.open_csv(path, one_thread, convert_options=options), maxlen=0)
        except pa.ArrowInvalid as same:
            reason = str(same)
        raise pa.ArrowInvalid(_QUOTED.sub(r"\1", reason)) from error


def _open_json(path: Path, stated: Mapping[Role, str], needed: Sequence[Role]) -> _Source:
    check_memory(JSON_GROWTH * path.stat().st_size, str(path))
    check_json_lines(path)
    rows = pyarrow.json.read_json(path)
    columns = _columns(str(path), rows.schema, stated, needed)
    return _Source(str(path), path, columns, rows.to_batches(max_chunksize=_batch_rows(columns)))


def _open_parquet(path: Path, stated: Mapping[Role, str], needed: Sequence[Role]) -> _Source:
    file = pq.ParquetFile(
        path,
        buffer_size=READ_BUFFER_BYTES,
        page_checksum_verification=True,
        thrift_container_size_limit=MAX_COLUMNS,
    )
    columns = _columns(str(path), file.schema_arrow, stated, needed)
    names = [*columns.roles.values(), *columns.outputs, *columns.others]
    return _Source(str(path), path, columns, file.iter_batches(_batch_rows(columns), columns=names))


def _batch_rows(columns: Columns) -> int:
    """Rows per batch; lists may have as many outputs as there are classes of ImageNet."""
    outputs = 1000 if columns.is_list else len(columns.outputs)
    return max(1, min(BATCH_ROWS, BATCH_VALUES // max(1, outputs)))


def _columns(subject: str, schema: pa.Schema, stated: Mapping[Role, str], needed: Sequence[Role]) -> Columns:
    """The columns of a typed table, those of other types left out or refused before they are decoded."""
    columns = find_columns(subject, schema.names, stated)
    check_roles(subject, columns, schema.names, needed)
    for role, name in columns.roles.items():
        _check_type(subject, name, schema.field(name).type, is_number=role in NUMBERS)
    for name in columns.outputs:
        kind = schema.field(name).type
        if columns.is_list:
            is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
            if not is_list or not _is_number(kind.value_type):
                raise DataError(f"{subject}: {name} has type {kind}: expected lists of numbers")
        else:
            _check_type(subject, name, kind, is_number=True)
    simple = tuple(name for name in columns.others if not pa.types.is_nested(schema.field(name).type))
    return columns._replace(others=simple)


def _check_type(subject: str, name: str, kind: pa.DataType, *, is_number: bool) -> None:
    fits = _is_number(kind) or pa.types.is_null(kind) if is_number else not pa.types.is_nested(kind)
    if not fits:
        expected = "numbers" if is_number else "numbers or text"
        raise DataError(f"{subject} cannot be read as predictions: {name} has type {kind}: expected {expected}")


def _is_number(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal))


def _as_numbers(subject: str, column: pa.Array) -> NDArray[np.float64]:
    """A column as (n,) float64; NaN for null."""
    with _readable(subject):
        return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _as_texts(subject: str, name: str, column: pa.Array) -> pa.DictionaryArray:
    """A column as texts with codes; whole numbers have no decimal point, also where pandas made them floats."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.string())
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    column = pa.DictionaryArray.from_arrays(column.indices.cast(pa.int32()), _as_strings(column.dictionary))
    column.dictionary.validate(full=True)  # texts may be invalid UTF-8
    longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
    if longest > MAX_TEXT_BYTES:
        raise DataError(f"{subject}: {name} has a text of {longest:,} bytes: expected at most {MAX_TEXT_BYTES:,}")
    if pc.any(pc.match_substring(column.dictionary, "\0")).as_py():
        raise DataError(f"{subject}: {name} has a text with a null character: rename it")
    return column


def _as_strings(values: pa.Array) -> pa.Array:
    """Distinct values as strings."""
    if pa.types.is_floating(values.type) or pa.types.is_decimal(values.type):
        numbers = values.cast(pa.float64()).to_pylist()
        return pa.array([None if x is None else f"{int(x)}" if x == x and abs(x) < 2**53 and x == int(x) else repr(x)
                         if x == x else "" for x in numbers], pa.string())  # fmt: skip
    return values.cast(pa.string())


def _line_of(path: Path, row: int) -> int:
    """The line of a row among lines that are not blank, from 1; of row 0, the first."""
    with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
        lines = (number for number, line in enumerate(file, start=1) if line.strip())
        return next(islice(lines, row, None), row + 1)


def _readable(path: object) -> AbstractContextManager[None]:
    return parsing_errors(path, lambda reason: DataError(f"{path} cannot be read as predictions: {reason}"))
