"""Miniatures of published datasets: test sets, natural shifts, corrupted sets in every layout; protocols."""

import json
import pickle
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from image_files import encoded, scenes, write, write_arrays, write_class_folders
from pixel_studies import run_study, write_study
from side import Side

COUNTED = {"rows": 1998, "values": 586, "sentences": 295, "files": 203, "exits": 31}

SIDE = 32
COUNT = 12
IMAGES = scenes(COUNT, SIDE, SIDE, seed=7)
LABELS = np.array([0, 1, 2, 2, 1, 0, 0, 1, 2, 0, 1, 2])  # not periodic, as those of a real dataset
IDS = ("n01440764", "n01443537", "n01484850")
FILES = [f"{IDS[label]}/ILSVRC2012_val_{number:08d}.JPEG" for number, label in enumerate(LABELS)]
MORE_IDS = (*IDS, "n01491361", "n01494475", "n01496331", "n01498041", "n01514668")
CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SEVERITIES = (1, 2, 3, 4, 5)
PARAMETERS = {
    "sparkles": ("1.00", "2.00", "3.00", "5.00", "6.00"), "perlin_noise": ("4.60", "5.20", "5.80", "7.60", "8.80"),
}  # fmt: skip

CLEAN_ARRAYS = 'kind = "arrays"\npath = "{inputs}/arrays"'
CLEAN_TREE = 'kind = "folder"\npath = "{inputs}/tree"'
OWN_PROTOCOL = """[[protocols]]
name = "our-test-set"
title = "Our test set"
dataset = "folder"
images = 12
classes = 3
corruptions = ["fog", "snow"]
severities = [1, 2, 3, 4, 5]
pixels = "published"
averaging = "mean accuracy"
source = "our wiki"
"""
SETS = {  # clean images, the folder of the corrupted ones, other keys of [corruptions], other tables
    "cifar-c": ('kind = "cifar10"\npath = "{inputs}/cifar10"', "cifar-c", 'names = ["all"]', ""),
    "cifar-c-some": (CLEAN_ARRAYS, "arrays-c", 'names = ["fog"]\nseverities = [2, 5]', ""),
    "cifar-c-shuffled": (CLEAN_ARRAYS, "shuffled", 'names = ["all"]', ""),
    "cifar-c-bar": (CLEAN_ARRAYS, "bar", 'names = ["all"]', ""),
    "imagenet-c": (CLEAN_TREE, "tree-c", 'names = ["all"]', OWN_PROTOCOL),
    "imagenet-c-renamed": (CLEAN_TREE, "renamed", 'names = ["all"]\nseverities = [1, 2]', ""),
    "imagenet-c-bar": (CLEAN_TREE, "bar-tree", 'names = ["all"]', ""),
    "imagenet-3dcc": (CLEAN_TREE, "3dcc", 'names = ["all"]', ""),
    "medmnist-c": ('kind = "medmnist"\npath = "{inputs}/pneumoniamnist.npz"', "medmnist-c", 'names = ["all"]', ""),
}
TEST_SETS = {
    "cifar10.1": 'kind = "cifar10.1"\npath = "{inputs}/cifar10.1"',
    "cifar10.2": 'kind = "cifar10.2"\npath = "{inputs}/cifar10.2"',
    "imagenet-v2": 'kind = "imagenet-v2"\npath = "{inputs}/v2"',
    "imagenet-a": 'kind = "imagenet-a"\npath = "{inputs}/a"',
    "imagenet-r": 'kind = "imagenet-r"\npath = "{inputs}/r"\nimage_size = 30',
    "imagenet-sketch": 'kind = "imagenet-sketch"\npath = "{inputs}/sketch"',
    "objectnet": 'kind = "objectnet"\npath = "{inputs}/objectnet-1.0"',
}
SHIFTS = {
    "shifts-cifar": {
        "CIFAR-10.1": TEST_SETS["cifar10.1"], "CIFAR-10.2": TEST_SETS["cifar10.2"],
        "Animals": 'kind = "folder"\npath = "{inputs}/animals"',
        "Listed": 'kind = "list"\npath = "{inputs}/animals.csv"',
    },
    "shifts-imagenet": {label: TEST_SETS[label] for label in TEST_SETS if not label.startswith("cifar")},
}  # fmt: skip


def inputs(folder: Path) -> None:
    _corrupted_arrays(folder)
    _corrupted_trees(folder)
    _test_sets(folder)


