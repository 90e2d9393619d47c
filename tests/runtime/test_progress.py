"""Progress: a bar when work takes long and a terminal looks, a line a minute in a log, and nothing left in the end."""

import io
import time
from contextlib import redirect_stderr, suppress

import pytest

from failmodes.runtime import progress
from failmodes.runtime.progress import ProgressBar, counted, stages_shown


class Terminal(io.StringIO):
    """What a terminal is given."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(progress, "WAIT_S", 0.05)
    return Terminal()


def work(stage: str, count: int = 10) -> list[int]:
    done = []
    for item in counted(stage, range(count)):
        time.sleep(0.03)
        done.append(item)
    return done


def test_long_work_shows_its_stages_leaves_results_alone_and_nothing_after_an_error(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    with redirect_stderr(terminal), suppress(KeyboardInterrupt), stages_shown("run"), stages_shown("load"):
        assert work("reading") == list(range(10))
        print("a,b")
        work("measuring")
        raise KeyboardInterrupt
    shown = terminal.getvalue()
    assert "run: reading" in shown
    assert "run: measuring" in shown
    assert "a,b" not in shown
    assert shown.endswith("\x1b[2K"), "nothing is left of it"
    assert capsys.readouterr().out == "a,b\n"


def test_a_log_gets_a_line_in_a_while_with_the_speed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "WAIT_S", 0.01)
    with stages_shown("load"):
        work("reading")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(progress, "LOG_LINE_S", 0.0)
    with ProgressBar("evaluate", "images") as bar:
        for done in (0, 500, 1000):
            time.sleep(0.01)
            bar.update(done, 2000, f"{done // 500}/4 shards")
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("evaluate: 50%, 2/4 shards, ")
    assert "images/s" in last


@pytest.mark.test_all
@pytest.mark.parametrize("label", ["[/]", "[red]x", "\x1b[2J", "{task}", "::error::x"])
def test_labels_are_text(terminal: Terminal, label: str) -> None:
    with redirect_stderr(terminal), ProgressBar("train") as bar:
        for done in range(4):
            time.sleep(0.03)
            bar.update(done, 4, f"epochs of {label}", label)
    assert label.replace("\x1b", "\\x1b") in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()
