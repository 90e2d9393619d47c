"""Encoded images in tar shards of the WebDataset layout: consecutive members of one name make a sample.

The name of a member up to the first dot of its last part is the sample's key, the rest names the field: 0001.jpg and
0001.cls are the image and the label of sample 0001.
"""

import io
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from failmodes.ingest.data_files import check_names, data_errors, file_stamp, parse_json
from failmodes.ingest.datasets.folder_listing import READ_SUFFIXES
from failmodes.ingest.datasets.preparation import MAX_IMAGE_BYTES
from failmodes.runtime.errors import DataError, listed, printable
from failmodes.runtime.hashing import identity_of
from failmodes.runtime.storage.files import atomic_write, check_regular

INDEXER = 1  # increase it when the same shards give another index
JSON = "json"  # field of metadata
BLOCK = 512  # bytes of a tar archive
MAX_TEXT_BYTES = 1 << 20  # of a label or of metadata
MAX_HEADER_BYTES = 1 << 20  # of a member; most have 512
SHOWN = 5
FIX = ": write or download it again"
INDEX = pa.schema(
    {
        "shard": pa.int32(),
        "name": pa.string(),
        "offset": pa.int64(),
        "size": pa.int64(),
        "label": pa.string(),
        "json": pa.string(),
    }
)


class Fields(NamedTuple):
    """The fields of a sample that the study names; None for the usual ones.

    Attributes:
        image: of the image.
        label: of the label, or the key of the label in the JSON field.
    """

    image: str | None
    label: str | None


class _Headers(io.BufferedReader):
    """A shard of which the headers are read: a name of gigabytes may be stated, which would be read into memory."""

    left_bytes = MAX_HEADER_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        """Read on.

        Raises:
            ValueError: the headers of a member are too large.
        """
        self.left_bytes -= MAX_HEADER_BYTES + 1 if size is None or size < 0 else size
        if self.left_bytes < 0:
            raise ValueError(f"a member has more than {MAX_HEADER_BYTES:,} bytes of headers")
        return super().read(size)


class TarImages:
    """Encoded images within tar archives, read where they stand in the file.

    Attributes:
        files: the shards.
    """

    def __init__(self, files: Sequence[Path], index: pa.Table) -> None:
        self.files = files
        self._shards = index["shard"].to_numpy()
        self._offsets = index["offset"].to_numpy()
        self._sizes = index["size"].to_numpy()
        self._names = index["name"]

    def __len__(self) -> int:
        return len(self._shards)

    def location(self, place: int) -> str:
        """The shard and the member."""
        return f"{self.files[self._shards[place]]}, {printable(self._names[place].as_py(), 200)}"

    def read(self, places: NDArray[np.int64]) -> Iterator[bytes]:
        """The bytes of images.

        Raises:
            DataError: a shard cannot be read, or became shorter.
        """
        file: IO[bytes] | None = None
        opened = -1
        try:
            for place in places:
                shard = int(self._shards[place])
                with data_errors(self.files[shard], "cannot be read", FIX):
                    if file is None or opened != shard:
                        if file is not None:
                            file.close()
                        file = self.files[shard].open("rb", buffering=0)
                        opened = shard
                    content = os.pread(file.fileno(), int(self._sizes[place]), int(self._offsets[place]))
                    if len(content) < self._sizes[place]:
                        raise ValueError("it is cut short")
                yield content
        finally:
            if file is not None:
                file.close()


def index_shards(files: Sequence[Path], fields: Fields, cache: Path) -> pa.Table:
    """The samples of shards, one row each, of the schema INDEX; read from the cache if the shards are unchanged.

    Raises:
        DataError: a shard is damaged, cut short or compressed, or a sample has no image, several, or no label.
        StorageError: the cache cannot be written.
    """
    facts = {"shards": [*map(file_stamp, files)], "fields": list(fields), "indexer": INDEXER}
    path = cache / "indexes" / f"{identity_of(facts)}.parquet"
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            index = file.read()
        if index.schema.equals(INDEX):
            return index
    except (FileNotFoundError, pa.ArrowException, OSError):
        pass
    rows = [row for number, shard in enumerate(files) for row in _index_shard(number, shard, fields)]
    if not rows:
        raise DataError(f"{files[0]} has no images: expected members such as 0001.jpg and 0001.cls")
    index = pa.Table.from_pylist(rows, schema=INDEX)
    with atomic_write(path) as temporary:
        pq.write_table(index, temporary, write_page_checksum=True)
    return index


