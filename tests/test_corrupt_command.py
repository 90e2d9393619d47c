"""`failmodes corrupt`: what it writes, that a killed run goes on to the same bytes, and how it refuses."""

import fcntl
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

import failmodes.cli
from failmodes.ingest import sources
from failmodes.ingest.corrupted_sets import generation as writing
from failmodes.ingest.corrupted_sets import options as request
from failmodes.ingest.corrupted_sets import set_writer as material
from failmodes.ingest.corrupted_sets.command import write_corrupted_set
from failmodes.ingest.corrupted_sets.opening import PublishedSource, open_pixel_source
from failmodes.ingest.corrupted_sets.options import parse_options
from failmodes.ingest.corrupted_sets.work_folder import locked_work_folder
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.corruptions.catalogue import CORRUPTIONS
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.opening import open_dataset
from failmodes.ingest.sources import GeneratedSource
from failmodes.ingest.specification import CorruptionSpec, DatasetSpec
from failmodes.ingest.subset import balanced_subset
from failmodes.warehouse.errors import Interrupted, StorageError, StudyError

SCRIPT = Path(sys.executable).parent / "failmodes"

DIGITS = DatasetSpec(kind="digits", images=40)

KILLS = 8


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return open_dataset(DIGITS, tmp_path_factory.mktemp("cache"))


def asked(kind: str = "digits", **options: object) -> request.SetOptions:
    """A request with the command line's defaults."""
    defaults: dict[str, object] = {
        "layout": None, "encoding": None, "corruptions": (), "severities": (), "recipe": None, "seed": 0,
        "draws": "paired", "across_switches": False,
    }  # fmt: skip
    return parse_options(kind, **{**defaults, **options})


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    """Run the command line in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["failmodes", "corrupt", *map(str, arguments)])
    with pytest.raises(SystemExit) as left:
        failmodes.cli.main()
    return int(left.value.code or 0)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, hidden ones too; the manifest without its date."""
    found = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    manifest = json.loads(found["manifest.json"])
    del manifest["date_utc"]
    return {**found, "manifest.json": json.dumps(manifest).encode()}


def test_the_script_writes_arrays_as_published(tmp_path: Path, digits: Dataset) -> None:
    done = subprocess.run(
        [SCRIPT, "corrupt", "digits", "--to", "D-C", "--corruption", "fog", "--corruption", "gaussian_noise", "--seed",
         "3", "--images", "40"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert done.stdout == "D-C\n"
    assert "seed 3" in done.stderr
    assert "10 corruptions × severities made, 0 were there" in done.stderr
    folder = tmp_path / "D-C"
    assert sorted(path.name for path in folder.iterdir()) == [
        "fog.npy", "gaussian_noise.npy", "labels.npy", "manifest.json"
    ]  # fmt: skip
    ids, words = balanced_subset(digits.labels, 40)
    for name in ("fog", "gaussian_noise"):
        rows = [corrupt(digits.images[ids], name, s, seed=3, image_ids=ids) for s in range(1, 6)]
        expected = folder / f"expected-{name}.npy"
        np.save(expected, np.concatenate(rows))
        assert (folder / f"{name}.npy").read_bytes() == expected.read_bytes(), "as numpy.save writes it"
    np.testing.assert_array_equal(np.load(folder / "labels.npy"), np.tile(digits.labels[ids], 5))
    manifest = json.loads((folder / "manifest.json").read_text())
    source = GeneratedSource(seed=3)
    assert manifest["source_id"] == source.source_id
    assert manifest["versions"] == json.loads(source.row()["versions"])
    assert (manifest["recipe"], manifest["seed"], manifest["draws"]) == ("cifar-c", 3, "paired")
    assert manifest["dataset"]["dataset_id"] == digits.dataset_id
    assert manifest["dataset"]["label"] == digits.label
    assert (manifest["images"], manifest["subset"]) == (40, words)
    assert {name: list(levels) for name, levels in manifest["corruptions"].items()} == {
        "fog": list("12345"), "gaussian_noise": list("12345")
    }  # fmt: skip


def test_a_tree_has_a_folder_a_severity_and_jpegs_of_the_published_quality(tmp_path: Path, digits: Dataset) -> None:
    spec = asked(layout="imagenet-c", corruptions=["fog"], severities=["2.5", "1"])
    write_corrupted_set(DIGITS, spec, tmp_path / "jpeg")
    write_corrupted_set(
        DIGITS, asked(layout="imagenet-c", encoding="png", corruptions=["fog"], severities=["2.5"]), tmp_path / "png"
    )
    assert sorted(path.name for path in (tmp_path / "jpeg" / "fog").iterdir()) == ["1", "2.5"]
    ids, _ = balanced_subset(digits.labels, 40)
    made = corrupt(digits.images[ids], "fog", Decimal("2.5"), image_ids=ids)
    for image, image_id in zip(made, ids, strict=True):
        name = f"fog/2.5/{digits.class_names[digits.labels[image_id]]}/{image_id:03d}"
        expected = tmp_path / "expected.jpg"
        Image.fromarray(image).save(expected, quality=85, optimize=True)
        assert (tmp_path / "jpeg" / f"{name}.JPEG").read_bytes() == expected.read_bytes()
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "png" / f"{name}.png")), image)
    assert len(list((tmp_path / "jpeg").rglob("*.*"))) == 2 * 40 + 1 + 1, "and the folder 2.5, and the manifest"


