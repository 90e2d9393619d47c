"""Files of predictions that anyone may have made: how each is written, and what must be said of it."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from import_files import LOGITS, small_frame

Maker = Callable[[Path], object]
KEYS = "image_id,corruption,severity,"
UNREADABLE = "cannot be read as predictions"


def parquet(change: Callable[[pa.Table], pa.Table], **options) -> Maker:
    return lambda path: pq.write_table(change(small_frame().to_arrow()), path, **{"compression": "zstd", **options})


def column(name: str, values: Callable[[int], object], **options) -> Maker:
    """The small frame with other values in a column."""

    def change(rows: pa.Table) -> pa.Table:
        given = values(rows.num_rows)
        made = given if isinstance(given, pa.Array) else pa.array(given)
        if name in rows.column_names:
            return rows.set_column(rows.column_names.index(name), name, made)
        return rows.append_column(name, made)

    return parquet(change, **options)


def listed(values: Callable[[int], pa.Array]) -> Maker:
    return parquet(lambda rows: rows.drop_columns(LOGITS).append_column("logits", values(rows.num_rows)))


def copies(count: int, change: Callable[[pl.DataFrame], pl.DataFrame] = lambda frame: frame) -> Maker:
    return lambda path: change(pl.concat([small_frame()] * count)).write_parquet(path, compression="zstd")


def same_rows(count: int, corruption: str = "contrast") -> Maker:
    """One row so often, in a file of a few kilobytes."""

    def make(path: Path) -> None:
        rows = small_frame().to_arrow()
        zeros = pa.array(np.zeros(count, np.float32))
        names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), [corruption])
        keys = {"image_id": np.zeros(count, np.int32), "corruption": names, "severity": np.ones(count, np.float32)}
        pq.write_table(pa.table({**keys, **dict.fromkeys(rows.column_names[3:], zeros)}), path, compression="zstd")

    return make


def written(content: bytes) -> Maker:
    return lambda path: path.write_bytes(content)


def damaged(change: Callable[[bytes], bytes]) -> Maker:
    def make(path: Path) -> None:
        small_frame().write_parquet(path)
        path.write_bytes(change(path.read_bytes()))

    return make


def repeated(count: int, text: str) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), [text])


def one_long_list(count: int) -> pa.Array:
    values = np.zeros(60_000_000, np.float32)
    return pa.ListArray.from_arrays(np.r_[np.zeros(count, np.int32), np.int32(len(values))], pa.array(values))


PARQUET: dict[str, tuple[Maker, str]] = {
    "empty": (written(b""), UNREADABLE),
    "half": (damaged(lambda whole: whole[: len(whole) // 2]), UNREADABLE),
    "a footer of 4 GB": (damaged(lambda whole: whole[:-8] + b"\xff\xff\xff\xffPAR1"), UNREADABLE),
    "zeros": (damaged(lambda whole: bytes(len(whole))), UNREADABLE),
    "a text of 1 GB": (
        column("corruption", lambda n: ["x" * 1_000_000_000] + ["none"] * (n - 1)), "take 1,000 MB, where they need",
    ),
    "a text of 10 kB": (column("corruption", lambda n: ["x" * 10_000] + ["none"] * (n - 1)), "a text of 10,000 bytes"),
    "a text of 1 MB in each row": (
        column("label", lambda n: repeated(n, "x" * 1_000_000), dictionary_pagesize_limit=1 << 24), "text of 1,000,000",
    ),
    "long texts as image_id": (column("image_id", lambda n: ["1" * 2000] * n), "image_id holds a text of 2,000 bytes"),
    "a list of 60 million logits": (listed(one_long_list), "where they need about"),
    "logits in words": (column("logit_3", lambda n: ["0.1"] * n), "logit_3 holds string: expected numbers"),
    "a long word as logit": (column("logit_3", lambda n: repeated(n, "x" * 1_000_000)), "logit_3 holds"),
    "logits in structs": (column("logit_3", lambda n: [{"a": 1.0}] * n), "logit_3 holds struct"),
    "lists of lists": (listed(lambda n: pa.array([[[1.0]]] * n)), "logits holds list"),
    "lists of texts": (listed(lambda n: pa.array([["a"]] * n)), "logits holds list<element: string>"),
    "times as logits": (column("logit_3", lambda n: pa.array([1] * n, pa.timestamp("s"))), "logit_3 holds timestamp"),
    "corruptions in lists": (column("corruption", lambda n: [["none"]] * n), ""),
    "corruptions in structs": (column("corruption", lambda n: [{"a": "none"}] * n), ""),
    "corruptions that are numbers": (column("corruption", lambda n: [7] * n), "unknown corruption '7'"),
    "corruptions that are times": (column("corruption", lambda n: pa.array([1] * n, pa.timestamp("s"))), "unknown"),
    "corruptions that are no UTF-8": (
        column("corruption", lambda n: pa.array([b"\xff\xfe"] * n).view(pa.string())), UNREADABLE,
    ),
    "corruptions that are bytes": (column("corruption", lambda n: [b"none"] * n), ""),
    "corruptions with controls": (column("corruption", lambda n: ["\x1b]0;x\x07\n"] * n), "unknown corruption"),
    "a thousand corruptions": (column("corruption", lambda n: [f"c{i}" for i in range(n)]), "unknown corruption 'c0'"),
    "100,000 corruptions": (
        copies(1000, lambda frame: frame.with_columns(corruption=pl.int_range(pl.len()).cast(pl.String))),
        "unknown corruption '0'",
    ),
    "images that are infinite": (column("image_id", lambda n: [float("inf")] * n), "image_id inf: expected a whole"),
    "images beyond 64 bits": (column("image_id", lambda n: [1e300] * n), "image_id 1e+300: expected a whole number"),
    "images that are nothing": (column("image_id", lambda n: pa.nulls(n)), "no image_id"),
    "severities in words": (column("severity", lambda n: ["high"] * n), "severity 'high': expected a number"),
    "severities in lists": (column("severity", lambda n: [[1.0]] * n), ""),
    "labels in lists": (column("label", lambda n: [[1]] * n), UNREADABLE),
    "labels in controls": (column("label", lambda n: ["\x1b[2J\x00"] * n), "is not the data set's"),
    "a million rows": (same_rows(1_000_000), "stands twice in contrast at severity 1, in rows 1 and 2"),
    "the study's rows, a thousand times": (copies(2000), "stands twice in none at severity 0, in rows 1 and 101"),
    "50,000 columns": (
        lambda path: pq.write_table(pa.table({f"c{n}": [0] for n in range(50_000)}), path), "no column 'image_id'",
    ),
}  # fmt: skip

CSV: dict[str, tuple[Maker, str]] = {
    "empty": (written(b""), UNREADABLE),
    "a null letter": (written(b"\x00" * 1000), UNREADABLE),
    "no UTF-8": (written((KEYS + ",".join(LOGITS)).encode() + b"\n0,\xff\xfe,0" + b",0" * 10 + b"\n"), UNREADABLE),
    "a line of 20 MB": (written((KEYS + ",".join(LOGITS) + "\n").encode() + b"0" * 20_000_000), UNREADABLE),
    "half a line": (written((KEYS + ",".join(LOGITS) + "\n0,none").encode()), UNREADABLE),
    "a quote that does not end": (written((KEYS + ",".join(LOGITS) + '\n0,"none').encode()), UNREADABLE),
    "3 million columns": (written(b"," * 3_000_000 + b"\n"), "more than 100,000 columns"),
    "a column twice": (written((KEYS + KEYS + ",".join(LOGITS) + "\n").encode()), "column 'image_id' stands twice"),
    "controls as columns": (written(b"\x1b]0;x\x07,b\n1,2\n"), "no column 'image_id'"),
    "formulas": (written((KEYS + ",".join(LOGITS) + "\n=1+1,@x,+1" + ",0" * 10 + "\n").encode()), UNREADABLE),
}

PACKED: dict[str, tuple[Maker, str]] = {
    "no gzip": (written(b"hello"), UNREADABLE),
    "cut short": (written(gzip.compress(b"x" * 100_000)[:60]), UNREADABLE),
    "a bomb of 2 GB": (lambda path: path.write_bytes(gzip.compress(bytes(1 << 26), 9) * 32), UNREADABLE),
}

REFUSED = {
    **{f"{name}.parquet": case for name, case in PARQUET.items()},
    **{f"{name}.csv": case for name, case in CSV.items()},
    **{f"{name}.csv.gz": case for name, case in PACKED.items()},
}
