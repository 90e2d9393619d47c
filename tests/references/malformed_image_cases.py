"""Images, arrays and labels as a stranger may hand them over, each with what must be said of it."""

import json
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from malformed_images import (
    LABELS,
    NOT_UTF8,
    PIXELS,
    Make,
    Runs,
    batch,
    chunk,
    cmyk,
    encoded,
    film,
    header,
    in_folder,
    large_string,
    link_to,
    make_pipe,
    manifest,
    many_classes,
    npy,
    of_arrays,
    of_cifar,
    of_set,
    parquet,
    png,
    sparse,
    stated,
    whole_png,
)

FOLDER = 'kind = "folder"\npath = "images"\nimage_size = 32'
AS_THEY_ARE = 'kind = "folder"\npath = "images"'
ARRAYS = 'kind = "arrays"\npath = "images"'
CIFAR = 'kind = "cifar10"\npath = "images"'
DIGITS = 'kind = "digits"\nimages = 20'
PUBLISHED = 'names = ["contrast"]\nseverities = [1]\npublished = "{}"\n'
TB = 10**12

IMAGES: dict[str, tuple[Make, str, str]] = {
    "a pipe": (in_folder("ant/2.png", make_pipe), FOLDER, "2.png is no regular file"),
    "/dev/zero": (in_folder("ant/2.png", link_to("/dev/zero")), FOLDER, "2.png is no regular file"),
    "a link that leads nowhere": (
        in_folder("ant/2.png", link_to("nowhere")),
        FOLDER,
        "2.png cannot be read (No such file",
    ),
    "a link to itself": (in_folder("ant/2.png", link_to("2.png")), FOLDER, "2.png cannot be read (Too many levels"),
    "a pipe that comes first": (in_folder("ant/0.png", make_pipe), AS_THEY_ARE, "it is a named pipe"),
    "no byte": (in_folder("ant/2.png", b""), FOLDER, "2.png cannot be decoded (not an image)"),
    "words": (in_folder("ant/2.png", b"these are words"), FOLDER, "2.png cannot be decoded (not an image)"),
    "PostScript": (
        in_folder("ant/2.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
        FOLDER,
        "(not an image)",
    ),
    "half a JPEG": (in_folder("ant/2.jpg", encoded(kind="JPEG")[:600]), FOLDER, "2.jpg cannot be decoded (damaged"),
    "half a PNG": (in_folder("ant/2.png", encoded()[:-900]), FOLDER, "2.png cannot be decoded (damaged"),
    "a PNG without pixels": (in_folder("ant/2.png", png(64, 64)), FOLDER, "2.png cannot be decoded (damaged"),
    "a PNG of no size": (in_folder("ant/2.png", png(0, 0)), FOLDER, "2.png cannot be decoded"),
    "a bomb by its header": (
        in_folder("ant/2.png", png(30_000, 30_000)),
        FOLDER,
        "it has more than 178,956,970 pixels",
    ),
    "a bomb that is whole": (
        in_folder("ant/2.png", lambda path: path.write_bytes(whole_png(30_000, 30_000))),
        FOLDER,
        "it has more than",
    ),
    "a bomb of text": (
        in_folder("ant/2.png", png(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000))), data=b"\0" * 16)),
        FOLDER,
        "damaged",
    ),
    "a thread": (in_folder("ant/2.png", whole_png(1, 60_000)), FOLDER + "\nresize = 256", "256×15,360,000 pixels"),
    "16 bits that hold 8": (
        in_folder("ant/2.png", encoded(np.full((16, 16), 200, np.uint16))),
        FOLDER,
        "no value above 200, so that it would become black",
    ),
    "32 bits": (
        in_folder("ant/2.png", encoded(np.full((16, 16), 70_000, np.int32), "TIFF")),
        FOLDER,
        "expected at most 16 bits a channel",
    ),
    "floats": (
        in_folder("ant/2.png", encoded(np.ones((9, 9), np.float32), "TIFF")),
        FOLDER,
        "at most 8 bits a channel",
    ),
    "two sizes": (in_folder("ant/2.png", encoded(PIXELS[0, :16])), AS_THEY_ARE, "set `image_size` to bring all to one"),
    "one pixel": (
        in_folder("ant/1.png", encoded(PIXELS[0, :1, :1])),
        AS_THEY_ARE,
        "1×1 pixels are too small for recipe",
    ),
    "a class that is not UTF-8": (
        in_folder(f"{NOT_UTF8}/1.png", encoded()),
        FOLDER,
        "that is not valid UTF-8, '\\udcff",
    ),
    "a file that is not UTF-8": (
        in_folder(f"ant/{NOT_UTF8}.png", encoded()),
        FOLDER,
        "that is not valid UTF-8, '\\udcff",
    ),
    "40,000 classes": (in_folder("notes.txt", many_classes), FOLDER, "at most 32,767 classes are recorded"),
    "no image": (
        lambda folder: (folder / "images" / "ant").mkdir(parents=True),
        FOLDER,
        "has class folders (ant, …) but no",
    ),
    "a class of a pipe alone": (
        in_folder("bee/notes.txt", make_pipe),
        FOLDER,
        "bee has no image that is read, only 1 file of another format (bee/notes.txt)",
    ),
    "a class of names with an escape": (
        in_folder("bee/\x1b[2J\n.txt", b""),
        FOLDER,
        "only 1 file of another format (bee/\\x1b[2J .txt)",
    ),
    "a class within itself beside others": (
        in_folder("bee", lambda path: path.symlink_to(".")),
        FOLDER,
        "bee has no image that is read, only 2 files in folders within classes (bee/ant/, bee/bee/)",
    ),
    "a folder called as an image": (
        lambda folder: (folder / "images" / "ant" / "1.png").mkdir(parents=True),
        FOLDER,
        "but no",
    ),
    "a class within itself": (
        lambda folder: ((folder / "images").mkdir(), (folder / "images" / "ant").symlink_to(".")),
        FOLDER,
        "but no images",
    ),
    "a pipe for a folder": (lambda folder: make_pipe(folder / "images"), FOLDER, "is a file, not a folder"),
    "a folder within itself": (
        lambda folder: (folder / "images").symlink_to("images"),
        FOLDER,
        "images does not exist",
    ),
}

