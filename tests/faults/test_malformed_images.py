"""Malformed and malicious images, arrays and labels: each is one error line, at once and in little memory."""

import io
import json
import os
import pickle
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoded_files import encoded, npy
from fault_trials import MAX_S, attempt_here, refused
from marked_cases import quick

from failmodes.evaluate.evaluation_data import open_evaluation_data
from failmodes.evaluate.study.study_file import read_study
from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.layout import open_dataset
from failmodes.ingest.datasets.layouts.digits import open_digits
from failmodes.runtime.errors import FailmodesError

CANARY = "opened-by-a-pickle"  # a file that code in a pickle would make
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 1, 0])
IMAGE = encoded(PIXELS[0])
NOT_UTF8 = os.fsdecode(b"\xff\xfe")
Make = Callable[[Path], object]


class Case(NamedTuple):
    """A malformed input.

    Attributes:
        make: writes it into a folder.
        dataset: the keys of `[dataset]` that name it; of a corrupted dataset, its folder.
        message: a part of the error.
    """

    make: Make
    dataset: str
    message: str = ""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, data: bytes = b"") -> bytes:
    """A PNG that states a size, of the pixels that `data` packs."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def whole_png(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel, whole: a few hundred kilobytes unpack to `width` × `height`."""
    return png(width, height, data=(b"\0" * ((width + 7) // 8 + 1)) * height)


def npz(**members: bytes) -> bytes:
    """An archive of files as they are, compressed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def header(text: str) -> bytes:
    """The header of a `.npy` file."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def stated(shape: object) -> bytes:
    return header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n")


def sparse(path: Path, beginning: bytes, size: int) -> None:
    """A file of any size that takes no room on the disk."""
    path.write_bytes(beginning)
    os.truncate(path, size)


def put(path: Path, content: bytes | Make) -> None:
    """Write a file, or make something else, in the place of what is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if callable(content):
        path.unlink(missing_ok=True)
        content(path)
    else:
        path.write_bytes(content)


def in_folder(name: str, content: bytes | Make) -> Make:
    """A folder of class folders, with one more file beside a good one."""

    def make(folder: Path) -> None:
        put(folder / "images" / "ant" / "1.png", IMAGE)
        put(folder / "images" / name, content)

    return make


def of_arrays(name: str, content: bytes | Make) -> Make:
    """A folder of arrays, one of its files in another's place."""

    def make(folder: Path) -> None:
        put(folder / "images" / "images.npy", npy(PIXELS))
        put(folder / "images" / "labels.npy", npy(LABELS))
        put(folder / "images" / "classes.json", b'["cat", "dog"]')
        put(folder / "images" / name, content)

    return make


def of_cifar(name: str, content: bytes | Make) -> Make:
    return lambda folder: put(folder / "images" / name, content)


def of_set(name: str, content: bytes | Make) -> Make:
    """Twenty digits corrupted, as CIFAR-10-C and ImageNet-C are published, one of the files in another's place."""

    def make(folder: Path) -> None:
        digits = open_digits("test")
        images, labels = np.asarray(digits.images[:20]), digits.labels[:20]
        made = np.concatenate([corrupt(images, "contrast", severity) for severity in range(1, 6)])
        put(folder / "arrays" / "contrast.npy", npy(made))
        put(folder / "arrays" / "labels.npy", npy(np.tile(labels, 5).astype(np.uint8)))
        for number, (image, label) in enumerate(zip(made[:20], labels, strict=True)):
            cell = folder / "tree" / "contrast" / "1" / digits.class_names[label]
            put(cell / f"{number:03d}.png", encoded(image))
        put(folder / name, content)

    return make


def link_to(target: str) -> Make:
    return lambda path: path.symlink_to(target)


class Runs:
    def __reduce__(self):
        return os.system, (f"touch {CANARY}",)


def batch(data: object = None, **more: object) -> bytes:
    flat = PIXELS.transpose(0, 3, 1, 2).reshape(len(PIXELS), -1)
    return pickle.dumps({b"data": flat if data is None else data, b"labels": LABELS.tolist(), **more}, protocol=2)


def parquet(images: pa.Array | list, labels: object = None, names: object = None, **options) -> Make:
    def make(path: Path) -> None:
        table = pa.table({"img": images, "label": labels if labels is not None else [0] * len(images)})
        if names is not None:
            table = table.replace_schema_metadata({"huggingface": names})
        pq.write_table(table, path, **options)

    return make


def manifest(**changes: object) -> bytes:
    whole = {
        "made_by": "failmodes corrupt", "layout": "cifar-c", "format": "npy", "recipe": "cifar-c", "seed": 0,
        "noise": "shared", "images": 20, "subset": "", "image_ids": None, "versions": {}, "corruptions": {},
        "dataset": {"label": "x", "split": "test", "dataset_id": "0" * 16},
    }  # fmt: skip
    return json.dumps(whole | changes).encode()


FOLDER = 'kind = "folder"\npath = "images"\nimage_size = 32'
AS_THEY_ARE = 'kind = "folder"\npath = "images"'
MEDMNIST, LIST = 'kind = "medmnist"\npath = "images/x.npz"', 'kind = "list"\npath = "images/x.csv"'
ARRAYS = 'kind = "arrays"\npath = "images"'
CIFAR = 'kind = "cifar10"\npath = "images"'
DIGITS = 'kind = "digits"\nimages = 20'
PUBLISHED = 'names = ["contrast"]\nseverities = [1]\npublished = "{}"\n'
TB = 10**12
NO_FILE, NO_ARRAY = "it is a named pipe, expected a regular file", "is not a readable array"

IMAGES: dict[str, Case] = {
    "a pipe": Case(in_folder("ant/2.png", os.mkfifo), FOLDER, "2.png is not a regular file"),
    "a link to itself": Case(in_folder("ant/2.png", link_to("2.png")), FOLDER, "2.png cannot be read (Too many levels"),
    "a pipe that comes first": Case(in_folder("ant/0.png", os.mkfifo), AS_THEY_ARE, "it is a named pipe"),
    "words": Case(in_folder("ant/2.png", b"these are words"), FOLDER, "2.png cannot be decoded (not an image)"),
    "PostScript": Case(in_folder("ant/2.png", b"%!PS-Adobe-3.0 EPSF-3.0\n"), FOLDER, "(not an image)"),
    "half a PNG": Case(in_folder("ant/2.png", IMAGE[:-900]), FOLDER, "2.png cannot be decoded (damaged"),
    "a bomb": Case(in_folder("ant/2.png", png(30_000, 30_000)), FOLDER, "has more than 178,956,970 pixels"),
    "a bomb of text": Case(
        in_folder("ant/2.png", png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000))), data=b"\0" * 16)),
        FOLDER, "damaged",
    ),
    "a thread": Case(in_folder("ant/2.png", whole_png(1, 60_000)), FOLDER + "\nresize = 256", "256×15,360,000 pixels"),
    "floats": Case(in_folder("ant/2.png", encoded(np.ones((9, 9), np.float32), "TIFF")), FOLDER, "8 bits per channel"),
    "a class that is not UTF-8": Case(in_folder(f"{NOT_UTF8}/1.png", IMAGE), FOLDER, "is not valid UTF-8, '\\udcff"),
    "an escape": Case(in_folder("bee/\x1b[2J\n.txt", b""), FOLDER, "only 1 file of another format (bee/\\x1b[2J .txt)"),
    "a class within itself": Case(
        in_folder("bee", lambda path: path.symlink_to(".")), FOLDER,
        "bee has no readable image, only 2 files in folders within classes (bee/ant/, bee/bee/)",
    ),
    "a folder within itself": Case(
        lambda here: (here / "images").symlink_to("images"), FOLDER, "images does not exist",
    ),
    # arrays
    "a negative shape": Case(of_arrays("images.npy", stated((-1, 32, 32, 3)) + PIXELS.tobytes()), ARRAYS, NO_ARRAY),
    "sparse labels": Case(
        of_arrays("labels.npy", lambda path: sparse(path, stated((TB - 128,)), TB)), ARRAYS, "needs 32,000.0 GB",
    ),
    "more than the file holds": Case(of_arrays("images.npy", stated((10**9, 32, 32, 3))), ARRAYS, NO_ARRAY),
    "more bytes than stated": Case(of_arrays("images.npy", npy(PIXELS) + b"\0"), ARRAYS, "has 18,561 bytes, expected"),
    "a header of parentheses": Case(of_arrays("images.npy", header("(" * 9000)), ARRAYS, NO_ARRAY),
    "objects": Case(of_arrays("labels.npy", npy(np.array([Runs(), None]))), ARRAYS, "Python objects"),
    "a pickle": Case(of_arrays("labels.npy", batch(Runs())), ARRAYS, "labels.npy is not a readable array"),
    "not a number": Case(
        of_arrays("images.npy", npy(np.full((6, 8, 8, 3), np.nan))), ARRAYS, "must be uint8 (N, H, W, 3)",
    ),
    "a label beyond": Case(of_arrays("labels.npy", npy(LABELS + 2**40)), ARRAYS, "of image 0 is out of range"),
    "a pipe for an array": Case(of_arrays("images.npy", os.mkfifo), ARRAYS, NO_FILE),
    "/dev/zero for classes": Case(of_arrays("classes.json", link_to("/dev/zero")), ARRAYS, "it is a device, expected"),
    "classes that nest": Case(of_arrays("classes.json", b"[" * 100_000), ARRAYS, "classes.json is not valid JSON"),
    "half a character": Case(of_arrays("classes.json", b'["\\udc80", "b"]'), ARRAYS, "classes.json is not valid JSON"),
    "100,000 classes": Case(
        of_arrays("classes.json", json.dumps([*map(str, range(10**5))]).encode()), ARRAYS, "at most 32,767 can",
    ),
    "a long class": Case(
        of_arrays("classes.json", json.dumps(["a" * 10**6, "b"]).encode()), ARRAYS, "a name of 1,000,000",
    ),
    # CIFAR
    "code": Case(of_cifar("test_batch", batch(Runs())), CIFAR, "it asks for posix.system"),
    "a memo of 2^32": Case(of_cifar("test_batch", b"\x80\x02}r\xff\xff\xff\xff."), CIFAR, "lacks data or labels"),
    "a string of 2^40": Case(
        of_cifar("test_batch", b"\x80\x04\x8e" + (2**40).to_bytes(8, "little")), CIFAR, "is truncated or not a pickle",
    ),
    "a pipe for a batch": Case(of_cifar("test_batch", os.mkfifo), CIFAR, NO_FILE),
    "a batch of a terabyte": Case(
        of_cifar("test_batch.bin", lambda path: sparse(path, b"", 3073 * 325_000_000)), CIFAR,
        "has at most 10,000,000 images",
    ),
    "a pipe for a table": Case(of_cifar("test-0.parquet", os.mkfifo), CIFAR, NO_FILE),
    "a string of 1 MB": Case(
        of_cifar("test-0.parquet", parquet([b"\0" * 1_000_000, *[b""] * 99])), CIFAR, "an image of 1,000,000 bytes",
    ),
    "a label that is missing": Case(
        of_cifar("test-0.parquet", parquet(pa.nulls(3, pa.binary()), [0, 1, None])), CIFAR, "expected whole numbers",
    ),
    "names that nest": Case(
        of_cifar("test-0.parquet", parquet([b""], names="[" * 100_000)), CIFAR, "row 1 cannot be decoded",
    ),
    # Archives and lists
    "an archive that states a terabyte": Case(
        of_cifar("x.npz", npz(test_images=stated((10**9, 32, 32)), test_labels=npy(LABELS))), MEDMNIST, "expected",
    ),
    "objects in an archive": Case(
        of_cifar("x.npz", npz(test_images=npy(PIXELS), test_labels=npy(np.array([Runs(), None])))), MEDMNIST, "objects",
    ),
    "an archive with another name": Case(of_cifar("x.npz", npz(images=npy(PIXELS))), MEDMNIST, "lacks an array"),
    "a pipe for an archive": Case(of_cifar("x.npz", os.mkfifo), MEDMNIST, "is not a regular file"),
    "/dev/zero for a list": Case(of_cifar("x.csv", link_to("/dev/zero")), LIST, "is not a regular file"),
    "a list of one long line": Case(of_cifar("x.csv", b"path,label\nx," + b"a" * 10**7), LIST, "a text of 10,000,000"),
    "a list of a null character": Case(of_cifar("x.csv", b"path,label\n\0,a\n"), LIST, "is no path of a file"),
    "a list of bytes": Case(of_cifar("x.csv", bytes(range(256)) * 99), LIST, "expected the columns path and label"),
}  # fmt: skip

