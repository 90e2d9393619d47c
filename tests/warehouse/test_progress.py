"""Progress: a bar when work takes long and a terminal looks, a line a minute in a log, and nothing left in the end."""

import io
import time
from contextlib import redirect_stderr, suppress
from pathlib import Path

import pytest
from installed_script import failmodes
from synthetic_results import Synthetic

from failmodes.warehouse import progress
from failmodes.warehouse.database.load import load
from failmodes.warehouse.progress import ProgressBar, counted, stages_shown


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


def test_long_work_shows_its_stages_under_one_command_and_leaves_results_alone(
    terminal: Terminal, capsys: pytest.CaptureFixture[str]
) -> None:
    with redirect_stderr(terminal), stages_shown("run"):
        with stages_shown("load"):
            assert work("reading") == list(range(10))
        work("measuring", 20)
        print("a,b")
    shown = terminal.getvalue()
    assert all(text in shown for text in ("run: reading", "run: measuring", "0:00:0"))
    assert not [text for text in ("load:", "a,b") if text in shown]
    assert shown.endswith("\x1b[2K"), "nothing is left of it"
    assert capsys.readouterr().out == "a,b\n"


def test_short_work_and_what_is_not_asked_for_shows_nothing(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    with redirect_stderr(terminal), ProgressBar("train", show=False) as bar:
        for done in range(4):
            time.sleep(0.03)
            bar.update(done, 4)
    monkeypatch.setattr(progress, "WAIT_S", 5)
    with redirect_stderr(terminal), stages_shown("load"):
        work("reading", 2)
    assert terminal.getvalue() == ""
    assert list(counted("reading", iter("abc"))) == ["a", "b", "c"]


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


@pytest.mark.parametrize("label", ["[/]", "[red]x", "\x1b[2J", "{task}", "::error::x"])
def test_labels_are_text(terminal: Terminal, label: str) -> None:
    with redirect_stderr(terminal), ProgressBar("train") as bar:
        for done in range(4):
            time.sleep(0.03)
            bar.update(done, 4, f"epochs of {label}", label)
    assert label.replace("\x1b", "\\x1b") in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue()


def test_an_error_removes_the_bar(terminal: Terminal) -> None:
    with redirect_stderr(terminal), suppress(KeyboardInterrupt), stages_shown("load"):
        work("reading")
        raise KeyboardInterrupt
    shown = terminal.getvalue()
    time.sleep(0.2)
    assert terminal.getvalue() == shown
    assert shown.endswith("\x1b[2K")


def test_a_load_reports_its_stages(results: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr(progress, "_report", lambda *what: calls.append(what))
    load([results.output], tmp_path / "w.duckdb")
    assert list(dict.fromkeys(stage for stage, _, _ in calls)) == [
        "reading prediction_facts", "reading attention", "computing metrics", "checking",
    ]  # fmt: skip
    assert calls.count(("reading prediction_facts", 11, 11)) == 1


def test_output_to_files_has_neither_bar_nor_advice(handed: Path) -> None:
    done = failmodes("shapes", folder=handed)
    assert "next:" not in done.stdout
    assert done.stderr == ""
