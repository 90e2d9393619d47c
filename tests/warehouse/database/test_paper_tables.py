"""Answers as Markdown and LaTeX: whole, escaped, numbers to the right."""

import io
import re

import markdown_it
import polars as pl
import pytest

from failmodes.warehouse.database.answers import format_of, print_rows
from failmodes.warehouse.errors import QueryError

HOSTILE = r"a|b_c *d* `e` <b> [f](g) \ & % $ # { } ~ ^ _g_"
FRAME = pl.DataFrame({"model_label": ["ResNet-18", HOSTILE], "accuracy": [0.5, None], "list": [[1, 2], []]})


def printed(output_format: str, *frames: pl.DataFrame) -> str:
    text = io.StringIO()
    assert print_rows(frames, text, output_format) == sum(frame.height for frame in frames)
    return text.getvalue()


def test_markdown_reads_back_as_it_was() -> None:
    html = markdown_it.MarkdownIt("commonmark").enable("table").render(printed("markdown", FRAME, FRAME))
    cells = [re.sub("&lt;", "<", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", html)]
    cells = [cell.replace("&gt;", ">").replace("&amp;", "&").replace("&quot;", '"') for cell in cells]
    assert cells == ["ResNet-18", "0.5", "[1, 2]", HOSTILE, "", "[]"] * 2
    assert re.findall(r"<th.*?>(.*?)</th>", html) == ["model_label", "accuracy", "list"]
    assert 'style="text-align:right"' in html


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
    assert printed("markdown", frame).splitlines()[2] == r"| one two\\x1b\[2J |"
    assert printed("latex", frame).count("\n") == 8


@pytest.mark.parametrize("output_format", ["markdown", "latex", "csv", "json"])
def test_an_answer_without_rows_has_its_columns(output_format: str) -> None:
    text = printed(output_format, FRAME.clear())
    assert text == "[]\n" if output_format == "json" else "accuracy" in text


def test_the_format_is_the_one_asked_for_or_that_of_the_name(tmp_path) -> None:
    assert format_of(tmp_path / "a.tex") == "latex"
    assert format_of(tmp_path / "a.txt", "markdown") == "markdown"
    with pytest.raises(QueryError, match=r"a\.csv is by its name csv, and --format asks for json"):
        format_of(tmp_path / "a.csv", "json")
