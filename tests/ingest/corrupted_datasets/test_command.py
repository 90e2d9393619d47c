"""`failmodes corrupt`: its options, one writer at a time, what a killed run continues to, which folders are refused."""

import fcntl
import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import DIGITS, LAYOUTS, contents, set_options
from run_commands import run

from failmodes.ingest import sources
from failmodes.ingest.corrupted_datasets import set_writer
from failmodes.ingest.corrupted_datasets.command import locked_work_folder, write_corrupted_dataset
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.datasets.layout import DatasetSpec
from failmodes.runtime.errors import Interrupted, StorageError, StudyError


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    lock = tmp_path / "set" / ".failmodes" / "lock"
    with locked_work_folder(tmp_path / "set"):
        with pytest.raises(StorageError, match="is being written by another process: wait for it"):
            write_corrupted_dataset(DIGITS, set_options(corruptions=["fog"]), tmp_path / "set")
        with lock.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (tmp_path / "set").exists(), "nothing was begun, nothing is left"


ERRORS: dict[str, tuple[list[str], str]] = {
    "fraction in arrays": (["digits", "--severity", "2.5"], "--layout imagenet-c has one folder per severity"),
    "two severities in arrays": (["digits", "--severity", "1", "--severity", "2"], "all five"),
    "no number": (["digits", "--severity", "abc", "--layout", "imagenet-c"], "'abc' is not a number"),
    "beyond 5": (["digits", "--severity", "7", "--layout", "imagenet-c"], "severity 7 is out of range"),
    "clean": (["digits", "--severity", "0", "--layout", "imagenet-c"], "severity 0 is clean"),
    "unknown corruption": (["digits", "--corruption", "fogg"], "did you mean 'fog'?"),
    "switch": (["digits", "--corruption", "glass_blur", "--severity", "2.5", "--layout", "imagenet-c"],
               "or set --across-switches to cross-fade"),
    "no path": (["cifar10"], "needs --path"),
    "missing path": (["cifar10", "--path", "nowhere"], "nowhere does not exist"),
    "format of arrays": (["digits", "--format", "png"], "--format is for --layout imagenet-c"),
    "list of arrays": (["digits", "--list"], "--list is for --layout imagenet-c"),
    "too many images": (["digits", "--images", "501"], "request 1 to 500"),
    "negative seed": (["digits", "--seed", "-1"], "--seed: "),
    "size of digits": (["digits", "--image-size", "224"], "--image-size is for kind 'folder'"),
    "within the clean images": (["folder", "--path", "."], "lies within the clean images"),
    "own corruption that is not there": (["digits", "--corruption", "nowhere:vignette"], "cannot be imported"),
}  # fmt: skip


@pytest.mark.parametrize(("recipe", "warnings"), [("imagenet-c", 1), ("cifar-c", 0)])
def test_a_recipe_for_another_size_is_a_warning(tmp_path: Path, recipe: str, warnings: int) -> None:
    few = ["--images", "10", "--corruption", "fog", "--severity", "1", "--layout", "imagenet-c"]
    done = run("corrupt", "digits", *few, "--recipe", recipe, "--to", "set", folder=tmp_path)
    assert done.stderr.count("warning: recipe") == warnings


@pytest.mark.parametrize("name", ERRORS)
def test_bad_options_are_one_line_and_leave_nothing(tmp_path: Path, name: str) -> None:
    arguments, message = ERRORS[name]
    done = run("corrupt", *arguments, "--to", "set", folder=tmp_path, expect=None)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("failmodes: ")
    assert message in line
    assert not list(tmp_path.iterdir())


def test_more_can_be_added_and_nothing_is_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_corrupted_dataset(
        DIGITS, set_options(layout="imagenet-c", corruptions=["fog"], severities=["1"]), tmp_path / "set"
    )
    before = (tmp_path / "set" / "fog" / "1").stat().st_mtime_ns
    write_corrupted_dataset(
        DIGITS,
        set_options(layout="imagenet-c", corruptions=["fog", "contrast"], severities=["1", "3"]),
        tmp_path / "set",
    )
    assert "3 corruptions × severities written, 1 already present" in capsys.readouterr().err
    assert (tmp_path / "set" / "fog" / "1").stat().st_mtime_ns == before
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert {name: sorted(levels) for name, levels in manifest["corruptions"].items()} == {
        "fog": ["1", "3"], "contrast": ["1", "3"]
    }  # fmt: skip


