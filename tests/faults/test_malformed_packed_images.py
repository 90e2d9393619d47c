"""Malformed and malicious tar shards and Parquet files: each is one error line, at once and in little memory."""

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoded_files import encoded
from fault_trials import refused
from packed_images import photographs, write_studies
from run_commands import run

IMAGE = encoded(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
MB, GB = 1 << 20, 1 << 30
Member = tuple[tarfile.TarInfo, bytes]
Make = Callable[[Path], object]


def member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = "") -> Member:
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(content), kind, link
    return info, content


SAMPLE = (member("0.png", IMAGE), member("0.cls", b"0"))
LABEL = member("1.cls", b"1")
OTHER = (member("1.png", IMAGE), member("1.cls", b"b"))


def tar(*members: Member, size: int | None = None) -> Make:
    """A shard of these members, cut to a size if one is given."""

    def make(path: Path) -> None:
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as shard:
            for info, content in members:
                shard.addfile(info, io.BytesIO(content))
        if size:
            os.truncate(path, size)

    return make


def stating(name: str, kind: bytes, size: int = 8 * GB) -> Make:
    """A shard whose only member states a size; it has it, and takes no room on the disk."""

    def make(path: Path) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.size = kind, size
        path.write_bytes(info.tobuf(tarfile.GNU_FORMAT))
        os.truncate(path, size + 4096)

    return make


def parquet(images: Callable[[], pa.Array], columns: int = 0) -> Make:
    """A file with so many more columns, whose reader learns nothing but what Parquet itself states."""

    def make(path: Path) -> None:
        made = images()
        more = {f"column {number}": [0] * len(made) for number in range(columns)}
        table = pa.table({"image": made, "label": [0] * len(made), **more})
        pq.write_table(table, path, compression="zstd", store_schema=False)

    return make


def repeated(content: bytes, count: int) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([content]))


SHARDS: dict[str, tuple[Make, str]] = {
    "a symbolic link": (
        tar(*SAMPLE, member("1.png", kind=tarfile.SYMTYPE, link="/etc/passwd"), LABEL), "sample 1 has the members cls",
    ),
    "a hard link": (
        tar(*SAMPLE, member("1.png", kind=tarfile.LNKTYPE, link="0.png"), LABEL), "sample 1 has the members cls",
    ),
    "a device": (tar(*SAMPLE, member("1.png", kind=tarfile.CHRTYPE), LABEL), "sample 1 has the members cls"),
    "a pipe": (tar(*SAMPLE, member("1.png", kind=tarfile.FIFOTYPE), LABEL), "sample 1 has the members cls"),
    "a sparse member": (tar(*SAMPLE, member("1.png", IMAGE, tarfile.GNUTYPE_SPARSE), LABEL), "or is sparse"),
    "a member that is cut": (tar(*SAMPLE, size=3000), "0.png ends after the file"),
    "a name that is not UTF-8": (tar(*SAMPLE, member("\udcff.png", IMAGE)), "a name that is not valid UTF-8"),
    "a null character in a label": (tar(SAMPLE[0], member("0.cls", b"a\0"), *OTHER), "a null character, 'a\\x00'"),
    "a null character in metadata": (
        tar(*SAMPLE, OTHER[0], member("1.json", b'{"label": "b", "camera": "a\\u0000"}')), "a null character",
    ),
    "half a character": (tar(SAMPLE[0], member("0.json", b'{"a": "\\udc80"}')), "0.json is not valid JSON"),
    "metadata that nest": (tar(SAMPLE[0], member("0.json", b"[" * 100_000)), "0.json is not valid JSON"),
}  # fmt: skip

# kind of dataset, file, message: what took gigabytes, or minutes
HUNGRY: dict[str, tuple[str, Make, str]] = {
    "a name of 8 GB": ("webdataset", stating("a", tarfile.GNUTYPE_LONGNAME), "bytes of headers"),
    "a pax header of 8 GB": ("webdataset", stating("a", tarfile.XHDTYPE), "bytes of headers"),
    "an image of 8 GB": ("webdataset", stating("1.png", tarfile.REGTYPE), "its image has 8,589,934,592 bytes"),
    "an image of 300 MB": ("parquet", parquet(lambda: pa.array([bytes(300 * MB)])), "its image has 314,572,800 bytes"),
    "4,000 times an image of 1 MB": ("parquet", parquet(lambda: repeated(bytes(MB), 4000)), "row 1 cannot be decoded"),
    "the same in a struct": (
        "parquet", parquet(lambda: pa.StructArray.from_arrays([repeated(bytes(MB), 4000)], ["bytes"])),
        "row 1 cannot be decoded",
    ),
    "a struct in a struct": (
        "parquet", parquet(lambda: pa.array([{"bytes": {"bytes": IMAGE}}])), "expected encoded images",
    ),
    "50,000 columns": (
        "parquet", parquet(lambda: pa.array([IMAGE]), columns=50_000), "has 50,000 columns of metadata",
    ),
}  # fmt: skip


def write_study(folder: Path, kind: str, more: str = "") -> Path:
    """A study of the file `images` in the folder; its path."""
    name = "images.tar" if kind == "webdataset" else "images.parquet"
    dataset = f'[dataset]\nkind = "{kind}"\npath = "{name}"\nimage_size = 32\n{more}'
    corruptions = '[corruptions]\nnames = ["contrast"]\nseverities = [1]\n'
    (folder / "study.toml").write_text(f'name = "x"\noutput = "out"\n{dataset}{corruptions}')
    return folder / name


@pytest.mark.parametrize(("make", "message"), SHARDS.values(), ids=SHARDS)
def test_malformed_shard_is_refused(make: Make, message: str, tmp_path: Path) -> None:
    make(write_study(tmp_path, "webdataset"))
    refused("ingest", "study.toml", folder=tmp_path, says=message, code=1)


@pytest.mark.test_all
@pytest.mark.parametrize(
    ("name", "decode"), [*((name, "once") for name in HUNGRY), ("4,000 times an image of 1 MB", "on-demand")]
)
def test_file_that_asks_for_much_is_refused_soon_and_in_little_memory(name: str, decode: str, tmp_path: Path) -> None:
    kind, make, message = HUNGRY[name]
    make(write_study(tmp_path, kind, f'decode = "{decode}"\n'))
    refused("ingest", "study.toml", folder=tmp_path, says=message, code=1, most_s=40)


CACHED = {
    "other pixels": lambda path: path.write_bytes(path.read_bytes()[:-50] + bytes(50)),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-50]),
    "an array of objects": lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
    "a device": lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.test_all
@pytest.mark.parametrize("name", CACHED)
def test_decoded_images_that_somebody_changed_are_decoded_again(name: str, tmp_path: Path) -> None:
    write_studies(tmp_path, photographs(10), "image_size = 16")
    run("ingest", "tar.toml", folder=tmp_path)
    (path,) = tmp_path.rglob("cache/images/*.npy")
    decoded = path.read_bytes()
    CACHED[name](path)
    run("ingest", "tar.toml", folder=tmp_path)
    run("ingest", "tar.toml", folder=tmp_path)
    assert path.read_bytes() == decoded