ARRAY_FILES: dict[str, tuple[Make, str, str]] = {
    "a negative shape": (
        of_arrays("images.npy", stated((-1, 32, 32, 3)) + PIXELS.tobytes()),
        ARRAYS,
        "it has the shape (-1,",
    ),
    "two negative sides": (
        of_arrays("images.npy", stated((6, -32, -32, 3)) + PIXELS.tobytes()),
        ARRAYS,
        "it has the shape",
    ),
    "sparse labels": (
        of_arrays("labels.npy", lambda path: sparse(path, stated((TB - 128,)), TB)),
        ARRAYS,
        "6 images but labels of shape",
    ),
    "sparse images": (
        of_arrays("images.npy", lambda path: sparse(path, stated((6, 32, 32, 3)), TB)),
        ARRAYS,
        "and states 18,432",
    ),
    "sparse images and labels": (
        lambda folder: [
            of_arrays("labels.npy", lambda path: sparse(path, stated((2**32,)), 2**32 + 128))(folder),
            sparse(folder / "images" / "images.npy", stated((2**32, 8, 8, 3)), 2**32 * 192 + 128),
        ],
        ARRAYS,
        "at most 2,147,483,647 are recorded",
    ),
    "more than the file holds": (
        of_arrays("images.npy", stated((10**9, 32, 32, 3))),
        ARRAYS,
        "and states 3,072,000,000,000",
    ),
    "a shape beyond all": (
        of_arrays("images.npy", stated((10**30, 32, 32, 3))),
        ARRAYS,
        "is no array that can be read",
    ),
    "more bytes than stated": (of_arrays("images.npy", npy(PIXELS) + b"\0"), ARRAYS, "and states 18,432"),
    "values without a size": (
        of_arrays("images.npy", stated((10**30,), "|V0")),
        ARRAYS,
        "is no array that can be read",
    ),
    "a header of parentheses": (of_arrays("images.npy", header("(" * 9000)), ARRAYS, "is no array that can be read"),
    "a header of minus signs": (
        of_arrays("images.npy", header("-" * 9000 + "1")),
        ARRAYS,
        "is no array that can be read",
    ),
    "a header of 4 GB": (
        of_arrays("images.npy", lambda path: sparse(path, b"\x93NUMPY\x02\x00\xff\xff\xff\xff", TB)),
        ARRAYS,
        "is no array",
    ),
    "another version": (of_arrays("images.npy", header("{}", b"\x09\x00")), ARRAYS, "the version (9, 0) of the format"),
    "objects": (
        of_arrays("labels.npy", npy(np.array([Runs(), None]))),
        ARRAYS,
        "it holds Python objects, which are never",
    ),
    "a pickle": (of_arrays("labels.npy", batch(Runs())), ARRAYS, "labels.npy is no array that can be read"),
    "fields": (of_arrays("images.npy", npy(np.zeros(6, "u1,f4"))), ARRAYS, "images must be uint8 (N, H, W, 3)"),
    "not a number": (
        of_arrays("images.npy", npy(np.full((6, 8, 8, 3), np.nan))),
        ARRAYS,
        "must be uint8 (N, H, W, 3), not float64",
    ),
    "labels of nan": (
        of_arrays("labels.npy", npy(np.full(6, np.nan))),
        ARRAYS,
        "holds float64: expected whole numbers",
    ),
    "a label below": (of_arrays("labels.npy", npy(LABELS - 1)), ARRAYS, "label -1 of image 0 is out of range"),
    "a label beyond": (
        of_arrays("labels.npy", npy(LABELS + 2**40)),
        ARRAYS,
        f"label {2**40} of image 0 is out of range",
    ),
    "a label beyond 63 bits": (of_arrays("labels.npy", npy(LABELS.astype("u8") + 2**63)), ARRAYS, "is out of range"),
    "no images": (of_arrays("images.npy", npy(PIXELS[:0])), ARRAYS, "0 images but labels of shape"),
    "a pipe for images": (of_arrays("images.npy", make_pipe), ARRAYS, "it is a named pipe, expected a regular file"),
    "/dev/zero for labels": (
        of_arrays("labels.npy", link_to("/dev/zero")),
        ARRAYS,
        "it is a device, expected a regular file",
    ),
    "a folder for labels": (of_arrays("labels.npy", Path.mkdir), ARRAYS, "it is a folder, expected a regular file"),
    "a pipe for classes": (of_arrays("classes.json", make_pipe), ARRAYS, "it is a named pipe, expected a regular file"),
    "/dev/zero for classes": (
        of_arrays("classes.json", link_to("/dev/zero")),
        ARRAYS,
        "it is a device, expected a regular",
    ),
    "classes that nest": (
        of_arrays("classes.json", b"[" * 100_000),
        ARRAYS,
        "classes.json is no JSON that can be read",
    ),
    "half a character": (
        of_arrays("classes.json", b'["\\udc80", "b"]'),
        ARRAYS,
        "classes.json is no JSON that can be read",
    ),
    "a class twice in 100,000": (
        of_arrays("classes.json", json.dumps([*map(str, range(10**5)), "99999"]).encode()),
        ARRAYS,
        "names the class '99999' twice",
    ),
    "100,000 classes": (
        of_arrays("classes.json", json.dumps([*map(str, range(10**5))]).encode()),
        ARRAYS,
        "at most 32,767 are recorded",
    ),
    "a class of a million letters": (
        of_arrays("classes.json", json.dumps(["a" * 10**6, "b"]).encode()),
        ARRAYS,
        "has a name of 1,000,000 letters",
    ),
}

