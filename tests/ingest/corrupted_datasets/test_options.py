"""`failmodes corrupt`: how it refuses wrong options."""

from pathlib import Path

import pytest
from corrupted_datasets import corrupt_command

ERRORS: dict[str, tuple[list[str], str]] = {
    "fraction in arrays": (["digits", "--severity", "2.5"], "--layout imagenet-c has a folder a severity"),
    "two severities in arrays": (["digits", "--severity", "1", "--severity", "2"], "all five"),
    "no number": (["digits", "--severity", "abc", "--layout", "imagenet-c"], "'abc' is no number"),
    "beyond 5": (["digits", "--severity", "7", "--layout", "imagenet-c"], "severity 7 is out of range"),
    "clean": (["digits", "--severity", "0", "--layout", "imagenet-c"], "severity 0 is clean"),
    "unknown corruption": (["digits", "--corruption", "fogg"], "did you mean 'fog'?"),
    "switch": (["digits", "--corruption", "glass_blur", "--severity", "2.5", "--layout", "imagenet-c"],
               "or set --across-switches to cross-fade"),
    "no path": (["cifar10"], "needs --path"),
    "missing path": (["cifar10", "--path", "nowhere"], "nowhere does not exist"),
    "format of arrays": (["digits", "--format", "png"], "--format is for --layout imagenet-c"),
    "too many images": (["digits", "--images", "501"], "ask for 1 to 500"),
    "negative seed": (["digits", "--seed", "-1"], "--seed: "),
    "size of digits": (["digits", "--image-size", "224"], "--image-size is for kind 'folder'"),
    "within the clean images": (["folder", "--path", "."], "lies within the clean images"),
    "own corruption that is not there": (["digits", "--corruption", "nowhere:vignette"], "cannot be imported"),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_bad_options_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, name: str
) -> None:
    arguments, message = ERRORS[name]
    monkeypatch.chdir(tmp_path)
    assert corrupt_command(monkeypatch, *arguments, "--to", "set") in (1, 2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("failmodes: ")
    assert message in printed.err
    assert not list(tmp_path.iterdir())
