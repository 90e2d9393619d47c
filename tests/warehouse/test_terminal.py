"""Lines on a terminal break between words; in a file they stay whole."""

import io
import re

import pytest

from failmodes.warehouse.terminal import note, print_json, say, stdout_console, suggest

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
