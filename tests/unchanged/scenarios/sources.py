"""Every kind of file that holds clean images: index, labels, classes, metadata, masks and the exact pixels."""

import json
import struct
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from image_files import encoded, packed, scenes, write, write_arrays, write_class_folders, write_parquet, write_tar
from PIL import Image
from pixel_studies import run_study, write_study
from side import Side

COUNTED = {"rows": 3377, "values": 36, "sentences": 538, "files": 376, "exits": 44}

NAMES = ("ant", "bee", "cat")
IMAGES = scenes(9)
LABELS = np.arange(9) // 3
CAMERAS = ["a", "b", None, "a", "b", "a", None, "b", "c"]
CIFAR_PIXELS = scenes(10, 32, 32, seed=1)
CIFAR_LABELS = np.random.default_rng(1).permutation(10)

SOURCES = {  # the table [dataset] of each study
    "folder": 'kind = "folder"\npath = "{inputs}/folder"',
    "folder-train": 'kind = "folder"\npath = "{inputs}/folder"\nsplit = "train"\nlabel = "Insects"',
    "folder-some": 'kind = "folder"\npath = "{inputs}/folder"\nimages = 5',
    "folder-listed": 'kind = "folder"\npath = "{inputs}/folder"\nimage_list = "{inputs}/listed.txt"',
    "folder-masks": 'kind = "folder"\npath = "{inputs}/folder"\nmasks = "{inputs}/masks"\nimage_size = 20\nresize = 23',
    "folder-upscaled": 'kind = "folder"\npath = "{inputs}/folder"\nimage_size = 40',
    "folder-formats": 'kind = "folder"\npath = "{inputs}/formats"\nimage_size = 16\nresize = 18',
    "folder-background": 'kind = "folder"\npath = "{inputs}/formats"\nimage_size = 16\nbackground = [9, 80, 160]\n'
    'decode = "on-demand"',
    "folder-gray": 'kind = "folder"\npath = "{inputs}/gray"\ngray = true',
    "folder-wordnet": 'kind = "folder"\npath = "{inputs}/wordnet"',
    "folder-unreadable": 'kind = "folder"\npath = "{inputs}/unreadable"\nskip_unreadable = true',
    "arrays": 'kind = "arrays"\npath = "{inputs}/arrays"\nmasks = "{inputs}/masks.npy"',
    "arrays-gray": 'kind = "arrays"\npath = "{inputs}/gray-arrays"\ngray = true',
    "medmnist": 'kind = "medmnist"\npath = "{inputs}/bloodmnist_28.npz"',
    "medmnist-gray": 'kind = "medmnist"\npath = "{inputs}/pneumoniamnist.npz"\nsplit = "train"',
    "medmnist-unknown": 'kind = "medmnist"\npath = "{inputs}/beetles.npz"',
    "list": 'kind = "list"\npath = "{inputs}/list.csv"\nimage_size = 24',
    "list-parquet": 'kind = "list"\npath = "{inputs}/list.parquet"\nimage_size = 24',
    "cifar10-python": 'kind = "cifar10"\npath = "{inputs}/cifar-python"',
    "cifar10-binary": 'kind = "cifar10"\npath = "{inputs}/cifar-binary"\nsplit = "train"',
    "cifar10-parquet": 'kind = "cifar10"\npath = "{inputs}/cifar-parquet"',
    "cifar100-python": 'kind = "cifar100"\npath = "{inputs}/cifar100"',
    "parquet": 'kind = "parquet"\npath = "{inputs}/insects.parquet"\nimages = 7',
    "parquet-hub": 'kind = "parquet"\npath = "{inputs}/hub"\nsplit = "validation"\nimage_size = 20',
    "parquet-columns": 'kind = "parquet"\npath = "{inputs}/columns/part-*.parquet"\nimage_column = "view"\n'
    'label_column = "species"\nmetadata = {{ columns = ["iso"] }}',
    "webdataset": 'kind = "webdataset"\npath = "{inputs}/shards"',
    "webdataset-json": 'kind = "webdataset"\npath = "{inputs}/one.tar"\nlabel_column = "species"\ndecode = "on-demand"',
    "huggingface": 'kind = "huggingface"\npath = "{inputs}/saved"',
    "huggingface-splits": 'kind = "huggingface"\npath = "{inputs}/saved-splits"\nsplit = "validation"',
    "torchvision": 'kind = "torchvision"\nname = "FashionMNIST"\npath = "{inputs}/torchvision"',
    "torchvision-folder": 'kind = "torchvision"\nname = "ImageFolder"\npath = "{inputs}/turned"\nimage_size = 16',
    "digits": 'kind = "digits"\nimages = 12',
    "digits-gray": 'kind = "digits"\nimages = 10\nsplit = "train"\ngray = true',
    "metadata-paths": 'kind = "folder"\npath = "{inputs}/folder"\nmetadata = {{ path = "{inputs}/paths.csv" }}',
    "metadata-numbers": 'kind = "arrays"\npath = "{inputs}/arrays"\nmetadata = {{ path = "{inputs}/numbers.parquet" }}',
    "metadata-key": 'kind = "parquet"\npath = "{inputs}/insects.parquet"\n'
    'metadata = {{ path = "{inputs}/key.csv", key = "picture", columns = ["site", "camera"] }}',
}
INDEXED = ("folder", "folder-formats", "folder-unreadable", "list", "cifar10-python", "parquet-hub", "webdataset")


