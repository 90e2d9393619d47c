"""Answers as Markdown and LaTeX: whole, escaped, numbers to the right."""

import html
import io
import re

import markdown_it
import polars as pl
import pytest

from failmodes.analysis.render.row_formats import print_rows

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
