"""What damage or a stranger may have made of a file of the record: each fault, and what must be said of it."""

import json
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from failmodes.warehouse.hashing import identity_of
from failmodes.warehouse.schema import MODELS
from failmodes.warehouse.shards.format import FOOTER_HASH_KEY, FOOTER_KEY, content_hash, read_verified, seal

Fault = Callable[[Path], object]  # what is done to the path of a shard of predictions
Rows = Callable[[pa.Table], pa.Table]


def footer_of(path: Path) -> dict[str, Any]:
    return json.loads(pq.read_metadata(path).metadata[FOOTER_KEY])


def write(path: Path, rows: pa.Table, footer: Any, **options: Any) -> None:
    """A file whose seal is right, as anyone can make one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows.replace_schema_metadata(seal(footer)), path, compression="zstd", **options)


def footer_with(**changes: Any) -> Fault:
    """Another footer; what is None is left out."""

    def fault(path: Path) -> None:
        footer = {key: value for key, value in (footer_of(path) | changes).items() if value is not None}
        write(path, read_verified(path).rows, footer)

    return fault


def fact(name: str, value: Any) -> Fault:
    return lambda path: footer_with(facts={**footer_of(path)["facts"], name: value})(path)


def identity(name: str, value: Any) -> Fault:
    return lambda path: footer_with(identity={**footer_of(path)["identity"], name: value})(path)


def text_of_footer(text: str) -> Fault:
    def fault(path: Path) -> None:
        rows = read_verified(path).rows
        keys = seal({})
        keys[FOOTER_KEY] = text.encode()
        keys[FOOTER_HASH_KEY] = identity_of(text).encode()
        pq.write_table(rows.replace_schema_metadata(keys), path)

    return fault


def rows_with(change: Rows, hashed: bool = True, **options: Any) -> Fault:
    """Other rows, under their own hash."""

    def fault(path: Path) -> None:
        rows = change(read_verified(path).rows)
        write(path, rows, footer_of(path) | {"content_hash": content_hash(rows) if hashed else "0" * 32}, **options)

    return fault


def column(name: str, values: Callable[[int], Any], **options: Any) -> Fault:
    """Another column of this name, in place of the first or as a further one."""

    def change(rows: pa.Table) -> pa.Table:
        made = pa.array(values(rows.num_rows)) if not isinstance(values(1), pa.Array) else values(rows.num_rows)
        if name not in rows.column_names:
            return rows.append_column(name, made)
        return rows.set_column(rows.column_names.index(name), name, made)

    return rows_with(change, **options)


def moved(*parts: str) -> Fault:
    """The shard at another path below the table's folder."""

    def fault(path: Path) -> None:
        table = path.parents[3]
        table.joinpath(*parts).parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, table.joinpath(*parts))

    return fault


def replaced(make: Callable[[Path], object]) -> Fault:
    def fault(path: Path) -> None:
        path.unlink()
        make(path)

    return fault


def bound(path: Path) -> None:
    """A socket; its path may be short only."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(here)


def content(change: Callable[[bytes], bytes]) -> Fault:
    return lambda path: path.write_bytes(change(path.read_bytes()))


def repeated_text(count: int) -> pa.Array:
    """A text of 1 MB in each row, which a file holds once."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), ["x" * 1_000_000])


def repeated_list(count: int) -> pa.Array:
    values = np.zeros(60_000_000, np.float32)
    return pa.ListArray.from_arrays(np.r_[np.zeros(count, np.int32), np.int32(len(values))], pa.array(values))


def denied(path: Path) -> None:
    """A text of 300 MB in a column that states a size of 1,000 bytes: only the header of its page tells."""
    write(path, pa.table({"more": ["x" * 300_000_000]}), footer_of(path), write_statistics=False)
    whole = path.read_bytes()
    stated = varint(pq.read_metadata(path).row_group(0).column(0).total_uncompressed_size)
    denying = bytearray(varint(1000))
    while len(denying) < len(stated):  # a number may be written longer than it need be
        denying[-1] |= 128
        denying.append(0)
    begin = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    path.write_bytes(whole[:begin] + whole[begin:].replace(stated, bytes(denying)))


def varint(number: int) -> bytes:
    """A positive number in Thrift's zigzag form."""
    left, written = number * 2, bytearray()
    while left > 127:
        written.append(left & 127 | 128)
        left >>= 7
    return bytes([*written, left])


DAMAGED = "is damaged and cannot be read"
ELSEWHERE = "does not belong here"

