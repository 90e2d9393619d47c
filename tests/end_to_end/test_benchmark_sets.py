"""A miniature of each benchmark dataset, from the study file to the report, through the installed script."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmark_sets import (
    BLOODMNIST_C,
    CIFAR_10_C_BAR,
    IMAGENET_3DCC,
    IMAGENET_C_BAR,
    write_arrays,
    write_cifar10_1,
    write_cifar10_2,
    write_class_folders,
    write_medmnist,
    write_medmnist_c,
    write_objectnet,
    write_tree,
)
from marked_cases import quick
from PIL import Image
from run_commands import run

import failmodes
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id

pytestmark = pytest.mark.test_all

RNG = np.random.default_rng(0)
LABELS = RNG.permutation(48) % 4
SHADES = np.array([40, 90, 160, 230])[LABELS]
IMAGES = np.clip(RNG.normal(SHADES[:, None, None, None], 25, (48, 32, 32, 3)), 0, 255).astype(np.uint8)
IDS = ("n01440764", "n01443537", "n01484850", "n01491361")
FILES = [f"{IDS[label]}/ILSVRC2012_val_{number:08d}.JPEG" for number, label in enumerate(LABELS)]
MODEL = """
[[models]]
label = "Net"
architecture = "resnet18"
width = 8
training = { epochs = 2, images = 48, batch_size = 16, flip = false, crop_padding_px = 0 }
"""


def write_photographs(folder: Path) -> None:
    for split in ("train", "test"):
        for pixels, file in zip(IMAGES, FILES, strict=True):
            path = folder / split / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path, "PNG")


def cifar_c_bar(folder: Path) -> str:
    write_medmnist(folder / "clean.npz", IMAGES, LABELS)
    write_arrays(folder / "set", IMAGES, LABELS, CIFAR_10_C_BAR[:4])
    np.save(folder / "set" / "ripple.npy", np.zeros((7, 32, 32, 3), np.uint8))
    return 'kind = "medmnist"\npath = "clean.npz"'


def imagenet_c_bar(folder: Path) -> str:
    write_photographs(folder / "clean")
    write_tree(folder / "set", IMAGES, FILES, IMAGENET_C_BAR[:3])
    (folder / "set" / "previews").mkdir()
    return 'kind = "folder"\npath = "clean"'


def imagenet_3dcc(folder: Path) -> str:
    write_photographs(folder / "clean")
    write_tree(folder / "set", IMAGES, FILES, IMAGENET_3DCC[:3])
    shutil.rmtree(folder / "set" / "fog_3d" / "4")
    return 'kind = "folder"\npath = "clean"'


def medmnist_c(folder: Path) -> str:
    write_medmnist(folder / "bloodmnist.npz", IMAGES, LABELS)
    write_medmnist_c(folder / "set", IMAGES, LABELS, BLOODMNIST_C[-4:])
    write_medmnist_c(folder / "set", IMAGES[::-1], LABELS[::-1], BLOODMNIST_C[:1])
    return 'kind = "medmnist"\npath = "bloodmnist.npz"'


SETS: dict[str, tuple[Callable[[Path], str], tuple[str, ...], int, str]] = {
    "CIFAR-10-C-bar": (cifar_c_bar, CIFAR_10_C_BAR[:4], 20, "ripple.npy holds 7 images"),
    "ImageNet-C-bar": (imagenet_c_bar, IMAGENET_C_BAR[:3], 15, "not read in set: previews/"),
    "ImageNet-3DCC": (imagenet_3dcc, IMAGENET_3DCC[:3], 14, "fog_3d lacks severity 4"),
    "MedMNIST-C": (medmnist_c, BLOODMNIST_C[-4:], 20, "pixelate.npz has labels in another order"),
}


@quick("name", SETS, "CIFAR-10-C-bar", others="nightly")
def test_one_command_takes_a_corrupted_dataset_to_the_report(tmp_path: Path, name: str) -> None:
    write, names, cells, said = SETS[name]
    dataset = write(tmp_path)
    corruptions = '[corruptions]\nnames = ["all"]\npublished = "set"\n'
    (tmp_path / "study.toml").write_text(f'name = "s"\noutput = "out"\n[dataset]\n{dataset}\n{corruptions}{MODEL}')
    done = run("run", folder=tmp_path)
    assert said in done.stderr, "before the run"
    assert f"{cells + 1} shards written" in done.stderr
    shown = run("status", folder=tmp_path).stdout  # a long path wraps within a word
    assert "".join(said.split()) in "".join(shown.split())
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert said.partition(" ")[0] in page
    assert names[-1].replace("_", " ").capitalize() in page
    with failmodes.open(tmp_path / "out") as w:
        groups = dict(w.sql("select distinct corruption, corruption_group from accuracy_by_severity").rows())
        counts = w.sql("select corruption_count, extra_corruption_count from robustness_by_model").rows()
    assert groups.keys() == set(names)
    assert {groups.get(name, "other") for name in ("sparkles", "bubble", "fog_3d", "brownish_noise")} == {"other"}
    assert counts == [(len(names), 0)], "the mean is over all of them"


CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
OF_OBJECTNET = ("n03793489", "n04356056")  # mouse and sunglasses
SHIFTED = IMAGES[20:30]


def write_clean(folder: Path, classes: tuple[str, ...]) -> None:
    for split in ("train", "test"):
        write_class_folders(folder / "clean" / split, IMAGES[: len(classes)], classes)


def cifar_shifts(folder: Path) -> dict[str, tuple[str, str, int, int, bool]]:
    write_clean(folder, CIFAR)
    write_cifar10_1(folder / "v6", SHIFTED, np.arange(10))
    write_cifar10_2(folder / "102", SHIFTED[::-1], np.arange(10))
    for name, images in (("animals", SHIFTED[:3]), ("listed", SHIFTED[3:6])):
        write_class_folders(folder / name, images, ("cat", "dog", "frog"))
    rows = "".join(f"listed/{name}/{place:03d}.jpg,{name},left\n" for place, name in enumerate(("cat", "dog", "frog")))
    (folder / "images.csv").write_text(f"path,label,camera\n{rows}")
    return {
        "CIFAR-10.1": ("cifar10.1", "v6", 10, 10, False),
        "CIFAR-10.2": ("cifar10.2", "102", 10, 10, False),
        "A folder": ("folder", "animals", 3, 3, True),
        "A list": ("list", "images.csv", 3, 3, True),
    }


def imagenet_shifts(folder: Path) -> dict[str, tuple[str, str, int, int, bool]]:
    numbers = (0, 1, 2, 3, 6, 10, 11, 13)
    ids = tuple(list(by_wordnet_id())[number] for number in numbers)
    write_clean(folder, tuple(sorted((*ids, *OF_OBJECTNET))))
    write_class_folders(folder / "v2", SHIFTED[:8], [str(number) for number in numbers])
    for name, count in (("a", 4), ("r", 5), ("sketch", 8)):
        write_class_folders(folder / name, SHIFTED[::-1][:count], ids[:count])
    write_objectnet(folder / "objectnet-1.0", SHIFTED)
    return {
        "ImageNet-V2": ("imagenet-v2", "v2", 8, 8, False),
        "ImageNet-A": ("imagenet-a", "a", 4, 4, True),
        "ImageNet-R": ("imagenet-r", "r", 5, 5, True),
        "ImageNet-Sketch": ("imagenet-sketch", "sketch", 8, 8, False),
        "ObjectNet": ("objectnet", "objectnet-1.0", 2, 2, True),
    }


@pytest.mark.nightly
@pytest.mark.parametrize("write", [cifar_shifts, imagenet_shifts])
def test_one_command_takes_natural_shifts_to_the_report(tmp_path: Path, write) -> None:
    shifts = write(tmp_path)
    tables = "".join(
        f'[[shifts]]\nlabel = "{label}"\nkind = "{kind}"\npath = "{path}"\n'
        for label, (kind, path, *_) in shifts.items()
    )
    model = MODEL.replace("images = 48, batch_size = 16", "batch_size = 10").replace("epochs = 2", "epochs = 1")
    (tmp_path / "study.toml").write_text(
        'name = "s"\noutput = "out"\n[dataset]\nkind = "folder"\npath = "clean"\nimage_size = 32\n'
        f'[corruptions]\nnames = ["fog"]\nseverities = [3]\n{tables}{model}'
    )
    run("run", folder=tmp_path)
    with failmodes.open(tmp_path / "out") as w:
        rows = w.table("accuracy_by_shift").rows(named=True)
        w.chart("shifts").save(tmp_path / "shifts.svg")
    found = {row["shift"]: (row["class_count"], row["image_count"], row["restricted"]) for row in rows}
    assert found == {label: tuple(counts) for label, (_, _, *counts) in shifts.items()}
    assert {row["clean_image_count"] for row in rows} == {classes for *_, classes, _, _ in shifts.values()}
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert all(label in page for label in shifts)