def _index_shard(number: int, shard: Path, fields: Fields) -> Iterator[dict[str, Any]]:
    key = ""
    members: dict[str, tarfile.TarInfo] = {}
    with shard.open("rb") as file:
        for member in _members(shard):
            folder, slash, base = member.name.rpartition("/")
            name, _, field = base.partition(".")
            if folder + slash + name != key and members:
                yield _row(number, shard, file, key, members, fields)
                members = {}
            key = folder + slash + name
            members[field.lower()] = member
        if members:
            yield _row(number, shard, file, key, members, fields)


def _members(shard: Path) -> Iterator[tarfile.TarInfo]:
    """The regular files of a shard.

    Raises:
        DataError: it is no tar archive, compressed or cut short.
    """
    fix = f"{FIX}; a compressed one must be unpacked to .tar"
    with data_errors(shard, "is cut short, damaged or no tar archive", fix):
        size = check_regular(shard)
        end = 0
        with _Headers(io.FileIO(shard)) as headers, tarfile.open(fileobj=headers, mode="r:") as archive:
            for member in archive:
                headers.left_bytes = MAX_HEADER_BYTES
                check_names([member.name], str(shard))
                end = member.offset_data + -(-member.size // BLOCK) * BLOCK
                if member.offset_data + member.size > size or member.issparse():
                    raise ValueError(f"{member.name} ends after the file, or is sparse")
                if member.isreg() and not member.name.rpartition("/")[2].startswith("."):
                    yield member
        if end + BLOCK > size:  # each archive ends in blocks of zeros: without them whole members may be missing
            raise ValueError("its end is missing")


def _row(
    number: int, shard: Path, file: IO[bytes], key: str, members: dict[str, tarfile.TarInfo], fields: Fields
) -> dict[str, Any]:
    """The row of a sample.

    Raises:
        DataError: it has no image, several, or no label.
    """
    sample = f"{shard}, sample {printable(key, 200)}"
    images = [
        name for name in members if name == fields.image or (fields.image is None and f".{name}" in READ_SUFFIXES)
    ]
    if len(images) != 1:
        has = listed([printable(name, 60) for name in members], SHOWN)
        choose = "; image_column names the one to evaluate" if len(images) > 1 else ""
        raise DataError(f"{sample} has the members {has}: expected one image{choose}")
    image = members[images[0]]
    if image.size > MAX_IMAGE_BYTES:
        raise DataError(f"{sample}: its image has {image.size:,} bytes: expected at most {MAX_IMAGE_BYTES:,}")
    texts = {name: _text(file, members[name], sample) for name in members if name in (JSON, fields.label or "cls")}
    described = _described(texts.get(JSON), sample)
    label = texts.get(fields.label or "cls")
    if label is None:
        label = next((described[name] for name in _label_keys(fields) if name in described), None)
    if isinstance(label, bool) or not isinstance(label, int | str) or not str(label).strip():
        expected = f"{fields.label!r}" if fields.label else "a member .cls, or the key label in .json"
        raise DataError(f"{sample} has no label: expected {expected}, a name or a whole number")
    label = str(label).strip()
    metadata = {
        name: value for name, value in described.items() if name not in _label_keys(fields) or str(value) != label
    }
    return {
        "shard": number,
        "name": image.name,
        "offset": image.offset_data,
        "size": image.size,
        "label": label,
        "json": json.dumps(metadata) if metadata else None,
    }


def _label_keys(fields: Fields) -> tuple[str, ...]:
    return (fields.label,) if fields.label else ("label", "labels", "cls", "target")


def _described(text: str | None, sample: str) -> dict[str, Any]:
    """The values of a JSON field.

    Raises:
        DataError: it is no JSON object.
    """
    if text is None:
        return {}
    with data_errors(f"{sample}.{JSON}", "is not valid JSON", FIX):
        described = parse_json(text)
        if not isinstance(described, dict):
            raise ValueError(f"it holds a {type(described).__name__}, not an object")
        return described


def _text(file: IO[bytes], member: tarfile.TarInfo, sample: str) -> str:
    """The text of a small member.

    Raises:
        DataError: it is too large or not UTF-8.
    """
    name = f"{sample}: {printable(member.name, 100)}"
    if member.size > MAX_TEXT_BYTES:
        raise DataError(f"{name} has {member.size:,} bytes: expected a label or metadata")
    with data_errors(name, "is not UTF-8 text", FIX):
        return os.pread(file.fileno(), member.size, member.offset_data).decode()