CIFAR_FILES: dict[str, tuple[Make, str, str]] = {
    "code": (of_cifar("test_batch", batch(Runs())), CIFAR, "it asks for posix.system"),
    "a memo of 2^32": (of_cifar("test_batch", b"\x80\x02}r\xff\xff\xff\xff."), CIFAR, "lacks data or labels"),
    "a string of 2^40": (
        of_cifar("test_batch", b"\x80\x04\x8e" + (2**40).to_bytes(8, "little")),
        CIFAR,
        "is truncated or no pickle",
    ),
    "an array of 2^40": (
        of_cifar(
            "test_batch",
            b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n(J\xff\xff\xff\x7f"
            b"J\xff\xff\xff\x7ftU\x01b\x87R.",
        ),
        CIFAR,
        "is truncated or no pickle",
    ),
    "a pipe for a batch": (of_cifar("test_batch", make_pipe), CIFAR, "it is a named pipe, expected a regular file"),
    "/dev/zero for a batch": (
        of_cifar("test_batch.bin", link_to("/dev/zero")),
        CIFAR,
        "it is a device, expected a regular",
    ),
    "a batch of a terabyte": (
        of_cifar("test_batch", lambda path: sparse(path, b"\x80\x04\x8e" + (2**39).to_bytes(8, "little"), TB)),
        CIFAR,
        "a batch of CIFAR has at most 10,000,000 images",
    ),
    "a binary batch of a terabyte": (
        of_cifar("test_batch.bin", lambda path: sparse(path, b"", 3073 * 325_000_000)),
        CIFAR,
        "has at most 10,000,000 images",
    ),
    "a pipe for a table": (of_cifar("test-0.parquet", make_pipe), CIFAR, "it is a named pipe, expected a regular file"),
    "one string of 150 MB": (of_cifar("test-0.parquet", large_string), CIFAR, "20,000 rows of"),
    "a string of 1 MB": (
        of_cifar("test-0.parquet", parquet([b"\0" * 1_000_000, *[b""] * 99], use_dictionary=False)),
        CIFAR,
        "holds an image of 1,000,000 bytes",
    ),
    "a label that is missing": (
        of_cifar("test-0.parquet", parquet(pa.nulls(3, pa.binary()), [0, 1, None])),
        CIFAR,
        "expected whole numbers",
    ),
    "names that nest": (
        of_cifar("test-0.parquet", parquet([b""], names="[" * 100_000)),
        CIFAR,
        "row 0 cannot be decoded (not an image)",
    ),
}

SETS: dict[str, tuple[Make, str, str]] = {
    "a pipe for a corruption": (
        of_set("arrays/contrast.npy", make_pipe),
        "arrays",
        "it is a named pipe, expected a regular",
    ),
    "a negative shape in a set": (
        of_set("arrays/contrast.npy", stated((-100, 32, 32, 3))),
        "arrays",
        "it has the shape (-100",
    ),
    "sparse labels of a set": (
        of_set("arrays/labels.npy", lambda path: sparse(path, stated((TB - 130,)), TB - 2)),
        "arrays",
        "at most 2,147,483,647",
    ),
    "a pipe for an image": (
        of_set("tree/contrast/1/one/099.png", make_pipe),
        "tree",
        "it is a named pipe, expected a regular",
    ),
    "/dev/zero for an image": (of_set("tree/contrast/1/one/099.png", link_to("/dev/zero")), "tree", "it is a device"),
    "image_ids without end": (
        of_set("arrays/manifest.json", manifest(image_ids="0-999999999999 1000000000000-20")),
        "arrays",
        "no ranges such as 0-99",
    ),
    "a class that the data lack": (
        of_set(f"tree/contrast/1/{NOT_UTF8}", lambda path: (path.mkdir(), (path / "1.png").write_bytes(encoded()))),
        "tree",
        "has a class '\\udcff\\udcfe' that the data set lacks",
    ),
    "a severity twice": (of_set("tree/contrast/1.0", Path.mkdir), "tree", "holds severity 1 twice"),
}

# What is odd and can be read: it is, and nothing of it reaches the terminal
READ: dict[str, tuple[Make, str]] = {
    "CMYK": (in_folder("ant/2.jpg", lambda path: path.write_bytes(cmyk())), FOLDER),
    "a film": (in_folder("ant/2.png", lambda path: path.write_bytes(film())), FOLDER),
    "EXIF of noise": (in_folder("ant/2.jpg", encoded(kind="JPEG", exif=b"Exif\0\0II*\0" + bytes(range(200)))), FOLDER),
    "a class with an escape": (in_folder("\x1b[2Jbad\n/2.png", encoded()), FOLDER),
    "16 bits": (in_folder("ant/2.png", encoded(np.full((16, 16), 60_000, np.uint16))), FOLDER),
    "left out and odd": (in_folder("ant/\x1b[2J\n.txt", make_pipe), FOLDER),
    "left out and not UTF-8": (in_folder(f"ant/{NOT_UTF8}", b""), FOLDER),
    "a class within itself and an image": (in_folder("ant/ant", lambda path: path.symlink_to(".")), FOLDER),
    "a folder called with an escape": (
        lambda folder: (in_folder("ant/2.png", encoded())(folder), (folder / "images").rename(folder / "\x1b[2J")),
        FOLDER.replace('"images"', '"\\u001b[2J"'),
    ),
    "a folder that is not UTF-8": (
        lambda folder: (
            in_folder("ant/2.png", encoded())(folder),
            (folder / "images").rename(folder / NOT_UTF8),
            (folder / "images").symlink_to(folder / NOT_UTF8),
        ),
        FOLDER,
    ),
    "names of a million": (of_cifar("test-0.parquet", parquet([encoded()], names='{"info": {"features": 1}}')), CIFAR),
}


TARGETS: dict[str, tuple[str, bytes | Make, str]] = {
    "a pipe for labels": ("labels.npy", make_pipe, "it is a named pipe, expected a regular file"),
    "a terabyte of labels": ("labels.npy", lambda path: sparse(path, b"", TB), "holds other labels"),
    "a pipe for the manifest": ("manifest.json", make_pipe, "was not written by `failmodes corrupt`, or is damaged"),
    "/dev/zero for the manifest": ("manifest.json", link_to("/dev/zero"), "was not written by `failmodes corrupt`"),
    "a manifest that nests": ("manifest.json", b"[" * 100_000, "was not written by `failmodes corrupt`"),
    "a manifest that leads out": ("manifest.json", manifest(corruptions={"../../x": {"1": "a"}}), "was not written by"),
    "a manifest of no severities": ("manifest.json", manifest(corruptions={"contrast": 3}), "was not written by"),
    "a pipe for the array": ("contrast.npy", make_pipe, "did not write it"),
}
