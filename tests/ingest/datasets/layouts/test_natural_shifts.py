"""Published test sets: files, class lists and orders of the real ones in miniature, and their protocols."""

import json
from pathlib import Path

import numpy as np
import pytest
from benchmark_sets import write_cifar10_1, write_cifar10_2, write_class_folders, write_medmnist, write_objectnet

from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.datasets.imagenet_classes import by_wordnet_id
from failmodes.ingest.datasets.layout import DatasetSpec, open_dataset
from failmodes.ingest.protocols.protocol import protocol_of_shift
from failmodes.runtime.errors import DataError, FailmodesError

RNG = np.random.default_rng(0)
SMALL = RNG.integers(0, 256, (10, 32, 32, 3)).astype(np.uint8)
LABELS = np.arange(10)[::-1].copy()
IDS = list(by_wordnet_id())


def opened(kind: str, path: Path, split: str = "test", **keys: object) -> Dataset:
    root = next(parent for parent in path.parents if parent.name.startswith("test_"))
    return open_dataset(DatasetSpec(kind=kind, path=path, **keys), root / "cache", split)


def test_cifar_10_1_opens_v6_and_v4(tmp_path: Path) -> None:
    folder = write_cifar10_1(tmp_path / "c", SMALL, LABELS, "v4")
    dataset = opened("cifar10.1", folder)
    np.testing.assert_array_equal(dataset.images[:], SMALL)
    assert (dataset.label, dataset.labels.tolist()) == ("CIFAR-10.1 v4", LABELS.tolist())
    assert dataset.class_names[:2] == ("airplane", "automobile")
    write_cifar10_1(folder, SMALL[:5], LABELS[:5])
    both = opened("cifar10.1", folder)
    assert (both.label, len(both.images), both.note) == ("CIFAR-10.1 v6", 5, "v4 in the same folder is left out")
    with pytest.raises(DataError, match="has no train images"):
        opened("cifar10.1", folder, "train")


def test_cifar_10_2_reads_no_python_objects(tmp_path: Path) -> None:
    dataset = opened("cifar10.2", write_cifar10_2(tmp_path / "c", SMALL, LABELS))
    np.testing.assert_array_equal(dataset.images[:], SMALL)
    assert dataset.labels.tolist() == LABELS.tolist()
    np.savez(tmp_path / "c" / "cifar102_test.npz", images=np.array([{}], dtype=object), labels=LABELS)
    with pytest.raises(DataError, match="holds Python objects"):
        opened("cifar10.2", tmp_path / "c")


def test_imagenet_v2_sorts_its_folders_as_numbers(tmp_path: Path) -> None:
    numbers = [0, 1, 2, 10, 11, 100, 207, 388, 998, 999]
    inside = write_class_folders(
        tmp_path / "v2" / "imagenetv2-matched-frequency-format-val", SMALL, list(map(str, numbers))
    )
    for path in (inside, inside.parent):
        dataset = opened("imagenet-v2", path)
        assert dataset.class_names == tuple(IDS[number] for number in numbers)
        assert dataset.labels.tolist() == list(range(10))
        np.testing.assert_array_equal(dataset.images[:], SMALL)
        assert dataset.files[3] == "10/003.jpg"
        assert "990 of 1,000 classes have no folder" in str(dataset.note)
    (inside / "n01440764").mkdir()
    write_class_folders(inside, SMALL[:1], ["n01440764"])
    with pytest.raises(DataError, match="folder 'n01440764': expected class folders 0 to 999"):
        opened("imagenet-v2", inside)


