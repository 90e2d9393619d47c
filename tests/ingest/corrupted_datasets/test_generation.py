"""Writing a set: what is made and what is there, that a killed run goes on to the same bytes, what is refused."""

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from corrupted_datasets import DIGITS, LAYOUTS, contents, corrupt_command, set_options

from failmodes.ingest import sources
from failmodes.ingest.corrupted_datasets import generation, set_writer
from failmodes.ingest.corrupted_datasets.command import write_corrupted_dataset
from failmodes.ingest.corrupted_datasets.opening import PublishedSource
from failmodes.ingest.corrupted_datasets.options import SetOptions
from failmodes.ingest.corruptions.catalog import CORRUPTIONS
from failmodes.ingest.datasets.dataset import balanced_subset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.specification import CorruptionSpec
from failmodes.warehouse.errors import Interrupted, StudyError

SCRIPT = Path(sys.executable).parent / "failmodes"


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
    shutil.rmtree(tmp_path / "set" / "fog" / "3")
    write_corrupted_dataset(
        DIGITS, set_options(layout="imagenet-c", corruptions=["fog"], severities=["1", "3"]), tmp_path / "set"
    )
    assert "1 corruptions × severities written, 1 already present" in capsys.readouterr().err


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


def test_a_corruption_of_ones_own_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "my_corruptions.py"
    module.write_text("def vignette(images, parameters):\n    return images // (1 + int(parameters[0]))\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("contrast", "my_corruptions:vignette"):
        assert corrupt_command(monkeypatch, "digits", "--images", "40", "--to", "set", "--corruption", name) == 0
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert list(manifest["corruptions"]) == ["contrast", "vignette"]
    assert "corruption vignette" in manifest["versions"]
    digits = open_dataset(DIGITS, tmp_path / "cache")
    spec = CorruptionSpec(names=["contrast", "my_corruptions:vignette"], published=tmp_path / "set")
    source = PublishedSource.from_spec(spec, digits)
    assert source.pairing.paired
    ids, _ = balanced_subset(digits.labels, 40)
    np.testing.assert_array_equal(source.corrupted(None, "vignette", 2, ids), digits.images[ids] // 3)


@pytest.mark.slow
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


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("instant", ["publish_manifest", "tidy"])
def test_a_kill_between_a_set_and_its_results_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, instant: str
) -> None:
    chosen = set_options(corruptions=["contrast"], **LAYOUTS[layout])
    write_corrupted_dataset(DIGITS, chosen, tmp_path / "whole")
    calls = []

    def killed(*_: object) -> None:
        calls.append(1)
        if len(calls) > (1 if instant == "publish_manifest" else 0):
            raise KeyboardInterrupt
        publish(*_)

    publish = generation.publish_manifest
    with monkeypatch.context() as patched:
        if instant == "publish_manifest":
            patched.setattr(generation, "publish_manifest", killed)
        else:
            patched.setattr(generation.ArrayWriter, "tidy", killed)
            patched.setattr(generation.TreeWriter, "tidy", killed)
        with pytest.raises(Interrupted):
            write_corrupted_dataset(DIGITS, chosen, tmp_path / "killed")
    made = []
    original = set_writer.SetInputs.blocks
    monkeypatch.setattr(set_writer.SetInputs, "blocks", lambda self, *a: made.append(a[:2]) or original(self, *a))
    write_corrupted_dataset(DIGITS, chosen, tmp_path / "killed")
    assert made == ([] if layout == "cifar-c" else [("contrast", Decimal("2.500"))])
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_full_disk_is_one_clear_line_and_no_loss(tmp_path: Path, layout: str) -> None:
    import resource

    options = ["--corruption", "fog", "--images", "40", "--layout", layout]
    limit = 2 * 40 * 32 * 32 * 3 if layout == "cifar-c" else 700  # bytes a file: two severities, and half an image

    def run(limit_bytes: int | None) -> subprocess.CompletedProcess:
        def limited() -> None:
            if limit_bytes:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

        return subprocess.run(
            [SCRIPT, "corrupt", "digits", "--to", "set", *options], cwd=tmp_path, capture_output=True, text=True,
            timeout=120, preexec_fn=limited,
        )  # fmt: skip

    failed = run(limit)
    assert failed.returncode == 1
    assert "Traceback" not in failed.stderr
    assert failed.stderr.splitlines()[-1].startswith("failmodes: cannot write ")
    assert not (tmp_path / "set" / "fog.npy").exists()
    assert not (tmp_path / "set" / "fog").exists()
    assert run(None).returncode == 0
    write_corrupted_dataset(DIGITS, set_options(layout=layout, corruptions=["fog"]), tmp_path / "whole")
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


@pytest.mark.slow
def test_foreign_files_are_never_overwritten(tmp_path: Path) -> None:
    fog = set_options(corruptions=["fog"])
    tree = set_options(layout="imagenet-c", corruptions=["fog"])

    def refused(folder: Path, chosen: SetOptions, message: str) -> None:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(StudyError, match=message):
            write_corrupted_dataset(DIGITS, chosen, folder)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    for name in ("fog.npy", "labels.npy", "manifest.json"):
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "labels.npy", np.zeros(5))
        (folder / name).write_bytes(b"{}" if name == "manifest.json" else (folder / "labels.npy").read_bytes())
        refused(folder, fog, "did not write it|holds other labels|was not written by")
    (tmp_path / "tree" / "fog" / "1").mkdir(parents=True)
    refused(tmp_path / "tree", tree, "fog is there and `failmodes corrupt` did not write it")
    write_corrupted_dataset(DIGITS, set_options(corruptions=["contrast"]), tmp_path / "begun")
    (tmp_path / "begun" / "fog.npy").write_bytes(b"mine")
    refused(tmp_path / "begun", fog, "did not write it")
    (tmp_path / "begun" / "contrast.npy").write_bytes(b"cut")
    refused(tmp_path / "begun", set_options(corruptions=["contrast"]), "was changed since it was made: remove it")
