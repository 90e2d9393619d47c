"""Rows in a terminal, and as Markdown and LaTeX: whole, escaped, within the width, numbers to the right."""

import html
import io
import re
from datetime import UTC, datetime
from decimal import Decimal

import markdown_it
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len

from failmodes.analysis.render.row_formats import cell_text, format_rows, print_rows

MALICIOUS = r"a|b_c *d* `e` <b> [f](g) \ & % $ # { } ~ ^ _g_"
FRAME = pl.DataFrame({"model_label": ["ResNet-18", MALICIOUS], "accuracy": [0.5, None], "list": [[1, 2], []]})


def printed(output_format: str, *frames: pl.DataFrame) -> str:
    text = io.StringIO()
    assert print_rows(frames, text, output_format) == sum(frame.height for frame in frames)
    return text.getvalue()


def test_markdown_reads_back_as_it_was() -> None:
    page = markdown_it.MarkdownIt("commonmark").enable("table").render(printed("markdown", FRAME, FRAME))
    cells = [html.unescape(re.sub("</?code>", "", cell)) for cell in re.findall(r"<td.*?>(.*?)</td>", page)]
    assert cells == ["ResNet-18", "0.5", "[1, 2]", MALICIOUS, "", "[]"] * 2
    assert re.findall(r"<th.*?>(.*?)</th>", page) == ["model_label", "accuracy", "list"]
    assert 'style="text-align:right"' in page


def test_latex_has_one_tabular_with_the_rules_of_booktabs() -> None:
    text = printed("latex", FRAME, FRAME)
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    assert r"\begin{tabular}{lrl}" in text
    assert text.endswith("\\end{tabular}\n")
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert rows[0] == r"model\_label & accuracy & list \\"
    assert rows[1] == r"ResNet-18 & 0.5 & [1, 2] \\"
    assert len(rows) == 5


def test_nothing_that_latex_acts_on_is_left() -> None:
    line = printed("latex", FRAME).splitlines()[6]
    bare = re.sub(r"\\text[a-z]+\{\}|\\[&%$#_{}]", "", line.removesuffix(r" \\")).replace(" & ", "")
    assert not set(bare) & set("\\&%$#_{}~^<>|")


def test_controls_and_breaks_are_no_lines_of_their_own() -> None:
    frame = pl.DataFrame({"text": ["one\ntwo\x1b[2J"]})
    assert printed("markdown", frame).splitlines()[2] == r"| one two\\x1b[2J |"
    assert printed("latex", frame).count("\n") == 8


@pytest.mark.parametrize(
    "text", ["a|b", "a|b @x", "`` @x", "@`", "<img src=x> @x|", "see #12", "::error::x", "##[error]x"]
)
def test_no_text_breaks_a_row_of_markdown(text: str) -> None:
    rows = printed("markdown", pl.DataFrame({"text": [text], "n": [1]})).splitlines()
    assert [len(re.split(r"(?<!\\)\|", row)) for row in rows] == [4, 4, 4]
    assert "##[" not in rows[2]


@pytest.mark.parametrize("text", ["[2cm]", " * x", "*", "::error::x", ":\ufe0f:error::x", "[1, 2]"])
def test_no_cell_is_an_option_of_latex_or_a_command(text: str) -> None:
    head, first, second, *_ = printed("latex", pl.DataFrame({text: [text, text]})).splitlines()[3:]
    del head
    for row in (first, second):
        assert row.startswith(("{}", "\\midrule"))


VALUES = {
    None: "null", True: "true", 0.1 + 0.2: "0.3", 1.0000001: "1.0", 12345.678901: "12345.678901", 1e-9: "1.0000e-09",
    float("nan"): "nan", Decimal("2.500"): "2.5", 7: "7", "[bold]a[/]": "[bold]a[/]", b"x": "b'x'",
    tuple(range(12)): "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, …]", "x" * 1001: "x" * 1000 + "…", "霧": "霧",
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC): "2026-01-02 03:04:05+00:00",
}  # fmt: skip


@pytest.mark.parametrize(("value", "text"), VALUES.items())
def test_every_kind_of_value_has_a_text(value: object, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("text", ["\x1b[2J", "a\u202eb", "\x9b31m", "::error::x", "##[error]x", "[red]x[/]", ":smile:"])
def test_no_value_acts_on_a_terminal_or_a_ci_runner(text: str, vertical: bool) -> None:
    shown = format_rows([text], [(text,)], 40, vertical=vertical)
    assert all(line.isprintable() and not line.strip().startswith("::") for line in shown.splitlines())
    assert "##[" not in shown
    assert text in shown or not text.isprintable() or "##" in text or "::" in text


TEXTS = st.text(st.characters(categories=["L", "N"], include_characters=" _-"), max_size=30)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS), min_size=1, max_size=4), st.integers(40, 120))
@example([("", "", "00000000000"), ("", "0000000000", "00000000000")], 40)  # a column of one value
@example([("", "0000000000000000000々々 ", "00々々々々")], 53)  # a space that does not count, and no column to wrap
def test_no_letter_is_lost_and_no_line_too_wide(rows: list[tuple[str, str, str]], width: int) -> None:
    text = format_rows(["first_name", "second", "third"], rows, width)
    assert max(map(cell_len, text.splitlines())) <= width
    columns = zip(*rows, strict=True)  # a value that all rows have may be printed once
    letters = "".join("".join(column if len(set(column)) > 1 else column[:1]) for column in columns).replace(" ", "")
    assert all(text.count(letter) >= letters.count(letter) for letter in set(letters))
