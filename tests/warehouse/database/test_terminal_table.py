"""Rows for the eye: within the terminal's width, no word broken while that can be helped, nothing lost."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from failmodes.warehouse.database.query import FirstRows
from failmodes.warehouse.database.terminal_table import _outer_width, _shared_widths, format_table

NAMES = ["model_label", "corruption_label", "severity", "mean_accuracy", "note"]
ROWS = [
    ("ResNet-18", "Gaussian noise", 5, 0.383333, "loses most of what it had at once"),
    ("DenseNet-121", "Motion blur", 4, None, "falls evenly"),
]
FIRST = FirstRows(NAMES, ROWS, 2)
WORDS = ["ResNet-18", "DenseNet-121", "Gaussian", "Motion", "0.383333", "null", "evenly", "loses"]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_lines_keep_within_the_width_and_words_stay_whole(width: int) -> None:
    text = format_table(FIRST, width)
    assert max(map(len, text.splitlines())) <= width
    for word in WORDS:
        assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text), word


def test_the_form_follows_from_the_width() -> None:
    wide, narrow, narrowest = (format_table(FIRST, width) for width in (200, 80, 40))
    assert len(wide.splitlines()) == 4 + 2
    assert narrow.startswith("┌")
    assert len(narrow.splitlines()) > 4 + 2
    assert narrowest.startswith("── row 1 ──")


def test_names_break_after_an_underscore_alone() -> None:
    head = format_table(FirstRows(["mean_confidence_here"], [("x",)], 1), 16).splitlines()[1:3]
    assert [line.strip("│ ") for line in head] == ["mean_", "confidence_"]


def test_records_have_a_line_a_column() -> None:
    lines = format_table(FIRST, 80, vertical=True).splitlines()
    assert len(lines) == 2 * (1 + len(NAMES))
    assert lines[1].split() == ["model_label", "ResNet-18"]
    assert lines[4].split() == ["mean_accuracy", "0.383333"]
    assert format_table(FIRST, 40, vertical=False).startswith("┌")


def test_a_long_value_of_a_record_goes_on_beneath_itself() -> None:
    text = " ".join(["word"] * 30)
    lines = format_table(FirstRows(["name"], [(text,)], 1), 40, vertical=True).splitlines()
    assert all(line.startswith("      word") for line in lines[2:])
    assert sum(line.count("word") for line in lines) == 30


def test_where_even_names_are_wide_values_stand_beneath_them() -> None:
    lines = format_table(FirstRows(["a_name_that_is_rather_long"], [("value",)], 1), 30, vertical=True).splitlines()
    assert lines[1:] == ["a_name_that_is_rather_long", "  value"]


def test_no_rows_are_said_to_be_none() -> None:
    assert format_table(FirstRows(NAMES, [], 0), 10, vertical=True) == "no rows\n"
    assert format_table(FirstRows(["a"], [], 0), 80).count("\n") == 4


TEXTS = st.text(st.characters(categories=["L", "N"], include_characters=" _-"), max_size=30)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), st.integers(24, 120))
def test_no_letter_is_lost_and_no_line_too_wide(rows: list[tuple[str, str, str]], width: int) -> None:
    from rich.cells import cell_len

    text = format_table(FirstRows(["first_name", "second", "third"], rows, len(rows)), width)
    assert max(map(cell_len, text.splitlines())) <= width
    letters = sorted("".join("".join(row) for row in rows).replace(" ", ""))
    drawn = text
    for letter in set(letters):
        assert drawn.count(letter) >= letters.count(letter)


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), min_size=1, max_size=8), st.integers(8, 200))
def test_widths_fill_the_space_and_no_more(columns: list[tuple[int, int]], space: int) -> None:
    least = [narrow for narrow, _ in columns]
    widths = [narrow + more for narrow, more in columns]
    shared = _shared_widths(widths, least, space)
    if sum(least) <= space:
        assert sum(shared) == min(space, sum(widths))
        assert all(a <= b <= c for a, b, c in zip(least, shared, widths, strict=True))
    else:
        assert sum(shared) <= max(space, len(columns))


def test_the_lines_between_columns_are_counted() -> None:
    line = format_table(FirstRows(["a", "b"], [("xx", "yyy")], 1), 80).splitlines()[0]
    assert len(line) == _outer_width([2, 3])
