"""`failmodes corrupt`: what it writes, that a killed run goes on to the same bytes, and how it refuses."""

from pathlib import Path

import pytest
from corrupted_sets import corrupt_command

ERRORS: dict[str, tuple[list[str], str]] = {
    "fraction in arrays": (["digits", "--severity", "2.5"], "--layout imagenet-c has a folder a severity"),
    "two severities in arrays": (["digits", "--severity", "1", "--severity", "2"], "all five"),
    "no number": (["digits", "--severity", "abc", "--layout", "imagenet-c"], "'abc' is no number"),
    "beyond 5": (["digits", "--severity", "7", "--layout", "imagenet-c"], "severity 7 is out of range"),
    "not a number": (["digits", "--severity", "nan", "--layout", "imagenet-c"], "out of range"),
    "clean": (["digits", "--severity", "0", "--layout", "imagenet-c"], "severity 0 is clean"),
    "unknown corruption": (["digits", "--corruption", "fogg"], "did you mean 'fog'?"),
    "switch": (["digits", "--corruption", "glass_blur", "--severity", "2.5", "--layout", "imagenet-c"],
               "or set --across-switches to cross-fade"),
    "unknown kind": (["cifar11"], "KIND: input should be 'digits', 'cifar10'"),
    "no path": (["cifar10"], "needs --path"),
    "missing path": (["cifar10", "--path", "nowhere"], "nowhere does not exist"),
    "unknown layout": (["digits", "--layout", "cifar"], "did you mean 'cifar-c'?"),
    "format of arrays": (["digits", "--format", "png"], "--format is for --layout imagenet-c"),
    "unknown format": (["digits", "--format", "webp", "--layout", "imagenet-c"], "expected jpeg or png"),
    "too many images": (["digits", "--images", "501"], "ask for 1 to 500"),
    "no images": (["digits", "--images", "0"], "--images: "),
    "unknown recipe": (["digits", "--recipe", "imagenet"], "--recipe: "),
    "unknown draws": (["digits", "--draws", "pair"], "--draws: "),
    "negative seed": (["digits", "--seed", "-1"], "--seed: "),
    "unknown split": (["digits", "--split", "val"], "--split: "),
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