def run(side: Side) -> None:
    for name, (clean, published, keys, more) in SETS.items():
        corruptions = f'{keys}\npublished = "{{inputs}}/{published}"'
        study = write_study(side, f"{name}-index", clean, corruptions=corruptions, more=more)
        side.command(f"{name}.ingest", "ingest", study)
        run_study(side, name, clean, corruptions=corruptions, more=more)
    side.command("imagenet-c.status", "status", "imagenet-c.toml")
    side.command("imagenet-3dcc.status", "status", "imagenet-3dcc.toml")
    for name, dataset in TEST_SETS.items():
        is_imagenet = not name.startswith("cifar")
        keys = {"builder": "imagenet", "model": 'class_names = "imagenet-1k"'} if is_imagenet else {}
        run_study(side, name, dataset, **keys)
    every = {"builder": "imagenet", "model": 'class_names = "imagenet-1k"\nclasses = "all"'}
    run_study(side, "imagenet-a-all", TEST_SETS["imagenet-a"], **every)
    for name, shifts in SHIFTS.items():
        more = "".join(f'[[shifts]]\nlabel = "{label}"\n{dataset}\n' for label, dataset in shifts.items())
        if name == "shifts-cifar":
            run_study(side, name, 'kind = "cifar10"\npath = "{inputs}/cifar10"', more=more)
        else:
            clean = 'kind = "folder"\npath = "{inputs}/imagenet"\nimage_size = 30\nresize = 30'
            run_study(side, name, clean, more=more, builder="imagenet", model='class_names = "imagenet-1k"')
    side.command("shifts.chart", "chart", "shifts", "shifts-imagenet", "--output", "shifts.json", out="shifts.json")


# --- corrupted sets


def _corrupted_arrays(folder: Path) -> None:
    flat = IMAGES[:10].transpose(0, 3, 1, 2).reshape(10, -1)
    labels = np.random.default_rng(1).permutation(10)
    write(folder / "cifar10/test_batch", pickle.dumps({b"data": flat, b"labels": labels.tolist()}, protocol=2))
    _write_arrays(folder / "cifar-c", IMAGES[:10], labels, ("gaussian_noise", "fog", "saturate"))
    write_arrays(folder / "arrays", IMAGES, LABELS, IDS)
    _write_arrays(folder / "arrays-c", IMAGES, LABELS, ("fog", "snow"))
    order = np.random.default_rng(2).permutation(COUNT)
    _write_arrays(folder / "shuffled", IMAGES[order], LABELS[order], ("fog",))
    bar = folder / "bar"
    _write_arrays(bar, IMAGES, LABELS, ("sparkles", "lines", "ripple", "blue_noise_sample", "none"))
    np.save(bar / "lines.npy", np.load(bar / "lines.npy")[: 3 * COUNT])
    np.save(bar / "ripple.npy", np.zeros((7, SIDE, SIDE, 3), np.uint8))
    write(bar / "blue_noise_sample.npy", (bar / "blue_noise_sample.npy").read_bytes()[:-100])
    write(bar / "README.txt", "a text")
    (bar / "previews").mkdir()
    gray, two = IMAGES[..., 0], LABELS % 2
    np.savez_compressed(folder / "pneumoniamnist.npz", test_images=gray, test_labels=two[:, None])
    (folder / "medmnist-c").mkdir()
    for name in ("brightness_up", "stain_deposit", "pixelate"):
        turned = slice(None, None, -1 if name == "pixelate" else 1)  # in another order
        stacked = np.concatenate([_darkened(gray[turned], name, severity) for severity in SEVERITIES])
        tiled = np.tile(two[turned].astype(np.uint8)[:, None], (5, 1))
        np.savez_compressed(folder / f"medmnist-c/{name}.npz", test_images=stacked, test_labels=tiled)


def _corrupted_trees(folder: Path) -> None:
    for file, image in zip(FILES, IMAGES, strict=True):
        write(folder / "tree" / file, encoded(image))
    images = np.concatenate([IMAGES, scenes(4, SIDE, SIDE, seed=8)])
    files = [*FILES, *(f"n02123045/{number}.JPEG" for number in range(4))]  # a class that the clean images lack
    _write_tree(folder / "tree-c/weather", images, files, {"fog": SEVERITIES, "snow": SEVERITIES})
    _write_tree(folder / "tree-c/noise", images, files, {"gaussian_noise": SEVERITIES}, kind="JPEG")
    _write_tree(folder / "renamed", IMAGES, [name.replace("ILSVRC2012_", "test_") for name in FILES], {"fog": (1, 2)})
    _write_tree(folder / "bar-tree", IMAGES, FILES, PARAMETERS)
    _write_tree(folder / "3dcc", IMAGES, FILES, dict.fromkeys(("near_focus", "fog_3d", "flash"), SEVERITIES))
    shutil.rmtree(folder / "3dcc/fog_3d/4")
    (folder / "3dcc/flash/2" / FILES[3]).unlink()
    write(folder / "3dcc/flash/5/notes.txt", "a text")


