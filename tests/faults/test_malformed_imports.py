"""Files of predictions that anyone may have made: `import` refuses each in one line, soon, and keeps nothing of it."""

import gzip
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("torch")

from fault_trials import WITH_TORCH_S, refused
from import_files import LOGITS, SMALL_STUDY, import_into, small_frame
from marked_cases import quick

import failmodes
from failmodes.evaluate.tables.study_rows import MAX_CELLS
from failmodes.runtime.errors import DataError, StorageError, StudyError

Maker = Callable[[Path], object]
HEAD = ("image_id,corruption,severity," + ",".join(LOGITS) + "\n").encode()
UNREADABLE = "cannot be read as predictions"


def parquet(change: Callable[[pa.Table], pa.Table]) -> Maker:
    return lambda path: pq.write_table(change(small_frame().to_arrow()), path, compression="zstd")


def column(name: str, values: Callable[[int], object]) -> Maker:
    """The small frame with other values in a column."""

    def change(rows: pa.Table) -> pa.Table:
        kept = rows.drop_columns(name) if name in rows.column_names else rows
        return kept.append_column(name, pa.array(values(rows.num_rows)))

    return parquet(change)


def listed(values: Callable[[int], pa.Array]) -> Maker:
    return parquet(lambda rows: rows.drop_columns(LOGITS).append_column("logits", values(rows.num_rows)))


def same_rows(count: int, corruption: str = "contrast") -> Maker:
    """One row so often, in a file of a few kilobytes."""

    def make(path: Path) -> None:
        names = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int8)), [corruption])
        keys = {"image_id": np.zeros(count, np.int32), "corruption": names, "severity": np.ones(count, np.float32)}
        logits = dict.fromkeys(LOGITS, pa.array(np.zeros(count, np.float32)))
        pq.write_table(pa.table({**keys, **logits}), path, compression="zstd")

    return make


def written(content: bytes) -> Maker:
    return lambda path: path.write_bytes(content)


