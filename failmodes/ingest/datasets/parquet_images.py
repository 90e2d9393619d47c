"""Encoded images in a column of Parquet files, as datasets of the Hugging Face hub have them: read block by block."""

import json
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from failmodes.ingest.data_files import check_memory, data_errors
from failmodes.ingest.datasets.metadata import is_text
from failmodes.ingest.datasets.preparation import MAX_IMAGE_BYTES
from failmodes.runtime.errors import DataError, printable
from failmodes.runtime.storage.files import check_regular

BLOCK_BYTES, MOST_BLOCK_ROWS = 16 << 20, 1024  # encoded images that are read at a time
KEPT_BLOCKS = 4  # in memory: threads ask for neighboring images in any order
BUFFER_BYTES = 1 << 20
MAX_ITEMS = 1_000_000  # row groups and columns of a file
BYTES, PATH = "bytes", "path"  # fields of an image of Hugging Face
FEATURES = b"huggingface"  # in the metadata of a schema


class _Block(NamedTuple):
    """Some rows of a row group of a file."""

    file: int
    group: int
    number: int


class ParquetImages:
    """Encoded images of a column of Parquet files: bytes, or structs of bytes and path.

    Attributes:
        files: the Parquet files.
    """

    def __init__(self, files: Sequence[Path], column: str) -> None:
        """Read the footers.

        Raises:
            DataError: a file is damaged, or the column does not hold encoded images.
        """
        self.files = files
        self._column = column
        self._lock = Lock()
        self._blocks: OrderedDict[_Block, pa.Array] = OrderedDict()
        self._reading: tuple[_Block, Iterator[pa.RecordBatch]] | None = None
        groups: list[tuple[int, int, int]] = []  # file, row group, rows of a block
        counts: list[int] = []
        self._leaves: list[str] = []  # of each file, the name that Parquet gives to the column of bytes
        for number, path in enumerate(files):
            with open_parquet(path) as file:
                field = file.schema_arrow.field(column)
                check_image_type(field, path)
                self._leaves.append(f"{column}.{BYTES}" if pa.types.is_struct(field.type) else column)
                for group in range(file.metadata.num_row_groups):
                    of_group = file.metadata.row_group(group)
                    size = of_group.total_byte_size // max(1, of_group.num_rows)
                    groups.append((number, group, min(MOST_BLOCK_ROWS, max(1, BLOCK_BYTES // max(1, size)))))
                    counts.append(of_group.num_rows)
        self._groups = groups
        self._ends = np.cumsum(counts, dtype=np.int64)
        self._starts = self._ends - counts
        self._first_of_file = {number: self._starts[place] for place, (number, *_) in reversed([*enumerate(groups)])}

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def location(self, place: int) -> str:
        """The file and the row, from 1."""
        number, *_ = self._groups[self._group_of(place)]
        return f"{self.files[number]}, row {place - self._first_of_file[number] + 1}"

    def read(self, places: NDArray[np.int64]) -> Iterator[bytes]:
        """The bytes of images; none where a row has none, which then cannot be decoded.

        Raises:
            DataError: a file is damaged, or an image too large.
        """
        for place in places:
            index = self._group_of(place)
            number, group, rows = self._groups[index]
            row = int(place - self._starts[index])
            value = self._block(_Block(number, group, row // rows), rows)[row % rows]
            content = (value.value if isinstance(value, pa.DictionaryScalar) else value).as_buffer()
            if content is not None and content.size > MAX_IMAGE_BYTES:
                raise DataError(
                    f"{self.location(int(place))}: its image has {content.size:,} bytes: expected at most "
                    f"{MAX_IMAGE_BYTES:,}"
                )
            yield b"" if content is None else content.to_pybytes()

    def _group_of(self, place: int) -> int:
        return int(np.searchsorted(self._ends, place, side="right"))

    def _block(self, block: _Block, rows: int) -> pa.Array:
        """A block, from memory or read on from the last one of its row group."""
        with self._lock:
            while block not in self._blocks:
                following = self._reading[0] if self._reading else None
                if following is None or following[:2] != block[:2] or following.number > block.number:
                    following = block._replace(number=0)
                    self._reading = following, self._batches(following, rows)
                _, batches = self._reading or (following, iter(()))
                batch = next(batches, None)
                if batch is None:
                    raise DataError(f"{self.files[block.file]} has fewer images than it states: download it again")
                column = batch.column(0)
                self._blocks[following] = column.field(BYTES) if pa.types.is_struct(column.type) else column
                self._reading = following._replace(number=following.number + 1), batches
                while len(self._blocks) > KEPT_BLOCKS:
                    self._blocks.popitem(last=False)
            return self._blocks[block]

    def _batches(self, block: _Block, rows: int) -> Iterator[pa.RecordBatch]:
        # Images that a dictionary holds stay there: a file of a kilobyte may repeat one of them for a million rows
        with open_parquet(self.files[block.file], [self._leaves[block.file]]) as file:
            yield from file.iter_batches(rows, row_groups=[block.group], columns=[self._column], use_threads=False)


@contextmanager
def open_parquet(path: Path, repeated: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file for reading in this context; `repeated` are columns whose dictionaries are not unpacked.

    Raises:
        DataError: it is missing, damaged or truncated, also where that shows within the context.
    """
    with data_errors(path, "is cut short or damaged", ": write or download it again"):
        check_regular(path)
        with pq.ParquetFile(
            path, buffer_size=BUFFER_BYTES, page_checksum_verification=True, thrift_container_size_limit=MAX_ITEMS,
            read_dictionary=repeated,
        ) as file:  # fmt: skip
            yield file


def column_names(path: Path) -> list[str]:
    """Names of the columns of a file.

    Raises:
        DataError: it is damaged.
    """
    with open_parquet(path) as file:
        names: list[str] = file.schema_arrow.names
    return names


def read_columns(files: Sequence[Path], names: Sequence[str]) -> pa.Table:
    """Columns of Parquet files, one after the other.

    Raises:
        DataError: a file is damaged, or lacks a column or has it in another type than the first.
        LimitError: they do not fit into memory.
    """
    tables: list[pa.Table] = []
    for path in files:
        with open_parquet(path) as file:
            if tables:
                _check_same_types(file.schema_arrow, tables[0].schema, path, files[0])
            there, wanted = {*file.schema_arrow.names}, {*names}
            missing = [name for name in names if name not in there]
            if missing:
                raise DataError(f"{path} has no column {printable(missing[0], 60)!r}, unlike {files[0]}")
            groups = [file.metadata.row_group(group) for group in range(file.metadata.num_row_groups)]
            parts = [group.column(place) for group in groups for place in range(group.num_columns)]
            sizes = [part.total_uncompressed_size for part in parts if part.path_in_schema.split(".")[0] in wanted]
            check_memory(sum(sizes), str(path))
            tables.append(file.read(columns=list(names)).replace_schema_metadata(None))
    return pa.concat_tables(tables, promote_options="permissive")


def image_paths(files: Sequence[Path], column: str) -> list[str | None]:
    """The paths (N,) that are stored with images; none where the images have none.

    Raises:
        DataError: a file is damaged.
    """
    paths: list[str | None] = []
    for path in files:
        with open_parquet(path) as file:
            kind = file.schema_arrow.field(column).type
            if pa.types.is_struct(kind) and any(field.name == PATH and is_text(field.type) for field in kind):
                of_file = file.read(columns=[f"{column}.{PATH}"]).column(0).combine_chunks()
                paths += of_file.field(PATH).to_pylist()
    return paths


def features_of(path: Path) -> dict[str, dict[str, Any]]:
    """The features by column that Hugging Face stores in a file; of other files, images by their type.

    Raises:
        DataError: the file is damaged.
    """
    with open_parquet(path) as file:
        schema = file.schema_arrow
    images = {field.name: {"_type": "Image"} for field in schema if _is_image_type(field.type)}
    try:
        stored = json.loads((schema.metadata or {}).get(FEATURES, b"{}"))
        features = stored["info"]["features"]
        return images | {str(name): dict(feature) for name, feature in features.items() if isinstance(feature, dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return images


def check_image_type(field: pa.Field, path: Path) -> None:
    """Check that a column holds encoded images.

    Raises:
        DataError: it does not.
    """
    if not _is_image_type(field.type):
        raise DataError(
            f"{path}: the column {printable(field.name, 60)} holds {printable(str(field.type), 100)}: expected encoded "
            "images, as bytes or as a struct of bytes and path"
        )


def _is_image_type(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == BYTES and _is_binary(field.type) for field in kind)
    return _is_binary(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _check_same_types(schema: pa.Schema, first: pa.Schema, path: Path, first_path: Path) -> None:
    for field in first:
        place = schema.get_field_index(field.name)
        kind = field.type if place < 0 else schema.field(place).type
        if kind != field.type and not pa.types.is_null(kind) and not pa.types.is_null(field.type):
            raise DataError(
                f"{path}: the column {printable(field.name, 60)!r} holds {kind}, but {field.type} in {first_path}: "
                "write both with one type"
            )
