"""Predictions made elsewhere: the same evaluation as a direct one, or one clear line and nothing kept."""

import re
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.special import log_softmax, softmax
from typer.testing import CliRunner

from failmodes.analysis.findings.limits import limitation_findings
from failmodes.analysis.report.provenance import network_provenance
from failmodes.analysis.selection import select_one
from failmodes.cli import app, main
from failmodes.evaluate.engine.run import evaluate_study
from failmodes.evaluate.import_predictions.expected import expected_cells
from failmodes.evaluate.import_predictions.importing import ImportReport, import_predictions
from failmodes.evaluate.import_predictions.predictions_file import find_columns
from failmodes.evaluate.study.reading import read_study
from failmodes.evaluate.study_models import train_missing
from failmodes.ingest.corruptions.registry import find_corruption_name
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.ingest.subset import balanced_subset
from failmodes.warehouse.database.connection import open_warehouse
from failmodes.warehouse.errors import DataError, StorageError, StudyError, WarehouseError
from failmodes.warehouse.schema import EXEMPLARS, MODELS, PREDICTIONS
from failmodes.warehouse.shards.format import list_record_files, read_verified
from tests.test_run import write_published
from tests.tiny_study import write_tiny_study

SMALL = """
name = "small"
output = "out"
[dataset]
kind = "digits"
images = 20
[corruptions]
names = ["contrast", "glass_blur"]
severities = [1, 2.5]
across_switches = true
seeds = [0, 3]
"""

LOGITS = [f"logit_{c}" for c in range(10)]


def import_into(study_file: Path, predictions: Path, label: str = "Elsewhere", **options: Any) -> ImportReport:
    study = read_study(study_file, networks=False)
    return import_predictions(study, open_dataset(study.dataset, study.cache), predictions, label, **options)


