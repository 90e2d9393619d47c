"""No line is a command to a CI runner, and documents mean the same."""

import json
import re
from xml.etree import ElementTree

import pytest

from failmodes.warehouse.terminal import json_without_commands, without_commands, xml_without_commands

COMMANDS = {
    "error": ("::error::x", r"\::error::x"),
    "indented": (" \t\u3000::add-mask::x", " \t\u3000\\::add-mask::x"),
    "second line": ("x\n::set-output name=a::b", "x\n\\::set-output name=a::b"),
    "carriage return": ("x\r::error::y", "x\r\\::error::y"),
    "after blank lines": ("\n\n  ::group::", "\n\n  \\::group::"),
    "color first": ("\x1b[1;31m::error::x", "\x1b[1;31m\\::error::x"),
    "old form": ("##[error]x", r"#\#[error]x"),
    "old form within": ("a ##[set-output name=b]c", r"a #\#[set-output name=b]c"),
    "three sharps": ("###[error]", r"##\#[error]"),
    "Azure": ("a ##vso[task.complete]", r"a #\#vso[task.complete]"),
    "TeamCity": ("##teamcity[buildStop]", r"#\#teamcity[buildStop]"),
    "ignored letters": ("\u00ad:\u200d\ufe0f:error", "\u00ad\\:\u200d\ufe0f:error"),
    "ignored between sharps": ("#\u2060#\ufe0f[error]", "#\\\u2060#\ufe0f[error]"),
}
PLAIN = ["", "std::vector", "a ::error::", "### heading", "C# #1 [x]", "##", "a\nb", "é: x", ":\n:", "#0a0a0a [x]"]


@pytest.mark.parametrize(("text", "expected"), COMMANDS.values(), ids=COMMANDS)
def test_commands_end(text: str, expected: str) -> None:
    assert without_commands(text) == expected
    assert without_commands(expected) == expected


@pytest.mark.parametrize("text", PLAIN)
def test_other_text_stays(text: str) -> None:
    assert without_commands(text) == text


@pytest.mark.parametrize("text", [text for text, _ in COMMANDS.values()])
def test_documents_mean_the_same(text: str) -> None:
    document = json_without_commands(json.dumps({text: [text]}, ensure_ascii=False))
    assert json.loads(document) == {text: [text]}
    element = ElementTree.Element("a", name=(valid := text.replace("\x1b", "")))
    element.text = valid.replace("\r", " ")
    written = xml_without_commands(ElementTree.tostring(element, encoding="unicode"))
    read = ElementTree.fromstring(written)
    assert (read.get("name"), read.text) == (valid, valid.replace("\r", " "))
    assert not any(re.search(r"##[\w.]*\[", one) for one in (document, written))
