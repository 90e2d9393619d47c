"""Lines on a terminal break between words, in a file they stay whole; no line is a command to a CI runner."""

import io
import json
import re
from xml.etree import ElementTree

import pytest

from failmodes.runtime.terminal import (
    json_without_commands,
    note,
    print_json,
    say,
    stdout_console,
    suggest,
    without_commands,
    xml_without_commands,
)

LINE = "Contrast costs both models most: 88.0 points [84.4, 90.6] for DenseNet-121 and 87.6 points for ResNet-18"


class Stream(io.StringIO):
    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self.is_terminal = terminal

    def isatty(self) -> bool:
        return self.is_terminal


def streams(monkeypatch: pytest.MonkeyPatch, columns: int, terminal: bool) -> tuple[Stream, Stream]:
    """What standard output and standard error are given from now on."""
    for name in ("FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "JUPYTER_COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    out, err = Stream(terminal=terminal), Stream(terminal=terminal)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.stderr", err)
    return out, err


@pytest.mark.parametrize("terminal", [True, False])
def test_words_stay_whole(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    given = streams(monkeypatch, 40, terminal)
    stdout_console().print(LINE)
    note(LINE)
    for stream in given:
        lines = stream.getvalue().splitlines()
        assert " ".join(line.strip() for line in lines) == LINE
        assert max(map(len, lines)) <= 40 if stream.is_terminal else len(lines) == 1


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize("text", ["::error::x", " ::add-mask::x", "a ##[error]x", f"{'word ' * 20}::error::x"])
def test_no_line_is_a_command_to_a_ci_runner(monkeypatch: pytest.MonkeyPatch, text: str, terminal: bool) -> None:
    given = streams(monkeypatch, 102, terminal)  # the last text breaks before its command
    stdout_console().print(text, style="dim", width=102)
    for write in (say, note, suggest):
        write(text)
    say(f"x\n{text}")
    print_json({text: text})
    for stream in given:
        assert stream.getvalue()
        for line in stream.getvalue().splitlines():
            assert not re.sub(r"\x1b\[[0-9;]*m", "", line).strip().startswith("::")
            assert "##[" not in line


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
