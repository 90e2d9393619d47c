"""Images, arrays and labels that were made to break whoever opens them; each function makes one set in a folder."""

import io
import json
import os
import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from failmodes.ingest.corruptions.apply import corrupt
from failmodes.ingest.datasets.digits import open_digits

CANARY = "opened-by-a-pickle"  # a file that code in a pickle would make
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 1, 0])
NOT_UTF8 = os.fsdecode(b"\xff\xfe")
Make = Callable[[Path], object]


def encoded(pixels: np.ndarray = PIXELS[0], kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def cmyk() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(PIXELS[0]).convert("CMYK").save(buffer, "JPEG")
    return buffer.getvalue()


def film() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(one) for one in PIXELS]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *more: bytes, depth: int = 1, color: int = 0, data: bytes = b"") -> bytes:
    """A PNG that states a size, of the pixels that `data` packs."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def whole_png(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel, whole: a few hundred kilobytes unpack to `width` × `height`."""
    return png(width, height, data=(b"\0" * ((width + 7) // 8 + 1)) * height)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(text: str, version: bytes = b"\x01\x00") -> bytes:
    """The header of a `.npy` file."""
    size = len(text).to_bytes(2 if version[0] == 1 else 4, "little")
    return b"\x93NUMPY" + version + size + text.encode()


def stated(shape: object, descr: str = "|u1") -> bytes:
    return header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n")


def sparse(path: Path, beginning: bytes, size: int) -> None:
    """A file of any size that takes no room on the disk."""
    path.write_bytes(beginning)
    os.truncate(path, size)


def in_folder(name: str, content: bytes | Make) -> Make:
    """A folder of class folders, with one more file beside a good one."""

    def make(folder: Path) -> None:
        good = folder / "images" / "ant" / "1.png"
        good.parent.mkdir(parents=True)
        good.write_bytes(encoded())
        path = folder / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(path)
        else:
            path.write_bytes(content)

    return make


def of_arrays(name: str, content: bytes | Make) -> Make:
    """A folder of arrays, one of its files in another's place."""

    def make(folder: Path) -> None:
        path = folder / "images"
        path.mkdir()
        (path / "images.npy").write_bytes(npy(PIXELS))
        (path / "labels.npy").write_bytes(npy(LABELS))
        (path / "classes.json").write_text('["cat", "dog"]')
        if callable(content):
            (path / name).unlink()
            content(path / name)
        else:
            (path / name).write_bytes(content)

    return make


def of_cifar(name: str, content: bytes | Make) -> Make:
    def make(folder: Path) -> None:
        (folder / "images").mkdir()
        path = folder / "images" / name
        content(path) if callable(content) else path.write_bytes(content)

    return make


def of_set(name: str, content: bytes | Make) -> Make:
    """Twenty digits corrupted, as CIFAR-10-C and ImageNet-C are published, one of the files in another's place."""

    def make(folder: Path) -> None:
        digits = open_digits("test")
        images, labels = np.asarray(digits.images[:20]), digits.labels[:20]
        made = np.concatenate([corrupt(images, "contrast", severity) for severity in range(1, 6)])
        arrays, tree = folder / "arrays", folder / "tree"
        arrays.mkdir()
        np.save(arrays / "contrast.npy", made)
        np.save(arrays / "labels.npy", np.tile(labels, 5).astype(np.uint8))
        for number, (image, label) in enumerate(zip(made[:20], labels, strict=True)):
            path = tree / "contrast" / "1" / digits.class_names[label] / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(image))
        path = folder / name
        if callable(content):
            if path.is_file():
                path.unlink()
            content(path)
        else:
            path.write_bytes(content)

    return make


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to(target: str) -> Make:
    return lambda path: path.symlink_to(target)


def many_classes(path: Path) -> None:
    for number in range(40_000):
        (path.parent / f"{number}").mkdir()


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


def large_string(path: Path) -> None:
    """One string of 150 MB in a dictionary that all rows share: a few kB on the disk."""
    values = pa.array([b"\0" * 150_000_000], pa.binary())
    indices = pa.array([0] * 20_000, pa.int32())
    images = pa.StructArray.from_arrays([pa.DictionaryArray.from_arrays(indices, values)], ["bytes"])
    pq.write_table(pa.table({"img": images, "label": [0] * 20_000}), path, compression="zstd")


def manifest(**changes: object) -> bytes:
    whole = {
        "made_by": "failmodes corrupt", "layout": "cifar-c", "format": "npy", "recipe": "cifar-c", "seed": 0,
        "noise": "shared", "images": 20, "subset": "", "image_ids": None, "versions": {}, "corruptions": {},
        "dataset": {"label": "x", "split": "test", "dataset_id": "0" * 16},
    }  # fmt: skip
    return json.dumps(whole | changes).encode()