def half(path: Path) -> None:
    small_frame().write_parquet(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


REFUSED: dict[str, tuple[Maker, str]] = {
    "empty.parquet": (written(b""), UNREADABLE),
    "half.parquet": (half, UNREADABLE),
    "a long text.parquet": (column("corruption", lambda n: ["x" * 10_000] * n), "a text of 10,000 bytes"),
    "a single logit.parquet": (listed(lambda n: pa.array([[1.0]] * n)), "row 1: 1 logits, expected 10"),
    "logits in words.parquet": (column("logit_3", lambda n: ["0.1"] * n), "logit_3 has type string: expected numbers"),
    "lists of lists.parquet": (listed(lambda n: pa.array([[[1.0]]] * n)), "logits has type list"),
    "corruptions in structs.parquet": (column("corruption", lambda n: [{"a": "none"}] * n), "has type struct"),
    "no UTF-8.parquet": (column("corruption", lambda n: pa.array([b"\xff\xfe"] * n).view(pa.string())), UNREADABLE),
    "controls.parquet": (column("corruption", lambda n: ["\x1b]0;x\x07\n"] * n), "unknown corruption"),
    "images beyond 64 bits.parquet": (column("image_id", lambda n: [1e300] * n), "1e+300: expected an integer"),
    "no images.parquet": (column("image_id", lambda n: pa.nulls(n)), "no image_id"),
    "severities in words.parquet": (column("severity", lambda n: ["high"] * n), "severity 'high': expected a number"),
    "labels in controls.parquet": (column("label", lambda n: ["\x1b[2J"] * n), "differs from the dataset"),
    "a million rows.parquet": (same_rows(1_000_000), "row 2: another prediction for image 0"),
    "a bomb of logits.parquet": (
        listed(lambda n: pa.array([np.zeros(10**7), *[np.zeros(10)] * (n - 1)])), "row 1: 10,000,000 logits",
    ),
    "a bomb of text.parquet": (column("corruption", lambda n: ["x" * 10**8] + ["none"] * (n - 1)), "100,000,000 bytes"),
    "50,000 columns.parquet": (
        lambda path: pq.write_table(pa.table({f"c{n}": [0] for n in range(50_000)}), path), "no column is the image",
    ),
    "empty.csv": (written(b""), UNREADABLE),
    "no UTF-8.csv": (written(HEAD + b"0,\xff\xfe,0" + b",0" * 10 + b"\n"), UNREADABLE),
    "a line of 20 MB.csv": (written(HEAD + b"0" * 20_000_000), UNREADABLE),
    "a quote that does not end.csv": (written(HEAD + b'0,"none'), UNREADABLE),
    "3 million columns.csv": (written(b"," * 3_000_000 + b"\n"), "more than 100,000 columns"),
    "a column twice.csv": (written(b"image_id," + HEAD), "duplicate column 'image_id'"),
    "formulas.csv": (written(HEAD + b"=1+1,@x,+1" + b",0" * 10 + b"\n"), "line 2: image_id =1+1"),
    "cut short.csv.gz": (written(gzip.compress(b"x" * 100_000)[:60]), UNREADABLE),
    "lists 20,000 deep.jsonl": (written(b'{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}\n"), "nested more than"),
    "lists among quotes.jsonl": (written(b'{"]":"\\"]","a":' * 40 + b"1" + b"}" * 40), "nested more than"),
    "other keys in each line.jsonl": (written(b"".join(b'{"k%d":0}\n' % n for n in range(20_000))), "keys"),
    "a bomb of 2 GB.csv.gz": (lambda path: path.write_bytes(gzip.compress(bytes(1 << 26), 9) * 32), UNREADABLE),
}  # fmt: skip
NAMED_ONLY_WITH_A_STUDY = {  # without one any text names an image, a class or a corruption
    "images beyond 64 bits.parquet", "controls.parquet", "labels in controls.parquet",
}  # fmt: skip
LARGE = {  # their memory shows in a process of its own alone
    "50,000 columns.parquet", "a bomb of text.parquet", "a bomb of logits.parquet", "a million rows.parquet",
    "a bomb of 2 GB.csv.gz", "a line of 20 MB.csv", "3 million columns.csv",
}  # fmt: skip


def file_of(name: str, folder: Path) -> Path:
    path = folder / f"p.{name.split('.', 1)[1]}"
    REFUSED[name][0](path)
    return path


@pytest.mark.parametrize("name", sorted(REFUSED.keys() - LARGE))
def test_a_malformed_file_is_one_error_and_nothing_is_kept(name: str, small_import: Path, tmp_path: Path) -> None:
    path = file_of(name, tmp_path)
    with pytest.raises(DataError) as caught:
        import_into(small_import, path)
    assert REFUSED[name][1] in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list((small_import.parent / "out").rglob("results/*"))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("image,label,prediction\n0,a,b\nroot:x:0:SECRET\n", 3),
        ("image,label,confidence,prediction\n0,a,0.5,a\n1,b,SECRET,a\n", 3),
        ("image,label,prediction\n" + "1,a,b\n" * 1_000_000 + "SECRET\n", 1_000_002),
    ],
    ids=["a line", "a number", "a line far below"],
)
def test_an_error_of_a_csv_file_names_the_row_and_quotes_nothing(text: str, row: int, tmp_path: Path) -> None:
    """The file may be a link to another one."""
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(DataError, match=f"cannot be read as predictions: .*Row #{row}: ") as caught:
        failmodes.import_predictions(tmp_path / "p.csv", to=tmp_path / "out", progress=False)
    assert "SECRET" not in str(caught.value)


NULLS = {
    "a label": {"label": ["x\0", "y"], "prediction": ["x\0", "x\0"]},
    "an image": {"image": ["a\0", "b"]},
    "metadata": {"camera": ["A\0", "B"]},
    "an observer": {"observer": ["one\0", "one\0"]},
    "a model": {"model": ["one\0", "one\0"]},
    "a corruption": {"corruption": ["fog\0", "fog\0"], "severity": [1, 1]},
    "the name of metadata": {"cam\0era": ["A", "B"]},
    "the name of a class": {
        "prediction": ["y", "y"],
        "label": ["y", "y"],
        "logit_x\0": [0.0, 0.0],
        "logit_y": [1.0, 1.0],
    },
}


@quick("name", NULLS, "a label", "the name of a class")
@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_null_character_in_a_name_is_refused(name: str, suffix: str, tmp_path: Path) -> None:
    columns = {"image": ["a", "b"], "label": ["x", "y"], "prediction": ["x", "x"]} | NULLS[name]
    path = tmp_path / f"p.{suffix}"
    rows = pl.DataFrame(columns)
    if suffix == "parquet":
        pq.write_table(pa.table(columns), path)
    else:
        (rows.write_csv if suffix == "csv" else rows.write_ndjson)(path)
    with pytest.raises((DataError, StudyError), match=r"\\x00|null character"):
        failmodes.import_predictions(path, to=tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


@quick("name", sorted(REFUSED.keys() - NAMED_ONLY_WITH_A_STUDY), "half.parquet", "no UTF-8.csv")
def test_a_malformed_file_is_one_error_without_a_study_too(name: str, tmp_path: Path) -> None:
    path = file_of(name, tmp_path)
    with pytest.raises(DataError) as caught:
        failmodes.import_predictions(path, to=tmp_path / "out", progress=False)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


QUICKLY = ("controls.parquet", "lists 20,000 deep.jsonl", "pipe", "nothing")


@quick("name", [*QUICKLY, *sorted(LARGE)], *QUICKLY)
def test_import_refuses_a_malformed_file_in_one_line(name: str, small_import: Path, tmp_path: Path) -> None:
    path = file_of(name, tmp_path) if name in REFUSED else tmp_path / "p.parquet"
    if name == "pipe":
        os.mkfifo(path)
    says = REFUSED[name][1] if name in REFUSED else "p.parquet"
    folder, code = small_import.parent, 2 if name == "nothing" else 1
    trial = refused("import", path, "--label", "X", folder=folder, says=says, code=code, most_s=WITH_TORCH_S)
    assert str(path) in trial.stderr
    assert not list((folder / "out").rglob("results/*"))


@pytest.mark.parametrize("label", ["\x1b[2J", "a\nb", " \t", "\u202eabc", "x" * 61, "\udcff"])
def test_a_label_that_no_chart_can_show_is_refused(label: str, small_import: Path, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="label"):
        import_into(small_import, tmp_path / "p.parquet", label)


@pytest.mark.test_all
def test_many_rows_of_others_are_left_out_and_endless_ones_refused(small_import: Path, tmp_path: Path) -> None:
    frame = small_frame()
    others = pl.concat([frame[20:].with_columns(corruption=pl.lit("fog"))] * 1300)
    pl.concat([others, frame]).write_parquet(tmp_path / "p.parquet")
    report = import_into(small_import, tmp_path / "p.parquet", only_study=True)
    assert (report.written, report.left_out) == (5, len(others))
    same_rows(MAX_CELLS * 500 + 101, "fog")(tmp_path / "endless.parquet")  # of 500 images
    with pytest.raises(DataError, match="more than .* rows, but the study has 100"):
        import_into(small_import, tmp_path / "endless.parquet", only_study=True)


def test_an_output_that_cannot_be_written_is_one_error(tmp_path: Path) -> None:
    small_frame().write_parquet(tmp_path / "p.parquet")
    (tmp_path / "study.toml").write_text(SMALL_STUDY.replace('"out"', '"study.toml/out"'))
    with pytest.raises(StorageError, match="cannot write"):
        import_into(tmp_path / "study.toml", tmp_path / "p.parquet")