FOOTERS: dict[str, tuple[Fault, str]] = {
    "no footer": (lambda path: pq.write_table(read_verified(path).rows, path), "no footer of failmodes"),
    "a list as footer": (text_of_footer("[]"), DAMAGED),
    "a number as footer": (text_of_footer("3"), DAMAGED),
    "no JSON": (text_of_footer("{"), DAMAGED),
    "deep JSON": (text_of_footer("[" * 200_000), DAMAGED),
    "a long footer": (text_of_footer('"' + "x" * 2_000_000 + '"'), "2,000,002 letters"),
    "a long number": (text_of_footer("9" * 10_000), DAMAGED),
    "no version": (footer_with(schema_version=None), DAMAGED),
    "a version that is a number": (footer_with(schema_version=1), DAMAGED),
    "a version that is a list": (footer_with(schema_version=["1"]), DAMAGED),
    "another version": (footer_with(schema_version="99.0"), "has schema version 99.0"),
    "a version with controls": (footer_with(schema_version="\x1b]0;x\x07\n"), "has schema version"),
    "no identity": (footer_with(identity=None), DAMAGED),
    "an identity that is a list": (footer_with(identity=[1]), DAMAGED),
    "an identity of numbers": (identity("evaluation_id", 7), DAMAGED),
    "an identity without severity": (lambda p: footer_with(identity={"evaluation_id": "a"})(p), DAMAGED),
    "no facts": (footer_with(facts=None), DAMAGED),
    "facts that are a list": (footer_with(facts=[]), DAMAGED),
    "no hash": (footer_with(content_hash=None), DAMAGED),
    "a hash that is a number": (footer_with(content_hash=12), DAMAGED),
    "another hash": (footer_with(content_hash="0" * 32), "do not match the hash"),
    "no table": (footer_with(table=None), DAMAGED),
    "another table": (footer_with(table="models"), DAMAGED),
    "an unknown table": (lambda p: footer_with(table="x", identity={"key": "y"})(p), ELSEWHERE),
    "an upward path": (identity("corruption", "../../../../etc"), ELSEWHERE),
    "an upward evaluation": (identity("evaluation_id", ".."), ELSEWHERE),
    "a severity in words": (identity("severity", "high"), "its severity is 'high'"),
    "a severity that is no number": (identity("severity", "NaN"), "its severity is 'NaN'"),
    "a severity of another form": (identity("severity", "1e0"), "its severity"),
    "a severity in other digits": (identity("severity", "١.٠٠٠"), "its severity"),
    "half a letter": (identity("corruption", "\udcff"), DAMAGED),
    "no time": (fact("created_at", None), DAMAGED),
    "a time in words": (fact("created_at", "today"), DAMAGED),
    "a time that is a number": (fact("created_at", 3), DAMAGED),
    "a time beyond all": (fact("created_at", "9999-12-31T23:59:59-14:00"), DAMAGED),
    "seconds in words": (fact("elapsed_s", "long"), DAMAGED),
    "seconds that are a list": (fact("elapsed_s", [1.0]), DAMAGED),
    "a batch beyond all": (fact("batch_size", 1 << 40), DAMAGED),
    "half a batch": (fact("batch_size", 0.5), DAMAGED),
    "a truth value as batch": (fact("batch_size", True), DAMAGED),
    "a device that is a table": (fact("device", {"a": 1}), DAMAGED),
    "versions that are a list": (fact("versions", ["torch"]), DAMAGED),
}

ROWS: dict[str, tuple[Fault, str]] = {
    "a text as label": (column("label", lambda n: ["a"] * n), DAMAGED),
    "a label beyond its type": (column("label", lambda n: [1 << 40] * n), DAMAGED),
    "a list as label": (column("label", lambda n: [[1]] * n), DAMAGED),
    "a time as label": (column("label", lambda n: pa.array([1] * n, pa.date32()), hashed=False), "is damaged"),
    "no label": (rows_with(lambda rows: rows.drop_columns("label")), "it has no prediction_facts.label"),
    "null labels": (column("label", lambda n: pa.nulls(n, pa.int16())), "prediction_facts.label may not be null"),
    "a struct": (column("more", lambda n: [{"a": 1}] * n, hashed=False), DAMAGED),
    "two labels": (
        rows_with(lambda rows: rows.append_column("label", rows["label"]), hashed=False), DAMAGED,
    ),
    "logits of texts": (column("logits", lambda n: [["a"]] * n), DAMAGED),
    "logits in lists of lists": (column("logits", lambda n: [[[1.0]]] * n, hashed=False), "is damaged"),
    "no columns": (rows_with(lambda rows: rows.select([])), DAMAGED),
    "ten thousand row groups": (
        lambda path: write(path, pa.table({"label": np.zeros(10_001, np.int16)}), footer_of(path), row_group_size=1),
        "row groups",
    ),
    "a text of 300 MB": (
        column("more", lambda n: ["x" * 300_000_000] + [""] * (n - 1), hashed=False), "bytes would become",
    ),
    "a text of 300 MB that its column denies": (denied, "bytes would become"),
    "a text of 1 MB in each of 200,000 rows": (
        lambda path: write(path, pa.table({"more": repeated_text(200_000)}), footer_of(path),
                           dictionary_pagesize_limit=1 << 24), "the texts of its column more take",
    ),
    "a row of 60 million numbers": (column("logits", repeated_list, hashed=False), "bytes would become"),
    "100 million rows": (
        lambda path: write(path, pa.table({"finite": np.zeros(100_000_000, bool)}), footer_of(path)),
        "bytes would become",
    ),
}  # fmt: skip

