"""Import of predictions: invalid files are one clear line, and nothing is stored."""

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from import_files import LOGITS, import_into, labeled, sixty_digits_images, small_frame, stored_rows
from scipy.special import softmax

from failmodes.runtime.errors import DataError


@pytest.mark.test_all
def test_rows_that_are_not_finite_are_stored_and_counted(small_import, tmp_path) -> None:
    odd = {0: np.nan, 5: np.inf, 7: None, 9: 1e300}
    frame = small_frame().with_row_index().with_columns(
        logit_3=pl.col("index").cast(pl.Int64).replace_strict(odd, default=pl.col("logit_3"), return_dtype=pl.Float64)
    )  # fmt: skip
    frame.drop("index").write_csv(tmp_path / "p.csv")
    report = import_into(small_import, tmp_path / "p.csv")
    rows = stored_rows(small_import.parent / "out").filter(corruption="none")
    (note,) = (note for note in report.notes if note.topic == "not_finite")
    assert note.text.startswith("logits of 4 of 20 clean images are NaN or infinite")
    for broken in (~pl.col("finite"), pl.col("predicted").is_null()):
        assert rows.filter(broken)["image_id"].to_list() == [sixty_digits_images()[0][i] for i in odd]


Change = Callable[[pl.DataFrame], pl.DataFrame]


def at(row: int, **values: Any) -> Change:
    """Change values of one row (from 0)."""
    here = pl.int_range(pl.len()) == row
    changed = [pl.when(here).then(pl.lit(value)).otherwise(pl.col(name)).alias(name) for name, value in values.items()]
    return lambda frame: frame.with_columns(changed)


def as_probabilities(frame: pl.DataFrame) -> pl.DataFrame:
    values = softmax(frame.select(LOGITS).to_numpy(), axis=1)
    columns = pl.DataFrame(values, schema=[f"probability_{c}" for c in range(10)])
    return pl.concat([frame.drop(LOGITS), columns], how="horizontal")


WRONG: dict[str, tuple[Change, str]] = {
    "no image_id": (lambda f: f.rename({"image_id": "imageid"}), "image=COLUMN .*'imageid'"),
    "no numbers": (lambda f: f.drop(LOGITS), "logits or probabilities of every class"),
    "a class too few": (lambda f: f.drop("logit_9"), "10 classes"),
    "a foreign class": (lambda f: f.rename({"logit_9": "logit_10"}), "'logit_10' is not a class"),
    "numbers as text": (lambda f: f.with_columns(logit_2=pl.lit("a")), "logit_2"),
    "unknown corruption": (at(30, corruption="contrst"), "row 31: .*'contrst'"),
    "no corruption": (at(30, corruption=None), "row 31: no corruption"),
    "severity beyond 5": (at(99, severity=6.0), "row 100: severity 6"),
    "severity not a number": (at(99, severity=float("nan")), "row 100: no severity"),
    "clean at a severity": (at(3, severity=1.0), "row 4: corruption 'none' at severity 1"),
    "image beyond the data set": (at(7, image_id=1_000_000), "row 8: image_id 1000000 is not in the dataset"),
    "negative image": (at(7, image_id=-1), "row 8: image_id -1 is not in the dataset"),
    "image beyond the subset": (at(7, image_id=300), "row 8: image_id 300 is not among the 20 images"),
    "half an image": (lambda f: f.with_columns(pl.col("image_id") + 0.5), r"row 1: image_id \d+\.5"),
    "twice": (lambda f: pl.concat([f, f[25:26]]), "row 101: another .* image 5 in contrast at severity 1, .*row 26"),
    "an image lacks": (lambda f: f.filter(pl.int_range(pl.len()) != 45), "1 of the study's 5 cells: .*1 of 20"),
    "no clean cell": (lambda f: f[20:], "1 of the study's 5 cells: none at severity 0"),
    "a cell too many": (at(20, corruption="fog", severity=5.0), "no cell fog at severity 5"),
    "probability above 1": (lambda f: at(50, probability_3=1.5)(as_probabilities(f)), "row 51: probability 1.5"),
    "probabilities that do not sum to 1": (lambda f: at(50, probability_3=0.9)(as_probabilities(f)), "row 51: .*sum"),
    "nothing finite": (lambda f: f.with_columns(logit_0=pl.lit(float("nan"))), "finite"),
    "another label": (lambda f: at(4, label=77)(labeled(f)), "row 5: label 77"),
    "no rows": (lambda f: f[:0], "no rows"),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_an_invalid_file_is_one_line_and_nothing_is_stored(change, said, small_import, tmp_path) -> None:
    change(small_frame()).write_parquet(tmp_path / "p.parquet", row_group_size=30)
    with pytest.raises(DataError, match=said) as caught:
        import_into(small_import, tmp_path / "p.parquet")
    assert "\n" not in str(caught.value)
    assert not list((small_import.parent / "out").rglob("results/*"))


@pytest.mark.test_all
def test_only_study_leaves_out_other_cells_and_an_alias_stands_for_its_corruption(small_import, tmp_path) -> None:
    frame = small_frame()
    foreign = frame[20:40].with_columns(corruption=pl.lit("fog"))
    beyond = frame[:20].with_columns(image_id=pl.int_range(400, 420))
    pl.concat([beyond, foreign, frame]).write_parquet(tmp_path / "more.parquet")
    report = import_into(small_import, tmp_path / "more.parquet", only_study=True)
    assert (report.written, report.left_out) == (5, 40)
    alias = pl.col("corruption").replace("glass_blur", "frosted_glass_blur")
    labeled(frame.with_columns(alias)).write_csv(tmp_path / "p.csv")
    again = import_into(small_import, tmp_path / "p.csv")
    assert (again.evaluation_id, again.written) == (report.evaluation_id, 0)