def inputs(folder: Path) -> None:
    _folders(folder)
    _arrays(folder)
    _cifar(folder)
    _packed(folder)
    _tables(folder)


def run(side: Side) -> None:
    for name, dataset in SOURCES.items():
        run_study(side, name, dataset)
    for name in INDEXED:
        study = write_study(side, f"{name}-index", SOURCES[name])
        side.command(f"{name}.index", "ingest", study, "--images", "-")
    side.command("folder.file", "ingest", "folder-index.toml", "--images", "images.csv", out="images.csv")


# --- folders


def _folders(folder: Path) -> None:
    classes = [NAMES[label] for label in LABELS]
    write_class_folders(folder / "folder/test", IMAGES, classes)
    write_class_folders(folder / "folder/train", scenes(6, seed=2), ("cat", "bee", "ant", "ant", "bee", "cat"), "jpg")
    listed = [f"{classes[number]}/{number:03d}.png" for number in (7, 0, 4, 3)]
    write(folder / "listed.txt", "".join(f"{name}\n" for name in listed))
    for number, name in enumerate(classes):
        mask = np.zeros((24, 24), np.uint8)
        mask[number : number + 10, 2:14] = 255
        write(folder / "masks" / name / f"{number:03d}.png", encoded(mask * (number != 5)))
    np.save(folder / "masks.npy", np.stack([np.eye(24, k=number, dtype=bool) for number in range(9)]))
    for number, (kind, content) in enumerate(_formats()):
        write(folder / "formats" / NAMES[number % 3] / f"{number:02d}-{kind}", content)
    junk = {
        "top.png": encoded(IMAGES[0]), ".DS_Store": b"x", "ant/notes.txt": b"x", "ant/.hidden.png": b"x",
        "bee/more/1.png": encoded(IMAGES[1]), "bee/new.avif": b"x", "README.md": b"x",
    }  # fmt: skip
    for name, content in junk.items():
        write(folder / "formats" / name, content)
    for number, image in enumerate(IMAGES[:6, :, :, 0]):
        content = encoded(image) if number % 2 else encoded(np.dstack([image] * 3))
        write(folder / "gray" / NAMES[number % 3] / f"{number}.png", content)
    write_class_folders(folder / "wordnet", IMAGES[:6], ("n01440764_tench", "n01443537", "n02123045-cat") * 2)
    (folder / "wordnet/n02206856_bee").mkdir()
    write_class_folders(folder / "unreadable", IMAGES, classes)
    write(folder / "unreadable/bee/004.png", b"these are words")
    write(folder / "unreadable/ant/001.png", encoded(IMAGES[1])[:200])