SETS: dict[str, Case] = {
    "a pipe for a corruption": Case(of_set("arrays/contrast.npy", os.mkfifo), "arrays", NO_FILE),
    "a negative shape in a set": Case(of_set("arrays/contrast.npy", stated((-100, 32, 32, 3))), "arrays", "not a .npy"),
    "sparse labels of a set": Case(
        of_set("arrays/labels.npy", lambda path: sparse(path, stated((TB - 130,)), TB - 2)), "arrays", "at most 2,147",
    ),
    "/dev/zero for an image": Case(
        of_set("tree/contrast/1/one/099.png", link_to("/dev/zero")), "tree", "it is a device",
    ),
    "image_ids without end": Case(
        of_set("arrays/manifest.json", manifest(image_ids="0-999999999999 1000000000000-20")), "arrays", "as ranges",
    ),
    "classes that the data lack": Case(
        of_set(f"tree/contrast/1/{NOT_UTF8}", lambda path: [
            image.rename(image.with_name(f"{NOT_UTF8}{image.name}")) for image in path.parent.iterdir()
        ]),
        "tree", "has a class '\\udcff\\udcfeeight' that the clean dataset lacks",
    ),
    "an archive beside arrays": Case(
        of_set("archives/fog.npz", b"PK\3\4" + bytes(99)), "archives", "not an .npz archive",
    ),
    "a severity twice": Case(of_set("tree/contrast/1.0", Path.mkdir), "tree", "has severity 1 twice"),
}  # fmt: skip

