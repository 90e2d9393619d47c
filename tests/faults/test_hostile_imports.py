"""Files of predictions that anyone may have made: `import` refuses each in one line, soon, and keeps nothing of it."""

import gzip
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from fault_trials import WITH_TORCH_S, Trial, apart, attempt, check_refusal, half_written, refused, shell, stop
from import_files import LOGITS, SMALL_STUDY, import_into, small_frame, stored_rows

from failmodes.evaluate.import_predictions.importing import SPARE_ROWS
from failmodes.warehouse.errors import DataError, StorageError, StudyError

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


def same_rows(count: int) -> Maker:
    """One row so often, in a file of a few kilobytes."""

    def make(path: Path) -> None:
        rows = small_frame().to_arrow()
        zeros = pa.array(np.zeros(count, np.float32))
        names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), ["contrast"])
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
    "lists of texts": (listed(lambda n: pa.array([["a"]] * n)), "logits holds string"),
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
        "names more than 500 corruptions",
    ),
    "images that are infinite": (column("image_id", lambda n: [float("inf")] * n), "image_id is a double column"),
    "images beyond 64 bits": (column("image_id", lambda n: [1e300] * n), "image_id is a double column"),
    "images that are nothing": (column("image_id", lambda n: pa.nulls(n)), "no image_id"),
    "severities in words": (column("severity", lambda n: ["high"] * n), "severity is a string column"),
    "severities in lists": (column("severity", lambda n: [[1.0]] * n), ""),
    "labels in lists": (column("label", lambda n: [[1]] * n), UNREADABLE),
    "labels in controls": (column("label", lambda n: ["\x1b[2J\x00"] * n), "is not the data set's"),
    "a million rows": (same_rows(1_000_000), "rows, and the study asks for 100"),
    "the study's rows, a thousand times": (copies(2000), "rows, and the study asks for 100"),
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
HEAVY = (
    "a text of 1 GB.parquet",
    "a list of 60 million logits.parquet",
    "a bomb of 2 GB.csv.gz",
    "50,000 columns.parquet",
    "a million rows.parquet",
)


def file_of(name: str, folder: Path) -> Path:
    path = folder / f"p.{name.split('.', 1)[1]}"
    apart(REFUSED[name][0], path)
    return path


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in HEAVY else ()) for n in REFUSED])
def test_a_hostile_file_is_one_error_and_nothing_is_kept(name: str, small_import: Path, tmp_path: Path) -> None:
    path = file_of(name, tmp_path)
    with pytest.raises(DataError) as caught:
        import_into(small_import, path)
    assert REFUSED[name][1] in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((small_import.parent / "out").rglob("record/*"))


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_import_refuses_a_hostile_file_in_one_line(name: str, small_import: Path, tmp_path: Path) -> None:
    path = file_of(name, tmp_path)
    refused(
        "import", path, "--label", "X", folder=small_import.parent, says=REFUSED[name][1], code=1, most_s=WITH_TORCH_S
    )
    assert not list((small_import.parent / "out").rglob("record/*"))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "nothing"])
def test_import_does_not_wait_for_what_is_no_file(kind: str, small_import: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    refused("import", path, "--label", "X", folder=small_import.parent, says="p.parquet", code=1, most_s=WITH_TORCH_S)


@pytest.mark.parametrize("label", ["\x1b[2J", "a\nb", "a\0b", " \t", "\u202eabc", "x" * 61, "\udcff"])
def test_a_label_that_no_chart_can_show_is_refused(label: str, small_import: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="label"):
        import_into(small_import, tmp_path / "p.parquet", label)
    with pytest.raises(StudyError, match="architecture"):
        import_into(small_import, tmp_path / "p.parquet", architecture=label * 4)


@pytest.mark.slow
def test_many_rows_of_others_are_left_out_and_endless_ones_refused(small_import: Path, tmp_path: Path) -> None:
    frame = small_frame()
    others = pl.concat([frame[20:].with_columns(corruption=pl.lit("fog"))] * ((SPARE_ROWS + 200) // 80 + 1))
    pl.concat([others, frame]).write_parquet(tmp_path / "p.parquet")
    report = import_into(small_import, tmp_path / "p.parquet", only_study=True)
    assert (report.written, report.left_out) == (5, len(others))
    same_rows(1_100_000)(tmp_path / "endless.parquet")  # of 500 images
    with pytest.raises(DataError, match="more than .* rows, and the study asks for 100"):
        import_into(small_import, tmp_path / "endless.parquet", only_study=True)


def limited(bytes_: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    small_frame().write_parquet(tmp_path / "p.parquet")
    return tmp_path / "p.parquet"


@pytest.mark.slow
@pytest.mark.parametrize("bytes_", [0, 1000, 3000, 5000, 10_000])
def test_a_full_disk_is_one_line_and_the_import_goes_on(bytes_: int, small_import: Path, predictions: Path) -> None:
    """Writes beyond the limit fail, as on a full disk: in the scratch file, the cache, a shard, a dimension."""
    folder = small_import.parent
    trial = attempt("import", predictions, "--label", "X", folder=folder, preexec_fn=limited(bytes_))
    check_refusal(trial, "file-size limit", 1)
    assert not half_written(folder)
    assert attempt("import", predictions, "--label", "X", folder=folder).code == 0
    assert len(stored_rows(folder / "out")) == 100


def test_a_full_disk_in_the_scratch_file_is_one_error(small_import: Path, predictions: Path, monkeypatch) -> None:
    class Full:
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    monkeypatch.setattr("tempfile.TemporaryFile", lambda **_: Full())
    with pytest.raises(StorageError, match="no space left on the disk"):
        import_into(small_import, predictions)


def _checked(trial: Trial, folder: Path) -> None:
    """A command under a limit: it works, or says in one line that it cannot."""
    if trial.code:
        check_refusal(trial)
    assert "Traceback" not in trial.stderr, trial
    assert not half_written(folder)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of Linux")
@pytest.mark.parametrize("limit", ["-n 8", "-n 16", "-n 24", "-n 40", "-v 500000", "-v 1500000", "-v 3000000"])
def test_limits_of_files_and_memory_are_one_line(limit: str, small_import: Path, predictions: Path) -> None:
    folder = small_import.parent
    _checked(attempt("import", predictions, "--label", "X", folder=folder, through=shell(f"ulimit {limit}; ")), folder)
    assert attempt("import", predictions, "--label", "X", folder=folder).code == 0
    assert len(stored_rows(folder / "out")) == 100


@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0, 0.5, 1, 1.5, 2, 2.5, 3])
def test_a_stopped_import_is_one_line_and_goes_on(sign, after_s: float, small_import: Path, predictions: Path) -> None:
    folder = small_import.parent
    trial = attempt(
        "import", predictions, "--label", "X", folder=folder, meanwhile=lambda process: stop(process, sign, after_s)
    )
    if trial.code:
        check_refusal(trial, "stopped", {signal.SIGINT: 130, signal.SIGTERM: 143}[sign])
    assert not half_written(folder)
    assert attempt("import", predictions, "--label", "X", folder=folder).code == 0
    assert len(stored_rows(folder / "out")) == 100


@pytest.mark.parametrize("output", ["/proc/nowhere/out", "study.toml/out", "/dev/null/out"])
def test_an_output_that_cannot_be_written_is_one_error(output: str, tmp_path: Path, predictions: Path) -> None:
    (tmp_path / "study.toml").write_text(SMALL_STUDY.replace('"out"', f'"{output}"'))
    with pytest.raises(StorageError, match="cannot write"):
        import_into(tmp_path / "study.toml", predictions)