def test_by_default_all_19_are_made_and_the_headline_is_15(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    headline = [c.name for c in CORRUPTIONS.values() if c.headline]
    assert set_options(corruptions=["headline"]).corruptions.names == headline
    assert set_options(corruptions=["headline", "saturate"]).corruptions.names == [*headline, "saturate"]
    monkeypatch.setenv("FAILMODES_FROST_PHOTOGRAPHS", str(tmp_path))
    without = set_options()
    assert [name for name in CORRUPTIONS if name not in without.corruptions.names] == ["frost"]
    assert "photographs" in without.left_out["frost"]
    dense = set_options(layout="imagenet-c", severities=["1.5"])
    assert set(dense.left_out) == {"frost", "glass_blur", "spatter", "saturate"}
    assert set_options(layout="imagenet-c", severities=["1.5"], across_switches=True).left_out.keys() == {"frost"}


@pytest.mark.parametrize(("layout", "interrupted_at"), [("cifar-c", 20), ("medmnist-c", 20), ("imagenet-c", 4)])
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, interrupted_at: int
) -> None:
    options = LAYOUTS.get(layout, {"layout": layout})
    chosen = set_options(corruptions=["contrast", "gaussian_noise"], **options)
    write_corrupted_dataset(DIGITS, chosen, tmp_path / "whole")
    monkeypatch.setattr(set_writer, "CHUNK_BYTES", 15 * 32 * 32 * 3)  # three blocks a severity
    original, made = sources.corrupt, []

    def corrupt_some(*arguments: object, **settings: object) -> np.ndarray:
        if len(arguments[0]) > 1:  # one image is the rehearsal
            made.append(arguments[1:])
            if len(made) % interrupted_at == 0:
                raise KeyboardInterrupt
        return original(*arguments, **settings)

    monkeypatch.setattr(sources, "corrupt", corrupt_some)
    for _ in range(30):
        with suppress(Interrupted):
            write_corrupted_dataset(DIGITS, chosen, tmp_path / "interrupted")
            break
        assert not list((tmp_path / "interrupted").rglob(".tmp-*"))
    assert len(made) > interrupted_at
    assert contents(tmp_path / "interrupted") == contents(tmp_path / "whole")


def test_foreign_files_are_never_overwritten(tmp_path: Path) -> None:
    def refused(folder: Path, message: str, **options: object) -> None:
        before = contents(folder)
        with pytest.raises(StudyError, match=message):
            write_corrupted_dataset(DIGITS, set_options(corruptions=["fog"], **options), folder)
        assert contents(folder) == before

    for name in ("fog.npy", "labels.npy", "manifest.json"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / name).write_bytes(b"{}")
        refused(folder, "did not write it|holds something else|was not written by|labels.npy")
    (tmp_path / "tree" / "fog" / "1").mkdir(parents=True)
    refused(tmp_path / "tree", "did not write it", layout="imagenet-c")
    write_corrupted_dataset(DIGITS, set_options(corruptions=["fog"]), tmp_path / "begun")
    (tmp_path / "begun" / "fog.npy").write_bytes(b"cut")
    refused(tmp_path / "begun", "was changed since it was written")


OTHERS = {
    "seed": ({"seed": 1}, DIGITS, "has seed 0, not 1"),
    "recipe": ({"recipe": "imagenet-c"}, DIGITS, "has recipe cifar-c, not imagenet-c"),
    "layout": ({"layout": "imagenet-c"}, DIGITS, "has layout cifar-c, not imagenet-c"),
    "images": ({}, DatasetSpec(kind="digits", images=50), r"has images 40 \(first 40 of 500, balanced over"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_another_set_in_the_folder_is_refused_and_named(tmp_path: Path, name: str) -> None:
    options, spec, message = OTHERS[name]
    write_corrupted_dataset(DIGITS, set_options(corruptions=["contrast"]), tmp_path / "set")
    before = contents(tmp_path / "set")
    with pytest.raises(StudyError, match=message):
        write_corrupted_dataset(spec, set_options(corruptions=["contrast", "fog"], **options), tmp_path / "set")
    assert contents(tmp_path / "set") == before