# Unusual and readable
READ: dict[str, Case] = {
    "EXIF of noise": Case(
        in_folder("ant/2.jpg", encoded(PIXELS[0], "JPEG", exif=b"Exif\0\0II*\0" + bytes(range(200)))),
        FOLDER,
    ),
    "a class with an escape": Case(in_folder("\x1b[2Jbad\n/2.png", IMAGE), FOLDER),
    "left out and odd": Case(in_folder("ant/\x1b[2J\n.txt", os.mkfifo), FOLDER),
    "names of a million": Case(
        of_cifar("test-0.parquet", parquet([IMAGE], names='{"info": {"features": 1}}')),
        CIFAR,
    ),
}

COMMANDS = ("a pipe", "a class that is not UTF-8", "sparse labels", "code")
LARGE = (  # their memory shows in a process of its own alone
    "a bomb", "a bomb of text", "a thread", "more than the file holds", "a header of parentheses", "classes that nest",
    "a memo of 2^32", "a string of 2^40", "a batch of a terabyte", "names that nest",
    "an archive that states a terabyte", "a list of one long line", "sparse labels of a set", "image_ids without end",
)  # fmt: skip


def write_study(folder: Path, dataset: str, corruptions: str = 'names = ["contrast"]\nseverities = [1]\n') -> Path:
    folder.mkdir(exist_ok=True)
    text = f'name = "x"\noutput = "out"\n[dataset]\n{dataset}\n[corruptions]\n{corruptions}'
    (folder / "study.toml").write_text(text)
    return folder


