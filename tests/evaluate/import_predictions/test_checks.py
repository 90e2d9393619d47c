"""Predictions made elsewhere: the same evaluation as a direct one, or one clear line and nothing kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from import_files import LOGITS, import_into, labeled, sixty_digits_images, small_frame, stored_rows
from scipy.special import softmax

from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import DatasetSpec
from failmodes.warehouse.errors import DataError


def test_rows_that_are_not_finite_are_recorded_and_counted(small_import, tmp_path) -> None:
    odd = {0: np.nan, 5: np.inf, 7: None, 9: 1e300}
    frame = small_frame().with_row_index().with_columns(
        logit_3=pl.col("index").cast(pl.Int64).replace_strict(odd, default=pl.col("logit_3"), return_dtype=pl.Float64)
    )  # fmt: skip
    frame.drop("index").write_csv(tmp_path / "p.csv")
    report = import_into(small_import, tmp_path / "p.csv")
    rows = stored_rows(small_import.parent / "out").filter(corruption="none")
    assert report.not_finite == 4
    assert rows.filter(~pl.col("finite"))["image_id"].to_list() == [sixty_digits_images()[0][i] for i in odd]
    assert rows.filter(pl.col("predicted").is_null())["image_id"].to_list() == [
        sixty_digits_images()[0][i] for i in odd
    ]


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


def named_labels(frame: pl.DataFrame) -> pl.DataFrame:
    names = open_dataset(DatasetSpec(kind="digits"), Path()).class_names
    return frame.with_columns(label=pl.Series([names[label] for label in sixty_digits_images()[1]] * 5))


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
        lambda f: f.rename({"image_id": "imageid"}), r"no column 'image_id' \(did you mean 'imageid'\?\)",
    ),
    "no numbers": (without(*LOGITS), r"no logits or probabilities.*expected image_id"),
    "misnamed numbers": (but(without(*LOGITS), constant(probs=1)), r"did you mean 'probs'"),
    "a class too few": (without("logit_9"), r"9 columns logit_….*has 10 classes"),
    "a foreign class": (
        lambda f: f.rename({"logit_9": "logit_10"}), r"has 10 classes.*'logit_10' is no class.*did you mean 'logit_1'",
    ),
    "a list too long": (with_list(11, row=41), r"row 42: 11 logits, but the data set has 10 classes"),
    "numbers as text": (constant(logit_2="a"), r"logit_2 holds .*expected numbers"),
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
    "image ids as text": (constant(image_id="cat.png"), r"row 1: image_id 'cat.png': expected a whole number"),
    "half an image": (lambda f: f.with_columns(pl.col("image_id") + 0.5), r"row 1: image_id \d+\.5: expected a whole"),
    "twice": (with_copy(25), r"image \d+ stands twice in contrast at severity 1, in rows 26 and 101"),
    "an image lacks": (
        lambda f: f.filter(pl.int_range(pl.len()) != 45),
        r"lacks images in 1 of the study's 5 cells: contrast at severity 2.5 \(image \d+: 1 of 20\)",
    ),
    "a cell lacks": (lambda f: f[:80], r"1 of the study's 5 cells: glass_blur at severity 2.5 \(image .* …: 20 of 20"),
    "no clean cell": (lambda f: f[20:], r"1 of the study's 5 cells: none at severity 0 \("),
    "a cell too many": (
        with_copy(20, corruption="fog", severity=5.0), r"row 101: the study has no cell fog at severity 5:.*--only",
    ),
    "probability above 1": (
        but(as_probabilities, at(50, probability_3=1.5)), r"row 51: probability 1.5 is outside 0 to 1",
    ),
    "probabilities that do not sum to 1": (
        but(as_probabilities, at(50, probability_3=0.9)), r"row 51: probabilities sum to 1\.\d+: expected 1",
    ),
    "nothing finite": (constant(logit_0=float("nan")), r"no row of finite numbers"),
    "another label": (but(labeled, at(4, label=77)), r"row 5: label 77 of image \d+ is not the data set's, \d \("),
    "another class name": (but(named_labels, at(21, label="x")), r"row 22: label 'x' of image \d+"),
    "no rows": (lambda f: f[:0], r"has no rows"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_file_is_one_line_and_nothing_is_kept(change, said, small_import, tmp_path) -> None:
    change(small_frame()).write_parquet(tmp_path / "p.parquet", row_group_size=30)
    with pytest.raises(DataError, match=said) as caught:
        import_into(small_import, tmp_path / "p.parquet")
    assert "\n" not in str(caught.value)
    assert "p.parquet" in str(caught.value)
    assert not list((small_import.parent / "out").rglob("results/*"))


def test_only_study_leaves_out_other_cells_and_images(small_import, tmp_path) -> None:
    frame = small_frame()
    foreign = frame[20:40].with_columns(corruption=pl.lit("fog"))
    beyond = frame[:20].with_columns(image_id=pl.int_range(400, 420))
    pl.concat([beyond, foreign, frame]).write_parquet(tmp_path / "more.parquet")
    frame.write_parquet(tmp_path / "p.parquet")
    report = import_into(small_import, tmp_path / "more.parquet", only_study=True)
    assert (report.written, report.left_out) == (5, 40)
    assert import_into(small_import, tmp_path / "p.parquet").evaluation_id == report.evaluation_id


@pytest.mark.parametrize("change", [labeled, named_labels], ids=["indices", "names"])
def test_labels_that_agree_pass(change, small_import, tmp_path) -> None:
    change(small_frame()).write_csv(tmp_path / "p.csv")
    assert import_into(small_import, tmp_path / "p.csv").written == 5
