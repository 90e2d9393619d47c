"""Writing a set: what is made and what is there, that a killed run goes on to the same bytes, what is refused."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import DIGITS, LAYOUTS, contents, set_options

from failmodes.ingest import sources
from failmodes.ingest.corrupted_datasets import set_writer
from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.warehouse.errors import Interrupted, StudyError


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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    chosen = set_options(corruptions=["contrast", "gaussian_noise"], **LAYOUTS[layout])
    write_corrupted_dataset(DIGITS, chosen, tmp_path / "whole")
    monkeypatch.setattr(set_writer, "CHUNK_BYTES", 15 * 32 * 32 * 3)  # three blocks a severity
    original, made = sources.corrupt, []

    def corrupt_some(*arguments: object, **settings: object) -> np.ndarray:
        if len(arguments[0]) > 1:  # one image is the rehearsal
            made.append(arguments[1:])
            if len(made) % 4 == 0:
                raise KeyboardInterrupt
        return original(*arguments, **settings)

    monkeypatch.setattr(sources, "corrupt", corrupt_some)
    for _ in range(30):
        with suppress(Interrupted):
            write_corrupted_dataset(DIGITS, chosen, tmp_path / "interrupted")
            break
        assert not list((tmp_path / "interrupted").rglob(".tmp-*"))
    assert len(made) > 12
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
        refused(folder, "did not write it|holds other labels|was not written by|labels.npy")
    (tmp_path / "tree" / "fog" / "1").mkdir(parents=True)
    refused(tmp_path / "tree", "did not write it", layout="imagenet-c")
    write_corrupted_dataset(DIGITS, set_options(corruptions=["fog"]), tmp_path / "begun")
    (tmp_path / "begun" / "fog.npy").write_bytes(b"cut")
    refused(tmp_path / "begun", "was changed since it was made")
