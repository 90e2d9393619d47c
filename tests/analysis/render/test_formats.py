"""Documents in every format: whatever labels hold is only shown, and a format is one module."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from page_elements import Elements

from failmodes.analysis.render.blocks import (
    Case,
    Chart,
    Document,
    Gallery,
    ImageStrip,
    Section,
    Sentence,
    StripFrame,
    Table,
    TableCell,
)
from failmodes.analysis.render.documents import Rendered, output_formats, render
from failmodes.analysis.render.formats.html import render_blocks
from failmodes.analysis.render.formats.markdown import escape, table_lines
from failmodes.runtime.errors import StudyError, printable
from failmodes.runtime.terminal import without_commands

HOSTILE = {
    "markup": "a|b <img src=x onerror=alert(1)> <script>alert(1)</script> `code` *x* _y_ ~~z~~ [x](e) ![](y)",
    "lines": "x\n\n# heading\n- item\n1. one\n---\n> quoted\n```\ncode\n</details>",
    "mentions": "@someone #12 GH-12 org/repo#3 www.e.org http://e.org a@b.org :smile: $x$ &lt; <!-- x -->",
    "controls": "\x1b[31mred\x1b]0;title\x07 \u202e\u2066 \x9b2J \ufffe \x00 [bold]b[/bold]",
    "commands": "::error::no\n  ::add-mask::x\n##[error]x ##vso[task.complete] ##teamcity[x] ]]> {{ x }} {% x %}",
    "long": "y" * 100_000 + " z" * 100_000,
}
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])
SAFE_HTML = {"<sub>", "</sub>", "</details>"}
ELEMENTS = {"html", "meta", "title", "body", "div", "section", "p", "b", "small", "bdi", "span", "ul", "li", "table",
            "thead", "tbody", "tr", "th", "td", "details", "summary", "h3", "h4"}  # fmt: skip
ATTACK = "'\"></script><img src=x onerror=alert(1)>&amp;"


class Result(Rendered):
    """A result whose every text is the given one."""

    def __init__(self, text: str) -> None:
        self.text = text

    @property
    def document(self) -> Document:
        text = self.text
        table = Table(
            text, text, (text, "n"), ((TableCell(text, text), TableCell(text)), (TableCell(text), TableCell("1", text)))
        )
        sentences = [Sentence(text, role) for role in ("lead", "plain", "item", "item", "note")]
        blocks = (*sentences, table, Section(text, (table,), is_folded=True), Section(text, (Sentence(text),)))
        cases = tuple(Case(text, text, outcome, text, text) for outcome in ("passed", "failure", "error", "skipped"))
        return Document(text, blocks, {"key": [text, {"inner": text}], "not finite": float("nan")}, cases)


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.test_all
@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("format", sorted(output_formats()))
def test_hostile_labels_do_no_harm(format: str, name: str) -> None:
    text = HOSTILE[name]
    written = render(Result(text).document, format)
    for letter in set(written) - {"\n"}:
        assert printable(letter) == letter, f"{letter!r} reaches the terminal"
    assert without_commands(written) == written
    check = {"html": check_html, "json": check_json, "junit": check_junit, "markdown": check_markdown}
    check.get(format, check_text)(written, text)


def check_text(written: str, text: str) -> None:
    assert len(written) < 60_000


def check_html(written: str, text: str) -> None:
    page = Elements(written)
    assert page.tags <= ELEMENTS
    assert words(printable(text, len(text))) in words(page.text)


def check_json(written: str, text: str) -> None:
    assert json.loads(written) == {"key": [text, {"inner": text}], "not finite": None}


def check_junit(written: str, text: str) -> None:
    (suite,) = ElementTree.fromstring(written)
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "1", "1", "1"]
    assert [[child.tag for child in case] for case in suite] == [["system-out"], ["failure"], ["error"], ["skipped"]]
    assert suite[1][0].get("message") == printable(text, len(text)).replace("\ufffe", "\ufffd")


def check_markdown(written: str, text: str) -> None:
    assert len(written) < 60_000
    tokens = MARKDOWN.parse(written)
    assert [token.tag for token in tokens if token.type == "heading_open"] == [
        "h3"
    ]  # of the section that is not folded
    assert {token.content for token in all_of(tokens) if token.type == "html_inline"} <= SAFE_HTML
    blocks = [token.content for token in tokens if token.type == "html_block"]
    assert [re.sub("<summary>.*</summary>", "", block, flags=re.DOTALL).strip() for block in blocks] == [
        "<details>",
        "</details>",
    ]
    kinds = {token.type.removesuffix("_open").removesuffix("_close") for token in all_of(tokens)}
    assert not kinds & {"link", "image", "em", "s", "fence", "code_block", "blockquote", "ordered_list", "hr"}
    for row in re.findall(r"(?:^\|.*\n)+", written, re.MULTILINE):  # a bar after a backslash parts no cells
        assert {len(re.split(r"(?<!\\)\|", line)) for line in row.splitlines()} == {4}


def all_of(tokens: list[Token]) -> list[Token]:
    return [one for token in tokens for one in (token, *all_of(token.children or []))]


SYNTAX = [
    *"\\`*_<>|[]()!#+-=.:@&$ \n", "~~", "    ", "a", "b1", "1.", "2)", "http://x", "www.x", "<b>", "&lt;", "&#33;",
    "](", "![", "[x]:", "```", "---", "===", "::", "##[", "\u00e9", "\u00a0", "\u202e", "\x1b", "[ ]", "<!--",
    "GH-1", "#12",
]  # fmt: skip
TEXTS = st.one_of(st.lists(st.sampled_from(SYNTAX), max_size=14).map("".join), st.text(max_size=30))


def shown(text: str) -> str:
    """What a reader is to see of a text that holds no command of a CI runner."""
    line = printable(text).replace("\u00a0", " ")
    assume(without_commands(line) == line)
    return words(line)


def content_of(tokens: list[Token]) -> str:
    """The text of tokens, which must be text and code alone."""
    assert {token.type for token in tokens} <= {"text", "code_inline", "text_special"}
    return words("".join(token.content for token in tokens))


@given(TEXTS)
def test_of_escaped_text_markdown_shows_what_was_given(text: str) -> None:
    expected = shown(text)
    tokens = MARKDOWN.parse(escape(text))
    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"] * bool(expected)
    assert not expected or content_of(tokens[1].children or []) == expected


@given(TEXTS, TEXTS)
def test_a_cell_of_a_markdown_table_shows_what_was_given(one: str, other: str) -> None:
    lines = table_lines(Table("", "", ("x", "y"), ((TableCell(one), TableCell(other)),)))
    cells = [content_of(token.children or []) for token in MARKDOWN.parse("\n".join(lines)) if token.type == "inline"]
    assert cells == ["x", "y", shown(one), shown(other)]


def test_a_result_prints_and_is_saved_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Result("plain")
    assert str(result) == repr(result) == result.to_text().rstrip("\n")
    assert "plain" in result._repr_html_()
    for name, format in output_formats().items():
        path = result.save(tmp_path / f"result{format.SUFFIX}")
        assert path.read_text(encoding="utf-8") == render(result.document, name)
    with pytest.raises(StudyError, match=r"ends in \.docx, expected a file name that ends in"):
        result.save(tmp_path / "result.docx")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)  # where rich would show it at once, line by line
    assert str(result) == result.to_text().rstrip("\n")


def strip(text: str) -> ImageStrip:
    return ImageStrip(
        text, text, "data:,", 8, 8, (StripFrame("clean", text, text, True), StripFrame("1", text, text, False))
    )


def test_elements_are_well_nested_and_no_text_is_markup() -> None:
    blocks = (
        Sentence(ATTACK, "item", ATTACK), Sentence(ATTACK, "item"), Sentence(ATTACK, "note"), Sentence(ATTACK, "lead"),
        Table(ATTACK, ATTACK, (ATTACK,), ((TableCell(ATTACK, ATTACK),),)),
        Chart(ATTACK, ATTACK, ATTACK, {ATTACK: [{ATTACK: ATTACK}]}, {"page": {"mark": ATTACK}}),
        Gallery((strip(ATTACK),), ATTACK, {ATTACK: (ATTACK,)}), strip(ATTACK),
        Section(ATTACK, (Sentence(ATTACK, "item"),), is_folded=True),
    )  # fmt: skip
    page = render_blocks([*blocks, Section(ATTACK, blocks)])
    elements = Elements(page)
    assert elements.stack == []
    assert {attributes.get("src") for tag, attributes, _ in elements.found if tag == "img"} == {"data:,"}
    assert {within for tag, _, within in elements.found if tag == "li"} == {"ul", "ol"}
    stored = [attributes["data-strip"] for _, attributes, _ in elements.found if "data-strip" in attributes]
    assert {json.loads(text or "")["frames"][0][1] for text in stored} == {ATTACK}
    datasets = re.findall(r'<script type="application/json" class="data">(.*?)</script>', page)
    assert [json.loads(text) for text in datasets] == [{ATTACK: [{ATTACK: ATTACK}]}] * 2
