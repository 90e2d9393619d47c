"""Reading of predictions files: columns, formats and damaged files."""

from pathlib import Path

import pytest
from import_files import LOGITS, import_into

from failmodes.evaluate.import_predictions.predictions_file import find_columns
from failmodes.runtime.errors import DataError

HEADER = b"image_id,corruption,severity,"

DAMAGED: dict[str, tuple[str, bytes, str]] = {
    "no Parquet": ("p.parquet", b"hello", r"cannot be read as predictions"),
    "empty CSV": ("p.csv", b"", r"cannot be read as predictions"),
    "semicolons": ("p.csv", b"image_id;corruption;severity\n", r"separated by commas"),
    "letters": (
        "p.csv", HEADER + ",".join(LOGITS).encode() + b"\n0,none,0,a" + b",0" * 9, r"invalid value 'a'",
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
    with pytest.raises(DataError, match="the index or the name"):
        find_columns(Path("p.csv"), names, ("1", "0"), csv=True)