def malformed_study(name: str, folder: Path) -> str:
    """Write a study of a malformed input, and say what its error says."""
    case = (IMAGES | SETS)[name]
    case.make(write_study(folder, *((case.dataset,) if name in IMAGES else (DIGITS, PUBLISHED.format(case.dataset)))))
    return case.message


@quick("name", [*COMMANDS, *LARGE], *COMMANDS)
def test_command_prints_one_line_soon_and_takes_little_memory(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    says = malformed_study(name, folder)
    refused("ingest", "study.toml", folder=folder, says=says, code=1, most_s=MAX_S)
    assert not (folder / CANARY).exists()


@pytest.mark.parametrize("name", [*IMAGES, *SETS])
def test_malformed_images_are_refused(name: str, tmp_path: Path) -> None:
    """Soon, and no code of a file runs."""
    folder = tmp_path / "study"
    says = malformed_study(name, folder)
    started = time.monotonic()
    with pytest.raises(FailmodesError) as caught:
        open_images(folder / "study.toml")
    assert says in str(caught.value)
    assert time.monotonic() - started < 5
    assert not (folder / CANARY).exists()


def open_images(study_file: Path) -> None:
    """Open what `failmodes ingest` opens, in this process."""
    study = read_study(study_file, require_models=False)
    dataset = open_dataset(study.dataset, study.cache)
    assert dataset.dataset_id
    for data in open_evaluation_data(study, dataset):
        assert data.source.source_id


@pytest.mark.parametrize("case", READ.values(), ids=READ)
def test_unusual_dataset_is_read_and_prints_no_controls(case: Case, tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study", case.dataset)
    case.make(folder)
    trial = attempt_here("ingest", "study.toml", folder=folder)
    assert trial.code == 0, trial
    assert "\x1b" not in trial.stderr + trial.stdout