def _formats() -> Iterator[tuple[str, bytes]]:
    """File names with contents, of sizes that differ."""
    every = enumerate(scenes(40, 24, 30))
    images = [Image.fromarray(image[: 18 + number % 5, : 20 + number % 4]) for number, image in every]
    take = iter(images)
    for suffix, kind, modes in (
        ("png", "PNG", ("1", "L", "LA", "P", "RGB", "RGBA")), ("jpg", "JPEG", ("L", "RGB", "CMYK", "YCbCr")),
        ("webp", "WEBP", ("RGB", "RGBA")), ("gif", "GIF", ("L", "RGB")), ("BMP", "BMP", ("1", "P", "RGB")),
        ("tiff", "TIFF", ("L", "RGB", "CMYK")),
    ):  # fmt: skip
        for mode in modes:
            image = next(take)
            if mode in ("LA", "RGBA"):
                image.putalpha(Image.linear_gradient("L").resize(image.size))
            yield f"{mode}.{suffix}", encoded(image.convert(mode), kind)
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x112] = orientation
        yield f"turned{orientation}.JPEG", encoded(next(take), "JPEG", exif=exif, quality=60 + orientation)
    yield "palette.png", encoded(next(take).quantize(16), transparency=3)
    yield "color.png", encoded(next(take), transparency=images[0].getpixel((0, 0)))
    deep = np.random.default_rng(3).integers(0, 65_536, (20, 22, 3), dtype=np.uint16)
    yield "deep-gray.png", encoded(Image.fromarray(deep[..., 0]))
    yield "deep-gray.tif", encoded(Image.fromarray(deep[..., 1].astype(np.int32)), "TIFF")
    yield "deep.png", cv2.imencode(".png", deep)[1].tobytes()
    yield "deep.tif", cv2.imencode(".tif", deep)[1].tobytes()


# --- arrays


def _arrays(folder: Path) -> None:
    order = np.random.default_rng(4).permutation(9)
    write_arrays(folder / "arrays", IMAGES[order], LABELS[order], NAMES)
    write(folder / "arrays/note.txt", "Insects and a cat\n")
    write_arrays(folder / "gray-arrays", np.repeat(IMAGES[..., :1], 3, axis=3), LABELS, NAMES)
    for name, images, classes in (
        ("bloodmnist_28", IMAGES, 8), ("pneumoniamnist", IMAGES[..., 1], 2), ("beetles", IMAGES[:, :20], 3),
    ):  # fmt: skip
        labels = (np.arange(9, dtype=np.uint8) % classes)[:, None]
        parts = {"train": slice(0, 8), "val": slice(0, 3), "test": slice(1, 9)}
        np.savez_compressed(
            folder / f"{name}.npz",
            **{f"{part}_images": images[rows] for part, rows in parts.items()},
            **{f"{part}_labels": labels[rows] for part, rows in parts.items()},
        )
    raw = folder / "torchvision/FashionMNIST/raw"
    for part, images in (("train", scenes(3, 28, 28)[..., 0]), ("t10k", scenes(8, 28, 28, seed=5)[..., 0])):
        header = struct.pack(">4i", 0x803, len(images), 28, 28)
        write(raw / f"{part}-images-idx3-ubyte", header + images.tobytes())
        labels = bytes((3 * number) % 10 for number in range(len(images)))
        write(raw / f"{part}-labels-idx1-ubyte", struct.pack(">2i", 0x801, len(images)) + labels)
    turned = Image.Exif()
    turned[0x112] = 6
    for number, image in enumerate(IMAGES[:6]):
        write(folder / "turned" / NAMES[number % 3] / f"{number}.jpg", encoded(image, "JPEG", exif=turned))


def _cifar(folder: Path) -> None:
    flat = CIFAR_PIXELS.transpose(0, 3, 1, 2).reshape(10, -1)
    write(folder / "cifar-python/test_batch", _batch({b"data": flat, b"labels": CIFAR_LABELS.tolist()}))
    fine = {b"data": flat, b"fine_labels": (7 * CIFAR_LABELS).tolist(), b"coarse_labels": CIFAR_LABELS.tolist()}
    write(folder / "cifar100/cifar-100-python/test", _batch(fine))
    for number in range(5):
        rows = slice(2 * number, 2 * number + 2)
        records = np.concatenate([CIFAR_LABELS[rows, None].astype(np.uint8), flat[rows]], axis=1)
        write(folder / "cifar-binary/cifar-10-batches-bin" / f"data_batch_{number + 1}.bin", records.tobytes())
    for number, rows in enumerate((slice(0, 6), slice(6, 10))):
        cells = [{"bytes": encoded(image, ("PNG", "JPEG")[number]), "path": None} for image in CIFAR_PIXELS[rows]]
        path = folder / "cifar-parquet/plain_text" / f"test-0000{number}-of-00002.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"img": cells, "label": CIFAR_LABELS[rows]}), path)