def _darkened(images: np.ndarray, name: str, severity: int) -> np.ndarray:
    """Images a little darker at each severity, by another shade for each name."""
    return (images * (1 - 0.1 * severity - 0.01 * (sum(map(ord, name)) % 10))).astype(np.uint8)


def _write_arrays(folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> None:
    folder.mkdir()
    for name in names:
        np.save(folder / f"{name}.npy", np.concatenate([_darkened(images, name, severity) for severity in SEVERITIES]))
    np.save(folder / "labels.npy", np.tile(labels, 5).astype(np.uint8))


def _write_tree(
    folder: Path, images: np.ndarray, files: Sequence[str], names: Mapping[str, Sequence[object]], kind: str = "PNG"
) -> None:
    for name, levels in names.items():
        for severity, level in enumerate(levels, start=1):
            for pixels, file in zip(_darkened(images, name, severity), files, strict=True):
                write(folder / name / str(level) / file, encoded(pixels, kind))


# --- test sets


def _test_sets(folder: Path) -> None:
    others = scenes(10, SIDE, SIDE, seed=9)
    (folder / "cifar10.1").mkdir()
    for version, images in (("v6", others), ("v4", others[::-1])):
        np.save(folder / f"cifar10.1/cifar10.1_{version}_data.npy", images)
        np.save(folder / f"cifar10.1/cifar10.1_{version}_labels.npy", np.arange(10, dtype=np.int32))
    (folder / "cifar10.2").mkdir()
    objects = np.array(["airplane"], dtype=object)
    np.savez(folder / "cifar10.2/cifar102_test.npz", images=others[::-1], labels=np.arange(10), label_names=objects)
    animals = ("cat", "dog", "frog")
    for name, images in (("animals", others[:3]), ("listed", others[3:6])):
        write_class_folders(folder / name, images, animals, "jpg")
    rows = "".join(f"listed/{name}/{number:03d}.jpg,{name},left\n" for number, name in enumerate(animals))
    write(folder / "animals.csv", f"path,label,camera\n{rows}")
    numbers = ("0", "1", "2", "3", "6", "7", "10", "11")
    write_class_folders(folder / "v2/imagenetv2-matched-frequency-format-val", others[:8], numbers, "jpeg")
    write_class_folders(folder / "a", others[:4], MORE_IDS[:4])
    write_class_folders(folder / "r", scenes(5, 40, 50, seed=10), MORE_IDS[1:6])
    write_class_folders(folder / "sketch", others[2:10], MORE_IDS)
    write_class_folders(folder / "imagenet", scenes(10, 30, 30, seed=11), (*MORE_IDS, "n01530575", "n01531178"))
    _objectnet(folder / "objectnet-1.0", others.copy())


def _objectnet(root: Path, images: np.ndarray) -> None:
    """Folders, mappings and red border; two classes are one of ImageNet's each, one is several, one is none."""
    labels = {"tench": "Tench", "sharks": "Shark", "ray": "Electric ray", "air_freshener": "Air freshener"}
    known = {0: "tench", 2: "great white shark", 3: "tiger shark", 5: "electric ray"}
    classes = {"Tench": "tench", "Shark": "great white shark; tiger shark", "Electric ray": "electric ray"}
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:, :, :2], np.s_[:, :, -2:]):
        images[edge] = (255, 0, 0)
    write_class_folders(root / "images", images[:8], [*labels] * 2)
    order = np.random.default_rng(0).permutation(1000)  # lines of labels are in an order of their own
    write(root / "mappings/folder_to_objectnet_label.json", json.dumps(labels))
    write(root / "mappings/objectnet_to_imagenet_1k.json", json.dumps(classes))
    write(root / "mappings/imagenet_to_label_2012_v2", "".join(f"{known.get(output, output)}\n" for output in order))
    places = {str(output): place for place, output in enumerate(order.tolist())}
    write(root / "mappings/pytorch_to_imagenet_2012_id.json", json.dumps(places))