@pytest.mark.parametrize(
    ("kind", "label", "restricted"),
    [
        ("imagenet-a", "ImageNet-A", True),
        ("imagenet-r", "ImageNet-R", True),
        ("imagenet-sketch", "ImageNet-Sketch", False),
    ],
)
def test_wordnet_folders_have_the_classes_that_they_name(
    tmp_path: Path, kind: str, label: str, restricted: bool
) -> None:
    ids = sorted(IDS[number] for number in (6, 11, 13, 15, 17, 22, 23, 27, 30, 37))
    root = write_class_folders(tmp_path / kind, SMALL, ids)
    (root / "README.txt").write_text("a text")
    dataset = opened(kind, root, image_size=16)
    assert (dataset.name, dataset.label, dataset.class_names) == (kind, label, tuple(ids))
    assert dataset.images.shape == (10, 16, 16, 3)
    protocol = protocol_of_shift(kind)
    assert protocol is not None
    assert (protocol.compared_with, protocol.restricted) == ("the ImageNet validation set", restricted)
    assert protocol.source
    write_class_folders(root, SMALL[:1], ["cats"])
    with pytest.raises(DataError, match="folder 'cats': expected WordNet ids"):
        opened(kind, root, image_size=16)


def test_medmnist_archives_open_in_color_and_gray(tmp_path: Path) -> None:
    labels = np.arange(10) % 8
    path = write_medmnist(tmp_path / "bloodmnist_64.npz", SMALL, labels)
    dataset = opened("medmnist", path)
    np.testing.assert_array_equal(dataset.images[2:4], SMALL[2:4])
    assert dataset.class_names[:2] == ("basophil", "eosinophil")
    assert (dataset.labels.tolist(), dataset.gray) == (labels.tolist(), False)
    gray = opened("medmnist", write_medmnist(tmp_path / "octmnist.npz", SMALL[..., 1], labels % 4))
    np.testing.assert_array_equal(gray.images[[3, 1]], np.repeat(SMALL[[3, 1], ..., 1:2], 3, axis=3))
    assert gray.gray
    assert len(gray.dataset_id) == 16
    unknown = opened("medmnist", write_medmnist(tmp_path / "mine.npz", SMALL, labels))
    assert unknown.class_names[-1] == "class 7"
    np.savez(tmp_path / "chestmnist.npz", test_images=SMALL, test_labels=np.zeros((10, 14), np.uint8))
    with pytest.raises(DataError, match="14 labels per image"):
        opened("medmnist", tmp_path / "chestmnist.npz")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(FailmodesError, match="truncated or not an"):
        opened("medmnist", path)


def test_objectnet_has_the_shared_classes_without_its_border(tmp_path: Path) -> None:
    root = write_objectnet(tmp_path / "objectnet-1.0", SMALL)
    dataset = opened("objectnet", root)
    assert dataset.class_names == ("n03793489", "n04356056"), "mouse and sunglasses"
    assert dataset.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(dataset.images[:], SMALL[[1, 0], 2:-2, 2:-2])
    assert "skipped: 2 images of 1 class that ImageNet lacks and 1 that are several" in str(dataset.note)
    assert opened("objectnet", root, image_size=16).images.shape == (2, 16, 16, 3)
    mappings = root / "mappings"
    outputs = json.loads((mappings / "pytorch_to_imagenet_2012_id.json").read_text())
    shifted = json.dumps({output: (line + 1) % 1000 for output, line in outputs.items()})
    wrong = {
        "objectnet_to_imagenet_1k.json": ('{"Sunglasses": "unheard of"}', "has no output of ImageNet's 1,000"),
        "folder_to_objectnet_label.json": ("[]", "must be a JSON object"),
        "pytorch_to_imagenet_2012_id.json": (shifted, "do not agree"),
        "imagenet_to_label_2012_v2": (None, "is missing or damaged"),
    }
    for name, (text, message) in wrong.items():
        whole = (mappings / name).read_text()
        (mappings / name).unlink()
        if text is not None:
            (mappings / name).write_text(text)
        with pytest.raises(DataError, match=message):
            opened("objectnet", root)
        (mappings / name).write_text(whole)
    assert opened("objectnet", root).dataset_id == dataset.dataset_id