FILES: dict[str, tuple[Fault, str]] = {
    "empty": (content(lambda _: b""), DAMAGED),
    "a letter": (content(lambda _: b"x"), DAMAGED),
    "magic letters": (content(lambda _: b"PAR1" * 3), DAMAGED),
    "half": (content(lambda whole: whole[: len(whole) // 2]), DAMAGED),
    "without its beginning": (content(lambda whole: whole[1000:]), DAMAGED),
    "zeros": (content(lambda whole: bytes(len(whole))), DAMAGED),
    "a footer of 4 GB": (content(lambda whole: whole[:-8] + b"\xff\xff\xff\xffPAR1"), DAMAGED),
    "encrypted": (content(lambda whole: whole[:-4] + b"PARE"), DAMAGED),
    "a pipe": (replaced(os.mkfifo), "it is a named pipe, expected a regular file"),
    "a folder": (replaced(Path.mkdir), "it is a folder, expected a regular file"),
    "a socket": (replaced(bound), "cannot read"),
    "a link to a device": (replaced(lambda path: path.symlink_to("/dev/zero")), "it is a device"),
    "a link to nothing": (replaced(lambda path: path.symlink_to("nothing")), "is missing"),
    "a link to itself": (replaced(lambda path: path.symlink_to(path.name)), "cannot read"),
    "a link to another shard": (
        lambda path: replaced(lambda p: p.symlink_to(path.parents[1] / "severity=2.000" / path.name))(path), "",
    ),
}  # fmt: skip

PLACES: dict[str, tuple[Fault, str]] = {
    "beside its folder": (moved("rows.parquet"), ELSEWHERE),
    "a further partition": (
        lambda path: moved(*path.relative_to(path.parents[3]).parts[:-1], "host=a", "rows.parquet")(path), ELSEWHERE,
    ),
    "a partition above": (lambda path: moved("host=a", *path.relative_to(path.parents[3]).parts)(path), ELSEWHERE),
    "another name": (
        lambda path: moved(*path.relative_to(path.parents[3]).parts[:-1], "more.parquet")(path), ELSEWHERE,
    ),
    "a severity in words": (lambda path: moved(*path.parts[-4:-2], "severity=high", "rows.parquet")(path), ELSEWHERE),
}  # fmt: skip


def model(change: Rows, key: str | None = None) -> Fault:
    """Other rows of a model, in a file under their own hash."""

    def fault(shard: Path) -> None:
        path = next((shard.parents[4] / MODELS.name).iterdir())
        rows = change(read_verified(path).rows)
        footer = footer_of(path) | {"content_hash": content_hash(rows)}
        write(path, rows, footer | ({} if key is None else {"identity": {"key": key}}))

    return fault


def with_value(name: str, value: pa.Array) -> Rows:
    return lambda rows: rows.set_column(rows.column_names.index(name), name, value)


MODEL_FILES: dict[str, tuple[Fault, str]] = {
    "no label": (model(lambda rows: rows.drop_columns("model_label")), "it has no models.model_label"),
    "a list as label": (model(with_value("model_label", pa.array([[1]]))), DAMAGED),
    "parameters in words": (model(with_value("parameter_count", pa.array(["many"]))), DAMAGED),
    "another key": (model(lambda rows: rows, key="../x"), ELSEWHERE),
    "no UTF-8": (model(with_value("model_label", pa.array([b"\xff\xfe"]).view(pa.string()))), DAMAGED),
}
