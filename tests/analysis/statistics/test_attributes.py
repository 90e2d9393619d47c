"""Groups of images: values, quartiles and their SQL, beside counts in plain NumPy."""

from datetime import date, timedelta

import duckdb
import numpy as np
import polars as pl
import pytest

from failmodes.analysis.statistics.attributes import (
    IMAGES_WITH_CLASS,
    MISSING,
    attribute_columns,
    attribute_groups,
)
from failmodes.runtime.errors import StudyError

N = 997
RANDOM = np.random.default_rng(0)
NUMBERS = {
    "uniform": RANDOM.random(N),
    "single": RANDOM.random(N).astype(np.float32), "near_one": 1 + RANDOM.normal(0, 1e-9, N),
    "large": RANDOM.random(N) * 1e7, "negative": RANDOM.normal(-5, 100, N), "age": RANDOM.integers(0, 90, N),
}  # fmt: skip
TIED = {
    "mostly_zero": np.where(RANDOM.random(N) < 0.8, 0, RANDOM.integers(1, 90, N)),
    "mostly_full": np.minimum(RANDOM.integers(0, 90, N), 15), "mostly_one": np.maximum(RANDOM.random(N), 0.9),
}  # fmt: skip
FEW = {
    "camera": [("A", "O'Neil", None, 'a "b"')[image % 4] for image in range(N)], "indoors": RANDOM.random(N) < 0.5,
    "iso speed": 100 * RANDOM.integers(1, 5, N), "aspect": RANDOM.choice([0.75, 1, 4 / 3], N).astype(np.float32),
}  # fmt: skip
DAYS = [date(2024, 1, 1) + timedelta(int(day)) for day in RANDOM.integers(0, 900, N)]


@pytest.fixture(scope="module")
def con() -> duckdb.DuckDBPyConnection:
    keys = {"dataset_id": ["d"] * N, "image_id": np.arange(N, dtype=np.int32), "label": np.arange(N) % 3}
    rows = pl.DataFrame(keys | NUMBERS | TIED | FEW | {"day": DAYS, "empty": pl.Series([None] * N, dtype=pl.String)})
    lacking = pl.when(pl.col("image_id") % 9 == 0).then(None).otherwise(pl.col("age")).alias("age")
    con = duckdb.connect()
    con.register("images", rows.with_columns(lacking).to_arrow())
    con.execute("create table classes as select 'd' as dataset_id, i as class_index, 'c' || i as class_name "
                "from range(3) t(i)")  # fmt: skip
    return con


@pytest.mark.parametrize("column", [*NUMBERS, *TIED, *FEW, "day", "class_name", "empty"])
def test_conditions_choose_the_images_of_each_group(con: duckdb.DuckDBPyConnection, column: str) -> None:
    groups = attribute_groups(con, "d", column)
    assert len(set(groups.names)) == len(groups.names)
    for code, condition in enumerate(groups.conditions):
        found = con.sql(f"select image_id from {IMAGES_WITH_CLASS} where {condition} order by 1").fetchall()
        assert [image_id for (image_id,) in found] == groups.images(code).tolist() != []
    lacking = con.sql(f"select count(*) from images where {groups.missing_condition}").fetchall() if (
        column != "class_name") else [(0,)]  # fmt: skip
    assert [(groups.missing_count,)] == lacking
    assert groups.counts.sum() + groups.missing_count == N


@pytest.mark.parametrize("column", [*NUMBERS, "day"])
def test_numbers_and_dates_are_cut_into_quartiles(con: duckdb.DuckDBPyConnection, column: str) -> None:
    groups = attribute_groups(con, "d", column)
    assert groups.is_cut
    assert groups.counts / groups.counts.sum() == pytest.approx([0.25] * 4, abs=0.03)
    values = np.array(DAYS) if column == "day" else NUMBERS[column]
    of_groups = [values[groups.codes == code] for code in range(4)]
    assert all(low.max() < high.min() for low, high in zip(of_groups, of_groups[1:], strict=False))


def test_names_have_the_bounds() -> None:
    kept = np.arange(100)
    images = pl.DataFrame({"dataset_id": ["d"] * 100, "image_id": kept, "label": [0] * 100, "age": kept})
    other = duckdb.connect()
    other.register("images", images.with_columns(share=pl.col("age") / 100).to_arrow())
    other.execute("create table classes (dataset_id varchar, class_index int, class_name varchar)")
    assert attribute_groups(other, "d", "age").names == ("below 25", "25 to 49", "50 to 74", "75 and above")
    assert attribute_groups(other, "d", "share").names == (
        "below 0.25", "0.25 to 0.5", "0.5 to 0.75", "0.75 and above",
    )  # fmt: skip
    assert attribute_groups(other, "d", "age", kept[:60]).names[0] == "below 15", "quartiles are of these images"


def test_ties_are_in_one_group(con: duckdb.DuckDBPyConnection) -> None:
    counts = attribute_groups(con, "d", "mostly_full").counts
    assert counts.tolist() == [(TIED["mostly_full"] < 15).sum(), (TIED["mostly_full"] == 15).sum()]


def test_few_values_are_groups(con: duckdb.DuckDBPyConnection) -> None:
    groups = attribute_groups(con, "d", "camera")
    assert groups.names == ("A", "O'Neil", 'a "b"')
    assert groups.images(MISSING).tolist() == list(range(2, N, 4))
    assert attribute_groups(con, "d", "indoors").names == ("false", "true")
    assert attribute_groups(con, "d", "aspect").names == ("0.75", "1", "1.3333334")
    assert attribute_groups(con, "d", "class_name").names == ("c0", "c1", "c2")


def test_keys_are_no_attributes(con: duckdb.DuckDBPyConnection) -> None:
    assert {"class_name", "camera"} <= {*attribute_columns(con)}
    assert "image_id" not in attribute_columns(con)
    with pytest.raises(StudyError, match="did you mean 'camera'"):
        attribute_groups(con, "d", "camra")