@pytest.mark.parametrize(("layout", "encoding"), [("cifar-c", None), ("imagenet-c", "jpeg"), ("imagenet-c", "png")])
def test_what_is_written_is_read_again_and_pairs(
    tmp_path: Path, digits: Dataset, layout: str, encoding: str | None
) -> None:
    write_corrupted_set(
        DIGITS, asked(layout=layout, encoding=encoding, corruptions=["brightness", "fog"]), tmp_path / "set"
    )
    source = open_pixel_source(CorruptionSpec(names=["fog"], published=tmp_path / "set"), 0, digits)
    assert isinstance(source, PublishedSource)
    assert source.pairing.paired, source.pairing
    assert source.row()["source_label"] == "set (by failmodes corrupt, cifar-c recipe, seed 0)"
    ids, _ = balanced_subset(digits.labels, 40)
    found = source.corrupted(None, "fog", 3, ids).astype(int)
    expected = corrupt(digits.images[ids], "fog", 3, image_ids=ids)
    assert np.abs(found - expected).mean() <= (4 if encoding == "jpeg" else 0)


def test_photographs_are_resized_cropped_corrupted_and_pair(tmp_path: Path) -> None:
    clean = tmp_path / "photographs"
    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        (clean / name).mkdir(parents=True)
        for number in range(6):
            tile = pixels[number * 50 : number * 50 + 150, number * 70 : number * 70 + 200]
            Image.fromarray(tile).save(clean / name / f"{number}.jpg", quality=95)
    spec = DatasetSpec(kind="folder", path=clean, resize=110, image_size=96)
    chosen = asked("folder", corruptions=["gaussian_noise", "fog"], severities=["1"])
    assert (chosen.layout, chosen.corruptions.recipe) == ("imagenet-c", "imagenet-c")
    write_corrupted_set(spec, chosen, tmp_path / "C")
    dataset = open_dataset(spec, tmp_path / "cache")
    published = CorruptionSpec(names=["fog", "gaussian_noise"], severities=[1], published=tmp_path / "C")
    source = open_pixel_source(published, 0, dataset)
    assert source.pairing == (True, None, None)
    found = source.corrupted(None, "fog", 1, np.arange(12)).astype(int)
    expected = corrupt(dataset.images[:], "fog", 1, recipe="imagenet-c")
    assert np.abs(found - expected).mean() < 4
    assert sorted(path.name for path in (tmp_path / "C").iterdir()) == ["fog", "gaussian_noise", "manifest.json"]


