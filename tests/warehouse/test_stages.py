"""The bar of long commands: there when it takes long and a terminal looks, and gone in the end."""

import io
import time
from contextlib import redirect_stderr, suppress
from pathlib import Path

import pytest
from installed_script import failmodes
from synthetic_results import Synthetic

from failmodes.warehouse import stages
from failmodes.warehouse.database.load import load


class Terminal(io.StringIO):
    """What a terminal is given."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(stages, "WAIT_S", 0.05)
    return Terminal()


def work(stage: str, count: int = 10) -> list[int]:
    done = []
    for item in stages.counted(stage, range(count)):
        time.sleep(0.03)
        done.append(item)
    return done


def test_what_takes_long_shows_its_stages_and_the_time_left(terminal: Terminal) -> None:
    with redirect_stderr(terminal), stages.stages_shown("load"):
        assert work("reading") == list(range(10))
        work("measuring", 20)
    shown = terminal.getvalue()
    assert "load: reading" in shown
    assert "load: measuring" in shown
    assert "0:00:0" in shown
    assert shown.endswith("\x1b[2K"), "nothing is left of it"


def test_what_is_short_shows_nothing(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "WAIT_S", 5)
    with redirect_stderr(terminal), stages.stages_shown("load"):
        work("reading", 2)
    assert terminal.getvalue() == ""


def test_nothing_is_reported_to_a_file(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "WAIT_S", 0.01)
    with stages.stages_shown("load"):
        work("reading")
    assert capsys.readouterr() == ("", "")


def test_a_command_within_another_has_no_bar_of_its_own(terminal: Terminal) -> None:
    with redirect_stderr(terminal), stages.stages_shown("run"):
        with stages.stages_shown("load"):
            work("reading")
        work("drawing")
    assert "load:" not in terminal.getvalue()
    assert "run: drawing" in terminal.getvalue()


def test_an_error_takes_the_bar_away(terminal: Terminal) -> None:
    with redirect_stderr(terminal), suppress(KeyboardInterrupt), stages.stages_shown("load"):
        work("reading")
        raise KeyboardInterrupt
    shown = terminal.getvalue()
    time.sleep(0.2)
    assert terminal.getvalue() == shown


def test_in_python_nothing_is_reported() -> None:
    assert list(stages.counted("reading", iter("abc"))) == ["a", "b", "c"]


@pytest.mark.slow
def test_a_load_reports_its_stages(synthetic: Synthetic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int, int | None]] = []
    monkeypatch.setattr(stages, "_report", lambda *what: calls.append(what))
    load([synthetic.output], tmp_path / "w.duckdb")
    assert list(dict.fromkeys(stage for stage, _, _ in calls)) == [
        "reading prediction_facts", "reading attention", "computing metrics", "checking",
    ]  # fmt: skip
    assert calls.count(("reading prediction_facts", 52, 52)) == 1


def test_output_to_files_has_neither_bar_nor_advice(handed: Path) -> None:
    done = failmodes("shapes", folder=handed)
    assert "next:" not in done.stdout + done.stderr
    assert done.stderr == ""