def stored_rows(output: Path, evaluation_id: str | None = None) -> pl.DataFrame:
    """Prediction rows with their cell, in order."""
    frames = []
    for path in list_record_files(output, PREDICTIONS):
        stored = read_verified(path)
        if evaluation_id in (None, stored.identity["evaluation_id"]):
            cell = {name: pl.lit(stored.identity[name]) for name in ("corruption", "severity")}
            frames.append(pl.DataFrame(stored.rows).with_columns(**cell))
    return pl.concat(frames).sort("corruption", "severity", "image_id")


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study file whose network was evaluated here."""
    path = write_tiny_study(tmp_path_factory.mktemp("direct"))
    study = read_study(path)
    dataset = open_dataset(study.dataset, study.cache)
    train_missing(study, dataset)
    evaluate_study(study, dataset)
    return path


@pytest.fixture(scope="module")
def exported(direct: Path) -> pl.DataFrame:
    """What another program would hand over: image_id, corruption, severity, logits."""
    rows = stored_rows(direct.parent / "out")
    return rows.select("image_id", "corruption", pl.col("severity").cast(pl.Float64), "logits")


@pytest.fixture
def fresh(direct: Path, tmp_path: Path) -> Path:
    """The same study without networks, in a folder of its own."""
    path = tmp_path / "study.toml"
    path.write_text(direct.read_text().split("[[models]]")[0])
    return path


@pytest.fixture
def small(tmp_path: Path) -> Path:
    (tmp_path / "study.toml").write_text(SMALL)
    return tmp_path / "study.toml"


@cache
def digits() -> tuple[list[int], list[int]]:
    """Numbers and labels of the 20 images of SMALL."""
    dataset = open_dataset(DatasetSpec(kind="digits"), Path())
    ids, _ = balanced_subset(dataset.labels, 20)
    return ids.tolist(), dataset.labels[ids].tolist()


def small_frame() -> pl.DataFrame:
    """Random logits, a column a class, for the study SMALL: 20 images in 5 cells."""
    cells = [("none", 0.0)] + [(c, s) for c in ("contrast", "glass_blur") for s in (1.0, 2.5)]
    keys = [{"image_id": i, "corruption": c, "severity": s} for c, s in cells for i in digits()[0]]
    logits = np.random.default_rng(0).normal(0, 2, (100, 10)).astype(np.float32)
    return pl.concat([pl.DataFrame(keys), pl.DataFrame(logits, schema=LOGITS)], how="horizontal")


def spread(frame: pl.DataFrame, values: np.ndarray, stem: str) -> pl.DataFrame:
    columns = pl.DataFrame(values, schema=[f"{stem}{c}" for c in range(values.shape[1])])
    return pl.concat([frame.drop("logits"), columns], how="horizontal")


def write_as(form: str, exported: pl.DataFrame, folder: Path) -> Path:
    """The exported logits in one of the forms that are read."""
    logits = np.array(exported["logits"].to_list(), dtype=np.float64)
    frame, path = exported.sample(fraction=1, shuffle=True, seed=1), folder / "p.parquet"
    if form == "list of logits":
        frame.with_columns(pl.col("corruption").replace("none", "clean")).write_parquet(path)
    elif form == "array of logits, severity a decimal":
        typed = frame.with_columns(pl.col("logits").list.to_array(10), pl.col("severity").cast(pl.Decimal(4, 3)))
        typed.with_columns(pl.col("corruption").cast(pl.Categorical)).write_parquet(path, row_group_size=37)
    elif form == "logits as CSV":
        path = folder / "p.csv"
        spread(exported, logits.astype(np.float32), "logit_").reverse().write_csv(path)
    elif form == "list of probabilities":
        listed = exported.with_columns(logits=pl.Series(softmax(logits, axis=1).tolist()))
        listed.rename({"logits": "probabilities"}).write_parquet(path)
    else:
        path = folder / "p.csv"
        spread(exported, softmax(logits, axis=1), "probability_").write_csv(path)
    return path


FORMS = ["list of logits", "array of logits, severity a decimal", "logits as CSV", "list of probabilities",
         "probabilities as CSV"]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_an_import_stores_what_a_direct_evaluation_stores(form, direct, fresh, exported, tmp_path) -> None:
    report = import_into(fresh, write_as(form, exported, tmp_path))
    assert (report.made, report.found, report.not_finite, report.rows) == (5, 0, 0, 300)
    ours, theirs = stored_rows(direct.parent / "out"), stored_rows(fresh.parent / "out")
    assert ours.columns == theirs.columns
    nulls = {"log_sum_exp", "max_logit"} if "probabilities" in form else set()
    for name in ours.columns:
        if name in nulls:
            assert theirs[name].null_count() == 300
        elif name == "logits":
            mine, other = (np.array(frame[name].to_list()) for frame in (ours, theirs))
            if nulls:
                mine = log_softmax(mine, axis=1)
            np.testing.assert_allclose(other, mine, atol=2e-6, rtol=1e-6)
        elif ours[name].dtype.is_float():
            np.testing.assert_allclose(theirs[name].to_numpy(), ours[name].to_numpy(), atol=2e-6, err_msg=name)
        else:
            assert theirs[name].equals(ours[name]), name


def test_exemplars_are_those_of_a_direct_evaluation_without_maps(direct, fresh, exported, tmp_path) -> None:
    import_into(fresh, write_as("list of logits", exported, tmp_path))
    ours, theirs = (
        pl.concat([pl.DataFrame(read_verified(p).rows) for p in list_record_files(folder / "out", EXEMPLARS)])
        for folder in (direct.parent, fresh.parent)
    )
    same = [c for c in ours.columns if c not in ("evaluation_id", "confidence") and not c.startswith("map_")]
    assert len(theirs) > 0
    assert theirs.select(same).equals(ours.select(same))
    np.testing.assert_allclose(theirs["confidence"].to_numpy(), ours["confidence"].to_numpy(), atol=1e-5)
    assert theirs["map_f16"].null_count() == len(theirs)


def test_the_identity_is_the_content_whatever_the_format_or_order(fresh, exported, tmp_path) -> None:
    first = import_into(fresh, write_as("list of logits", exported, tmp_path))
    again = import_into(fresh, write_as("logits as CSV", exported, tmp_path))
    assert again.evaluation_id == first.evaluation_id
    assert (again.made, again.found) == (0, 5)
    changed = exported.with_columns(pl.col("logits").list.eval(pl.element() * 1.001))
    other = import_into(fresh, write_as("list of logits", changed, tmp_path))
    assert other.evaluation_id != first.evaluation_id
    assert other.namesakes == [first.evaluation_id]


def files_of(output: Path) -> dict[Path, str]:
    return {
        p: read_verified(p).content_hash for table in (PREDICTIONS, EXEMPLARS) for p in list_record_files(output, table)
    }


def test_an_interrupted_import_goes_on_where_it_stopped(small, tmp_path) -> None:
    def stop(what: str, done: int, _of: int | None) -> None:
        if (what, done) == ("cells", 2):
            raise KeyboardInterrupt

    small_frame().write_parquet(tmp_path / "p.parquet")
    with pytest.raises(KeyboardInterrupt):
        import_into(small, tmp_path / "p.parquet", tell=stop)
    assert len(files_of(small.parent / "out")) == 2
    report = import_into(small, tmp_path / "p.parquet")
    assert (report.made, report.found) == (3, 2)
    assert len(files_of(small.parent / "out")) == 5 + 2


def test_a_damaged_import_is_mended_to_the_same_rows(small, tmp_path) -> None:
    small_frame().write_parquet(tmp_path / "p.parquet")
    import_into(small, tmp_path / "p.parquet")
    hashes = files_of(small.parent / "out")
    shard, *_, exemplars = hashes
    for path in (shard, exemplars):
        path.write_bytes(path.read_bytes()[:-20])
    report = import_into(small, tmp_path / "p.parquet")
    assert (report.made, report.found) == (1, 4)
    assert files_of(small.parent / "out") == hashes


def test_a_second_label_renames_the_same_predictions(small, tmp_path) -> None:
    small_frame().write_parquet(tmp_path / "p.parquet")
    first = import_into(small, tmp_path / "p.parquet", "Old", architecture="onnx")
    second = import_into(small, tmp_path / "p.parquet", "New")
    assert second.evaluation_id == first.evaluation_id
    assert second.former_label == "Old"
    (row,) = (r for p in list_record_files(small.parent / "out", MODELS) for r in read_verified(p).rows.to_pylist())
    assert (row["model_label"], row["parameter_count"], row["input_mean"]) == ("New", None, None)


@pytest.mark.parametrize("label", ["", "x" * 61], ids=["empty", "too long"])
def test_a_label_that_no_chart_can_show_is_refused(label, small, tmp_path) -> None:
    with pytest.raises(StudyError, match="expected 1 to 60"):
        import_into(small, tmp_path / "p.parquet", label)


def test_an_output_that_cannot_be_written_is_one_line(small, tmp_path) -> None:
    small_frame().write_parquet(tmp_path / "p.parquet")
    (tmp_path / "out").write_text("a file stands here")
    with pytest.raises(StorageError, match="cannot write .*out"):
        import_into(small, tmp_path / "p.parquet")


def test_each_seed_is_an_evaluation_of_its_own(small, tmp_path) -> None:
    small_frame().write_parquet(tmp_path / "p.parquet")
    reports = [import_into(small, tmp_path / "p.parquet", seed=seed) for seed in (0, 3, None)]
    assert [r.made for r in reports] == [5, 5, 0]
    assert reports[0].evaluation_id == reports[2].evaluation_id
    with pytest.raises(StudyError, match=r"no corruption seed 7: it has 0, 3"):
        import_into(small, tmp_path / "p.parquet", seed=7)


def test_rows_that_are_not_finite_are_recorded_and_counted(small, tmp_path) -> None:
    odd = {0: np.nan, 5: np.inf, 7: None, 9: 1e300}
    frame = small_frame().with_row_index().with_columns(
        logit_3=pl.col("index").cast(pl.Int64).replace_strict(odd, default=pl.col("logit_3"), return_dtype=pl.Float64)
    )  # fmt: skip
    frame.drop("index").write_csv(tmp_path / "p.csv")
    report = import_into(small, tmp_path / "p.csv")
    rows = stored_rows(small.parent / "out").filter(corruption="none")
    assert report.not_finite == 4
    assert rows.filter(~pl.col("finite"))["image_id"].to_list() == [digits()[0][i] for i in odd]
    assert rows.filter(pl.col("predicted").is_null())["image_id"].to_list() == [digits()[0][i] for i in odd]


Change = Callable[[pl.DataFrame], pl.DataFrame]


def at(row: int, **values: Any) -> Change:
    """Change values of one row (from 0)."""

    def change(frame: pl.DataFrame) -> pl.DataFrame:
        here = pl.int_range(pl.len()) == row
        return frame.with_columns(
            pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()
        )

    return change


def as_probabilities(frame: pl.DataFrame) -> pl.DataFrame:
    values = softmax(frame.select(LOGITS).to_numpy(), axis=1)
    columns = pl.DataFrame(values, schema=[f"probability_{c}" for c in range(10)])
    return pl.concat([frame.drop(LOGITS), columns], how="horizontal")


def labelled(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(label=pl.Series(digits()[1] * 5))


def named_labels(frame: pl.DataFrame) -> pl.DataFrame:
    names = open_dataset(DatasetSpec(kind="digits"), Path()).class_names
    return frame.with_columns(label=pl.Series([names[label] for label in digits()[1]] * 5))


def with_list(length: int, row: int) -> Change:
    lists = [[0.5] * (length if i == row else 10) for i in range(100)]
    return lambda frame: frame.drop(LOGITS).with_columns(logits=pl.Series(lists))


def with_copy(row: int, **values: Any) -> Change:
    """Add a row again, with other values."""
    return lambda frame: pl.concat([frame, at(0, **values)(frame[row : row + 1])], how="vertical_relaxed")


def constant(**values: Any) -> Change:
    return lambda frame: frame.with_columns(**{name: pl.lit(value) for name, value in values.items()})


def without(*names: str) -> Change:
    return lambda frame: frame.drop(names)


def but(*changes: Change) -> Change:
    def change(frame: pl.DataFrame) -> pl.DataFrame:
        for each in changes:
            frame = each(frame)
        return frame

    return change


WRONG: dict[str, tuple[Change, str]] = {
    "no image_id": (
        lambda f: f.rename({"image_id": "imageid"}), r"no column 'image_id' \(the nearest is 'imageid'\)",
    ),
    "no numbers": (without(*LOGITS), r"no logits or probabilities.*expected image_id"),
    "misnamed numbers": (but(without(*LOGITS), constant(probs=1)), r"the nearest is 'probs'"),
    "a class too few": (without("logit_9"), r"9 columns logit_….*has 10 classes"),
    "a foreign class": (
        lambda f: f.rename({"logit_9": "logit_10"}), r"'logit_10' is no class.*nearest is 'logit_1'",
    ),
    "a list too long": (with_list(11, row=41), r"row 42: 11 logits, but the data set has 10 classes"),
    "numbers as text": (constant(logit_2="a"), r"row 1: logit_2 holds .*expected numbers"),
    "text as a list": (but(without(*LOGITS), constant(logits="[1]")), r"expected a list of 10 numbers"),
    "unknown corruption": (
        at(30, corruption="contrst"), r"row 31: unknown corruption 'contrst': did you mean 'contrast'",
    ),
    "no corruption": (at(30, corruption=None), r"row 31: no corruption"),
    "severity beyond 5": (at(99, severity=6.0), r"row 100: severity 6 is out of range: expected 0 \(clean\) to 5"),
    "severity not a number": (at(99, severity=float("nan")), r"row 100: severity nan is out of range"),
    "clean at a severity": (at(3, severity=1.0), r"row 4: corruption 'none' at severity 1: clean images go by"),
    "corrupted at 0": (at(20, severity=0.0), r"row 21: corruption 'contrast' at severity 0"),
    "image beyond the data set": (at(7, image_id=1_000_000), r"row 8: image_id 1000000 is no image.*expected 0 to 499"),
    "negative image": (at(7, image_id=-1), r"row 8: image_id -1 is no image"),
    "image beyond the subset": (at(7, image_id=300), r"row 8: image_id 300 is not among the 20 images.*first 20 of"),
    "image ids as text": (constant(image_id="cat.png"), r"image_id is a .*string.* whole number"),
    "half an image": (lambda f: f.with_columns(pl.col("image_id") + 0.5), r"image_id is a double.* whole number"),
    "twice": (with_copy(25), r"image \d+ stands twice in contrast at severity 1, in rows 26 and 101"),
    "an image lacks": (
        lambda f: f.filter(pl.int_range(pl.len()) != 45), r"contrast at severity 2.5 lacks 1 of 20 images: \d+;",
    ),
    "a cell lacks": (lambda f: f[:80], r"lacks 1 of the study's 5 cells: glass_blur at severity 2.5"),
    "no clean cell": (lambda f: f[20:], r"no clean predictions"),
    "a cell too many": (
        with_copy(20, corruption="fog", severity=5.0), r"1 cells .*not name: fog at severity 5;.*--only-study",
    ),
    "probability above 1": (
        but(as_probabilities, at(50, probability_3=1.5)), r"row 51: probability 1.5 is outside 0 to 1",
    ),
    "probabilities that do not sum to 1": (
        but(as_probabilities, at(50, probability_3=0.9)), r"row 51: probabilities sum to 1\.\d+: expected 1",
    ),
    "nothing finite": (constant(logit_0=float("nan")), r"no row of finite numbers"),
    "another label": (but(labelled, at(4, label=77)), r"row 5: label 77 of image \d+ is not the data set's, \d \("),
    "another class name": (but(named_labels, at(21, label="x")), r"row 22: label 'x' of image \d+"),
    "no rows": (lambda f: f[:0], r"has no rows"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_one_line_and_nothing_is_kept(change, said, small, tmp_path) -> None:
    change(small_frame()).write_parquet(tmp_path / "p.parquet", row_group_size=30)
    with pytest.raises(DataError, match=said) as caught:
        import_into(small, tmp_path / "p.parquet")
    assert "\n" not in str(caught.value)
    assert "p.parquet" in str(caught.value)
    assert not list((small.parent / "out").rglob("record/*"))


HEADER = b"image_id,corruption,severity,"

DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "no Parquet": ("p.parquet", b"hello", r"cannot be read as predictions"),
    "a hollow Parquet": ("p.parquet", b"PAR1" + b"\0" * 40 + b"PAR1", r"cannot be read as predictions"),
    "another kind": ("p.pkl", b"", r"expected \.parquet, \.pq, \.csv"),
    "empty CSV": ("p.csv", b"", r"cannot be read as predictions: Empty CSV file"),
    "semicolons": ("p.csv", b"image_id;corruption;severity\n", r"separated by commas"),
    "letters": (
        "p.csv", HEADER + ",".join(LOGITS).encode() + b"\n0,none,0,a" + b",0" * 9, r"invalid value 'a'",
    ),
    "a list in CSV": ("p.csv", HEADER + b'logits\n0,none,0,"[1]"', r"no lists: give one column a class, logit_0"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_one_line(name, content, said, small, tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        import_into(small, tmp_path / name)
    assert "\n" not in str(caught.value)


FOREIGN: dict[str, pa.Array] = {
    "text that is none": pa.array([b"\xff\xfe"] * 100).view(pa.string()),
    "a list as label": pa.array([[1]] * 100),
}


@pytest.mark.parametrize(
    ("name", "column"), [*zip(("corruption", "label"), FOREIGN.values(), strict=True)], ids=FOREIGN
)
def test_a_column_of_a_foreign_kind_is_one_line(name, column, small, tmp_path) -> None:
    table = labelled(small_frame()).to_arrow()
    pq.write_table(table.set_column(table.column_names.index(name), name, column), tmp_path / "p.parquet")
    with pytest.raises(DataError, match="p.parquet.*cannot be read as predictions") as caught:
        import_into(small, tmp_path / "p.parquet")
    assert "\n" not in str(caught.value)


def test_a_bit_turned_in_a_page_is_found(small, tmp_path) -> None:
    path = tmp_path / "p.parquet"
    pq.write_table(small_frame().to_arrow(), path, compression="none", write_page_checksum=True, use_dictionary=False)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        import_into(small, path)


def test_only_study_leaves_out_other_cells_and_images(small, tmp_path) -> None:
    frame = small_frame()
    foreign = frame[20:40].with_columns(corruption=pl.lit("fog"))
    beyond = frame[:20].with_columns(image_id=pl.int_range(400, 420))
    pl.concat([beyond, foreign, frame]).write_parquet(tmp_path / "more.parquet")
    frame.write_parquet(tmp_path / "p.parquet")
    report = import_into(small, tmp_path / "more.parquet", only_study=True)
    assert (report.made, report.left_out) == (5, 40)
    assert import_into(small, tmp_path / "p.parquet").evaluation_id == report.evaluation_id


@pytest.mark.parametrize("change", [labelled, named_labels], ids=["indices", "names"])
def test_labels_that_agree_pass(change, small, tmp_path) -> None:
    change(small_frame()).write_csv(tmp_path / "p.csv")
    assert import_into(small, tmp_path / "p.csv").made == 5


def test_an_alias_is_the_corruption_it_stands_for(small, tmp_path) -> None:
    assert find_corruption_name("frosted_glass_blur") == "glass_blur"
    frame = small_frame()
    frame.write_parquet(tmp_path / "p.parquet")
    half = pl.col("corruption").replace("glass_blur", "frosted_glass_blur")
    mixed = pl.when(pl.int_range(pl.len()) % 3 == 0).then(half).otherwise("corruption")
    frame.with_columns(corruption=mixed).write_csv(tmp_path / "p.csv")
    reports = [import_into(small, tmp_path / name) for name in ("p.parquet", "p.csv")]
    assert reports[0].evaluation_id == reports[1].evaluation_id


CLASSES = ("cat", "dog", "owl")

ORDERS = {
    "by index": (["logit_2", "logit_0", "logit_1"], ("logit_0", "logit_1", "logit_2"), CLASSES),
    "by name": (["logit_dog", "logit_owl", "logit_cat"], ("logit_cat", "logit_dog", "logit_owl"), CLASSES),
    "names are the indices": (["logit_1", "logit_0"], ("logit_0", "logit_1"), ("0", "1")),
    "logits before probabilities": (["probability_0", "probability_1", "logits"], ("logits",), ("0", "1")),
}


@pytest.mark.parametrize(("names", "found", "classes"), ORDERS.values(), ids=ORDERS)
def test_columns_are_put_in_the_order_of_the_classes(names, found, classes) -> None:
    layout = find_columns(Path("p.parquet"), ["image_id", "corruption", "severity", *names], classes, csv=False)
    assert layout.values == found
    assert layout.kind == "logits"


def test_numbers_that_are_names_in_another_order_are_refused() -> None:
    names = ["image_id", "corruption", "severity", "logit_0", "logit_1"]
    with pytest.raises(DataError, match="number or its name"):
        find_columns(Path("p.csv"), names, ("1", "0"), csv=True)


def test_unpaired_corrupted_images_go_by_their_own_labels(small, tmp_path) -> None:
    study = read_study(small, networks=False)
    dataset = open_dataset(study.dataset, study.cache)
    order = np.random.default_rng(1).permutation(len(dataset.labels))
    folder = write_published(tmp_path / "C", np.asarray(dataset.images)[order], dataset.labels[order])
    text = SMALL.replace('names = ["contrast", "glass_blur"]', f'names = ["contrast"]\npublished = "{folder}"')
    small.write_text(text.replace("2.5", "5").replace("seeds = [0, 3]", "").replace("across_switches = true", ""))
    expected = expected_cells(read_study(small, networks=False), dataset)
    frames = [
        pl.DataFrame({"image_id": expected.images(c).ids, "corruption": c.corruption, "severity": float(c.severity)})
        for c in expected.cells
    ]
    keys = pl.concat(frames)
    logits = pl.DataFrame(np.random.default_rng(0).normal(0, 1, (len(keys), 10)), schema=LOGITS)
    pl.concat([keys, logits], how="horizontal").write_parquet(tmp_path / "p.parquet")
    import_into(small, tmp_path / "p.parquet")
    rows = stored_rows(small.parent / "out").filter(corruption="contrast", severity="5.000")
    assert rows["rmse"].null_count() == len(rows) == 20
    assert rows["label"].to_list() == dataset.labels[order][rows["image_id"].to_numpy()].tolist()


def command(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_from_import_to_warehouse_without_any_network(fresh, exported, tmp_path) -> None:
    path = write_as("probabilities as CSV", exported, tmp_path)
    assert "5 cells imported, 0 were there: My API, probabilities" in command(
        "import", path, fresh, "--label", "My API"
    )
    assert "already there, nothing to do" in command("import", path, fresh, "--label", "My API")
    command("load", fresh)
    status = command("status", fresh)
    assert "My API on" in status
    assert "5 cells, 0 with attention" in status
    assert re.search(r"(\d+) of \1 checks hold", status)


@pytest.fixture(scope="module")
def beside(direct, exported, tmp_path_factory) -> Path:
    """A study whose warehouse holds a direct and an imported evaluation of the same predictions."""
    folder = tmp_path_factory.mktemp("beside")
    shutil.copytree(direct.parent, folder / "study")
    study = folder / "study" / "study.toml"
    command("import", write_as("list of probabilities", exported, folder), study, "--label", "Elsewhere")
    command("load", study)
    return study


def test_beside_a_direct_evaluation_all_checks_hold(beside) -> None:
    status = command("status", beside)
    assert "5 cells, 0 with attention" in status
    assert "5 cells, 5 with attention" in status
    assert re.search(r"(\d+) of \1 checks hold", status)


def test_what_is_said_of_an_import_says_where_it_comes_from(beside) -> None:
    with open_warehouse(beside.parent / "out" / "warehouse.duckdb") as con:
        selection = select_one(con)
        (imported,) = (e for e in selection.evaluations if e.label == "Elsewhere")
        facts = dict(network_provenance(con, imported))
        limits = {finding.topic: finding for finding in limitation_findings(con, selection)}
    assert facts["Architecture"] == "imported, known by its predictions only"
    assert facts["Attention"] == "predictions were made elsewhere"
    assert (facts["Normalisation"], facts["Device"]) == ("not on record", "elsewhere")
    assert limits["Imports"].headline == "Predictions of Elsewhere were made elsewhere."


def test_rows_that_are_not_finite_are_counted_among_the_limits(small, tmp_path) -> None:
    nan = pl.when(pl.int_range(pl.len()) % 10 == 3).then(float("nan")).otherwise("logit_0")
    small_frame().with_columns(logit_0=nan).write_parquet(tmp_path / "p.parquet")
    import_into(small, tmp_path / "p.parquet")
    command("load", small)
    with open_warehouse(small.parent / "out" / "warehouse.duckdb") as con:
        limits = {finding.topic: finding for finding in limitation_findings(con, select_one(con))}
    assert limits["Numbers"].detail.startswith("10 of Elsewhere, over all cells")


@pytest.mark.slow
@pytest.mark.parametrize("alone", [True, False])
def test_report_and_charts_of_an_import(alone, beside, fresh, exported, tmp_path) -> None:
    if alone:
        command("import", write_as("list of probabilities", exported, tmp_path), fresh, "--label", "Elsewhere")
        command("load", fresh)
    study = fresh if alone else beside
    command("report", study)
    assert "nothing can be said of attention" in (study.parent / "out" / "report.html").read_text()
    for name in ("curves", "drops", "shapes", "exemplars", "onset", "calibration", "distortion"):
        command("chart", name, study, "--output", tmp_path / f"{name}.json")
    if alone:
        with pytest.raises(WarehouseError, match="no attention drift to show: predictions were made elsewhere"):
            command("chart", "attention", study, "--output", tmp_path / "attention.json")


def test_a_study_without_networks_says_how_to_go_on(small, monkeypatch, capsys) -> None:
    monkeypatch.setattr("sys.argv", ["failmodes", "evaluate", str(small)])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert "add a [[models]] table, or bring predictions made elsewhere" in capsys.readouterr().err