def test_fog_by_itself_pairs_by_the_manifest_but_not_other_images_under_it(tmp_path: Path) -> None:
    clean = tmp_path / "photographs"
    for number in range(20):
        for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
            top, left = divmod(number, 5)
            (clean / name).mkdir(parents=True, exist_ok=True)
            tile = pixels[top * 67 : top * 67 + 224, left * 100 : left * 100 + 224]
            Image.fromarray(tile).save(clean / name / f"{number:02d}.png")
    spec = DatasetSpec(kind="folder", path=clean)
    dataset = open_dataset(spec, tmp_path / "cache")
    write_corrupted_set(spec, asked("folder", corruptions=["fog"], severities=["1"]), tmp_path / "C")
    published = CorruptionSpec(names=["fog"], severities=[1], published=tmp_path / "C")
    assert open_pixel_source(published, 0, dataset).pairing.paired
    for folder in ("china", "flower"):
        files = sorted((tmp_path / "C" / "fog" / "1" / folder).iterdir())
        contents = [file.read_bytes() for file in files]
        for file, content in zip(files, contents[7:] + contents[:7], strict=True):
            file.write_bytes(content)
    assert "pixels do not match" in str(open_pixel_source(published, 0, dataset).pairing.note)


def test_more_can_be_added_and_nothing_is_made_twice(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_corrupted_set(DIGITS, asked(layout="imagenet-c", corruptions=["fog"], severities=["1"]), tmp_path / "set")
    before = (tmp_path / "set" / "fog" / "1").stat().st_mtime_ns
    write_corrupted_set(
        DIGITS, asked(layout="imagenet-c", corruptions=["fog", "contrast"], severities=["1", "3"]), tmp_path / "set"
    )
    assert "3 corruptions × severities made, 1 were there" in capsys.readouterr().err
    assert (tmp_path / "set" / "fog" / "1").stat().st_mtime_ns == before
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert {name: sorted(levels) for name, levels in manifest["corruptions"].items()} == {
        "fog": ["1", "3"], "contrast": ["1", "3"]
    }  # fmt: skip
    shutil.rmtree(tmp_path / "set" / "fog" / "3")
    write_corrupted_set(
        DIGITS, asked(layout="imagenet-c", corruptions=["fog"], severities=["1", "3"]), tmp_path / "set"
    )
    assert "1 corruptions × severities made, 1 were there" in capsys.readouterr().err


def test_by_default_all_19_are_made_and_the_headline_is_15(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    headline = [c.name for c in CORRUPTIONS.values() if c.headline]
    assert asked(corruptions=["headline"]).corruptions.names == headline
    assert asked(corruptions=["headline", "saturate"]).corruptions.names == [*headline, "saturate"]
    monkeypatch.setenv("FAILMODES_FROST_PHOTOGRAPHS", str(tmp_path))
    without = asked()
    assert [name for name in CORRUPTIONS if name not in without.corruptions.names] == ["frost"]
    assert "photographs" in without.left_out["frost"]
    dense = asked(layout="imagenet-c", severities=["1.5"])
    assert set(dense.left_out) == {"frost", "glass_blur", "spatter", "saturate"}
    assert asked(layout="imagenet-c", severities=["1.5"], across_switches=True).left_out.keys() == {"frost"}


def test_a_corruption_of_ones_own_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = tmp_path / "my_corruptions.py"
    module.write_text("def vignette(images, parameters):\n    return images // (1 + int(parameters[0]))\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("contrast", "my_corruptions:vignette"):
        assert command(monkeypatch, "digits", "--images", "40", "--to", "set", "--corruption", name) == 0
    manifest = json.loads((tmp_path / "set" / "manifest.json").read_text())
    assert list(manifest["corruptions"]) == ["contrast", "vignette"]
    assert "corruption vignette" in manifest["versions"]
    digits = open_dataset(DIGITS, tmp_path / "cache")
    spec = CorruptionSpec(names=["contrast", "my_corruptions:vignette"], published=tmp_path / "set")
    source = open_pixel_source(spec, 0, digits)
    assert source.pairing.paired
    ids, _ = balanced_subset(digits.labels, 40)
    np.testing.assert_array_equal(source.corrupted(None, "vignette", 2, ids), digits.images[ids] // 3)


LAYOUTS = {"cifar-c": {}, "imagenet-c": {"layout": "imagenet-c", "severities": ["1", "2.5"]}}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_interrupted_run_goes_on_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    chosen = asked(corruptions=["contrast", "gaussian_noise"], **LAYOUTS[layout])
    write_corrupted_set(DIGITS, chosen, tmp_path / "whole")
    monkeypatch.setattr(material, "CHUNK_BYTES", 15 * 32 * 32 * 3)  # three blocks a severity
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
            write_corrupted_set(DIGITS, chosen, tmp_path / "interrupted")
            break
        assert not list((tmp_path / "interrupted").rglob(".tmp-*"))
    assert len(made) > 12
    assert contents(tmp_path / "interrupted") == contents(tmp_path / "whole")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("instant", ["publish_manifest", "tidy"])
def test_a_kill_between_a_set_and_its_record_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, instant: str
) -> None:
    chosen = asked(corruptions=["contrast"], **LAYOUTS[layout])
    write_corrupted_set(DIGITS, chosen, tmp_path / "whole")
    calls = []

    def killed(*_: object) -> None:
        calls.append(1)
        if len(calls) > (1 if instant == "publish_manifest" else 0):
            raise KeyboardInterrupt
        publish(*_)

    publish = writing.publish_manifest
    with monkeypatch.context() as patched:
        if instant == "publish_manifest":
            patched.setattr(writing, "publish_manifest", killed)
        else:
            patched.setattr(writing.ArrayWriter, "tidy", killed)
            patched.setattr(writing.TreeWriter, "tidy", killed)
        with pytest.raises(Interrupted):
            write_corrupted_set(DIGITS, chosen, tmp_path / "killed")
    made = []
    original = material.SetInputs.blocks
    monkeypatch.setattr(material.SetInputs, "blocks", lambda self, *a: made.append(a[:2]) or original(self, *a))
    write_corrupted_set(DIGITS, chosen, tmp_path / "killed")
    assert made == ([] if layout == "cifar-c" else [("contrast", Decimal("2.500"))])
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def run_script(options: list[str], cwd: Path, kill_after_s: float | None = None) -> tuple[int, float]:
    """Exit code, and seconds from the first image on."""
    process = subprocess.Popen(
        [SCRIPT, "corrupt", "digits", *options], cwd=cwd, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "images to make" in line:
            break
    started = time.monotonic()
    try:
        process.wait(kill_after_s or 300)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait(60)
    process.stderr.close()
    return process.returncode, time.monotonic() - started


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_kill_9_at_random_instants(tmp_path: Path, layout: str) -> None:
    names = ["gaussian_noise", "motion_blur", "snow", "fog", "elastic_transform", "jpeg_compression"]
    options = [part for name in names for part in ("--corruption", name)]
    options += ["--layout", layout, "--images", "300"]
    code, whole_s = run_script(["--to", "whole", *options], tmp_path)
    assert code == 0
    rng, killed = random.Random(0), 0
    for _ in range(KILLS):
        if (tmp_path / "killed").exists() and not (tmp_path / "killed" / ".failmodes").exists():
            shutil.rmtree(tmp_path / "killed")  # it was done: from nothing once more
        killed += run_script(["--to", "killed", *options], tmp_path, rng.uniform(0, whole_s / 2))[0] == -signal.SIGKILL
        for path in (tmp_path / "killed").glob("*.npy"):
            assert len(np.load(path)) == 1500, "nothing half written under its final name"
        for cell in (tmp_path / "killed").glob("*/[1-5]"):
            assert len(list(cell.rglob("*.JPEG"))) == 300
    assert killed >= KILLS // 2
    assert run_script(["--to", "killed", *options], tmp_path)[0] == 0
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
    write_corrupted_set(DIGITS, asked(layout=layout, corruptions=["fog"]), tmp_path / "whole")
    assert contents(tmp_path / "set") == contents(tmp_path / "whole")


def test_two_writers_at_once_are_refused(tmp_path: Path) -> None:
    with locked_work_folder(tmp_path / "set") as work:
        with pytest.raises(StorageError, match="is being written by another process: wait for it"):
            write_corrupted_set(DIGITS, asked(corruptions=["fog"]), tmp_path / "set")
        assert (work / "lock").exists()
        with (work / "lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert not (tmp_path / "set").exists(), "nothing was begun, nothing is left"


OTHERS = {
    "seed": ({"seed": 1}, DIGITS, "of seed 0, not 1"),
    "recipe": ({"recipe": "imagenet-c"}, DIGITS, "of recipe cifar-c, not imagenet-c"),
    "draws": ({"draws": "independent"}, DIGITS, "of draws paired, not independent"),
    "layout": ({"layout": "imagenet-c"}, DIGITS, "of layout cifar-c, not imagenet-c"),
    "split": ({}, DatasetSpec(kind="digits", images=40, split="train"), "of data set Handwritten digits"),
    "images": ({}, DatasetSpec(kind="digits", images=50), r"of images 40 \(first 40 of 500, balanced over"),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_another_set_in_the_folder_is_refused_and_named(tmp_path: Path, name: str) -> None:
    options, spec, message = OTHERS[name]
    write_corrupted_set(DIGITS, asked(corruptions=["contrast"]), tmp_path / "set")
    before = contents(tmp_path / "set")
    with pytest.raises(StudyError, match=message):
        write_corrupted_set(spec, asked(corruptions=["contrast", "fog"], **options), tmp_path / "set")
    assert contents(tmp_path / "set") == before


def test_another_engine_is_refused_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corrupted_set(DIGITS, asked(corruptions=["contrast"]), tmp_path / "set")
    monkeypatch.setattr("failmodes.ingest.sources.ENGINE_REVISION", 99)
    with pytest.raises(StudyError, match=r"of engine version \d+, not 99"):
        write_corrupted_set(DIGITS, asked(corruptions=["fog"]), tmp_path / "set")


def test_foreign_files_are_never_overwritten(tmp_path: Path) -> None:
    fog = asked(corruptions=["fog"])
    tree = asked(layout="imagenet-c", corruptions=["fog"])

    def refused(folder: Path, chosen: request.SetOptions, message: str) -> None:
        before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        with pytest.raises(StudyError, match=message):
            write_corrupted_set(DIGITS, chosen, folder)
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before

    for name in ("fog.npy", "labels.npy", "manifest.json"):
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "labels.npy", np.zeros(5))
        (folder / name).write_bytes(b"{}" if name == "manifest.json" else (folder / "labels.npy").read_bytes())
        refused(folder, fog, "did not write it|holds other labels|was not written by")
    (tmp_path / "tree" / "fog" / "1").mkdir(parents=True)
    refused(tmp_path / "tree", tree, "fog is there and `failmodes corrupt` did not write it")
    write_corrupted_set(DIGITS, asked(corruptions=["contrast"]), tmp_path / "begun")
    (tmp_path / "begun" / "fog.npy").write_bytes(b"mine")
    refused(tmp_path / "begun", fog, "did not write it")
    (tmp_path / "begun" / "contrast.npy").write_bytes(b"cut")
    refused(tmp_path / "begun", asked(corruptions=["contrast"]), "was changed since it was made: remove it")


def test_class_names_that_cannot_be_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hostile = Dataset("x", "X", "test", np.zeros((2, 32, 32, 3), np.uint8), np.array([0, 1]), ("../../a", "b"))
    monkeypatch.setattr("failmodes.ingest.corrupted_sets.command.open_dataset", lambda *_: hostile)
    with pytest.raises(Exception, match="cannot be the name of a folder"):
        write_corrupted_set(
            DatasetSpec(kind="digits"), asked(layout="imagenet-c", corruptions=["fog"]), tmp_path / "set"
        )
    assert not (tmp_path / "set").exists()


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
    assert command(monkeypatch, *arguments, "--to", "set") in (1, 2)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("failmodes: ")
    assert message in printed.err
    assert not list(tmp_path.iterdir())


def test_the_script_fails_without_a_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [SCRIPT, "corrupt", "digits", "--to", "/proc/set"], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.startswith("failmodes: cannot write /proc/set")
    assert len(done.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
