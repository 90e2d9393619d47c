"""Reading of predictions files: columns, formats and damaged files."""

import polars as pl
import pytest
from import_files import LOGITS, import_into

from failmodes.evaluate.tables.reading import PredictionTable, read_tables
from failmodes.evaluate.tables.study_rows import class_order
from failmodes.runtime.errors import DataError

HEADER = b"image_id,corruption,severity,"

DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "no Parquet": ("p.parquet", b"hello", r"cannot be read as predictions"),
    "empty CSV": ("p.csv", b"", r"cannot be read as predictions"),
    "semicolons": ("p.csv", b"image_id;corruption;severity\n", r"separated by commas"),
    "letters": (
        "p.csv", HEADER + ",".join(LOGITS).encode() + b"\n0,none,0,a" + b",0" * 9, r"Row #2: CSV conversion error",
    ),
    "a list in CSV": ("p.csv", HEADER + b'logits\n0,none,0,"[1]"', r"no lists: use one column per class, logit_0"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "content", "said"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_one_line(name, content, said, small_import, tmp_path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said) as caught:
        import_into(small_import, tmp_path / name)
    assert "\n" not in str(caught.value)


CLASSES = ("cat", "dog", "owl")
KEYS = ["image_id", "corruption", "severity"]

ORDERS = {
    "by index": (["logit_2", "logit_0", "logit_1"], [1, 2, 0], CLASSES),
    "by name": (["logit_dog", "logit_owl", "logit_cat"], [2, 0, 1], CLASSES),
    "names are the indices": (["logit_1", "logit_0"], [1, 0], ("0", "1")),
    "logits before probabilities": (["probability_0", "probability_1", "logit_0", "logit_1"], [0, 1], ("0", "1")),
}


def table_of(names: list[str]) -> PredictionTable:
    return read_tables([pl.DataFrame({name: [0.5] for name in [*KEYS, *names]})], {}, ())


@pytest.mark.parametrize(("names", "order", "classes"), ORDERS.values(), ids=ORDERS)
def test_columns_are_put_in_the_order_of_the_classes(names, order, classes) -> None:
    table = table_of(names)
    assert table.columns.kind == "logits"
    assert class_order(table, classes).tolist() == order


def test_numbers_that_are_names_in_another_order_are_refused() -> None:
    with pytest.raises(DataError, match="the index or the name"):
        class_order(table_of(["logit_0", "logit_1"]), ("1", "0"))