def _batch(content: dict[bytes, Any]) -> bytes:
    import pickle

    return pickle.dumps(content, protocol=2)


# --- files with many images


def _packed(folder: Path) -> None:
    images = packed(IMAGES, LABELS)
    write_parquet(folder / "insects.parquet", images, NAMES, camera=CAMERAS, iso=[100 * n for n in range(9)])
    parts = {"train-00000-of-00001": (0, 2), "validation-00000-of-00002": (2, 6), "validation-00001-of-00002": (6, 9)}
    for name, (first, last) in parts.items():
        write_parquet(folder / f"hub/data/{name}.parquet", images[first:last], NAMES, camera=CAMERAS[first:last])
    for number in (2, 10):  # numbers of files are numbers
        rows = images[:4] if number == 2 else images[4:]
        columns = {
            "thumb": [encoded(IMAGES[0])] * len(rows), "view": [image.content for image in rows],
            "species": [NAMES[image.label] for image in rows], "label": [0] * len(rows),
            "iso": [1.5 * image.label for image in rows], "taken": [date(2024, 5, 1 + image.label) for image in rows],
        }  # fmt: skip
        path = folder / f"columns/part-{number}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.table(columns), path)
    for shard, numbers in enumerate((range(4), range(4, 9))):
        samples = [
            (f"./{images[n].name[:4]}", {images[n].name[5:]: images[n].content, "cls": str(images[n].label).encode(),
             "json": json.dumps({"camera": CAMERAS[n], "night": n % 2 == 0, "iso": 100 * n}).encode()})
            for n in numbers
        ]  # fmt: skip
        write_tar(folder / f"shards/{shard}.tar", samples)
    write(folder / "shards/classnames.txt", "\n".join(NAMES))
    species = {n: json.dumps({"species": NAMES[LABELS[n]]}).encode() for n in (8, 0, 5, 3)}
    write_tar(
        folder / "one.tar", [(f"a/{n}", {"png": encoded(IMAGES[n]), "json": text}) for n, text in species.items()]
    )
    _saved(folder)


def _saved(folder: Path) -> None:
    import datasets

    def made(first: int, last: int) -> Any:
        label = datasets.ClassLabel(names=[*NAMES])
        features = {"image": datasets.Image(), "label": label, "camera": datasets.Value("string")}
        rows = packed(IMAGES, LABELS)[first:last]
        cells = [{"bytes": row.content, "path": row.name} for row in rows]
        columns = {"image": cells, "label": [row.label for row in rows], "camera": CAMERAS[first:last]}
        return datasets.Dataset.from_dict(columns, features=datasets.Features(features))

    made(0, 9).save_to_disk(str(folder / "saved"))
    datasets.DatasetDict({"train": made(0, 2), "validation": made(2, 9)}).save_to_disk(str(folder / "saved-splits"))


# --- tables


def _tables(folder: Path) -> None:
    files = [f"folder/test/{NAMES[label]}/{number:03d}.png" for number, label in enumerate(LABELS)]
    described = {
        "camera": CAMERAS, "iso speed": [100, 200, None, 100, 400, 800, 100, 100, 50],
        "focus": [0.5 * n for n in range(9)], "code": [f"0{n}" for n in range(9)],
        "at_night": [n % 3 == 0 for n in range(9)],
        "taken": [date(2024, 5, 1 + n) for n in range(9)], "empty": [None] * 9,
    }  # fmt: skip
    rows = pl.DataFrame({"path": files, "label": [NAMES[label] for label in LABELS], **described})
    split = pl.Series("split", ["test"] * 7 + ["train", "holdout"])
    rows.with_columns(split).write_csv(folder / "list.csv")
    rows.reverse().with_columns(label=pl.Series(LABELS[::-1])).write_parquet(folder / "list.parquet")
    short = rows.with_columns(pl.col("path").str.slice(len("folder/test/"))).drop("label")
    short.slice(1).reverse().write_csv(folder / "paths.csv")
    numbered = short.drop("path").with_row_index("image_id").sample(fraction=1, shuffle=True, seed=1)
    numbered.write_parquet(folder / "numbers.parquet")
    pictures = [image.name for image in packed(IMAGES, LABELS)]
    pl.DataFrame({"picture": pictures, "site": ["x", "y", "z"] * 3, "height": range(9)}).write_csv(folder / "key.csv")
