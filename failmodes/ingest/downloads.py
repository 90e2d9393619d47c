"""Download public datasets: resumed after an interruption, verified, unpacked completely or not at all.

Written here because the archives are large and their server interrupts: a plain download would start over.
"""

import hashlib
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import httpx

from failmodes.ingest.data_files import check_space
from failmodes.runtime.errors import DownloadError, StudyError, counted, did_you_mean, first_line
from failmodes.runtime.progress import ProgressBar
from failmodes.runtime.storage.files import TEMPORARY_PREFIX, make_folder, storage_errors
from failmodes.runtime.terminal import note

TIMEOUT_S = 30.0
ATTEMPTS = 5  # in a row that bring no new byte
ShowProgress = Callable[[int, int | None], None]  # bytes fetched, bytes in all
TORONTO, ZENODO = "https://www.cs.toronto.edu/~kriz", "https://zenodo.org/records"


class RemoteFile(NamedTuple):
    """A file on a server.

    Attributes:
        url: where it is.
        checksum: "md5:…" or "sha256:…" as published; None if none is published.
        size_bytes: as published; None if it is not.
    """

    url: str
    checksum: str | None = None
    size_bytes: int | None = None

    @property
    def local_name(self) -> str:
        """Name of the downloaded file."""
        return self.url.rpartition("/")[2].partition("?")[0]


class Archive(NamedTuple):
    """A public dataset: its name on charts, the folder that it becomes, and its files, archives or not."""

    label: str
    folder: str
    files: tuple[RemoteFile, ...]

    @property
    def size_bytes(self) -> int | None:
        """Of all files together; None if one is not published."""
        sizes = [file.size_bytes for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)

    def describe(self) -> str:
        """One line: number and size of the files, and whether checksums are published."""
        count = counted(len(self.files), "file")
        size = "size not published" if self.size_bytes is None else f"{self.size_bytes / 1e6:,.1f} MB"
        unverified = "" if all(file.checksum for file in self.files) else ", no checksum published"
        return f"{self.label}: {count}, {size}{unverified}"


_CIFAR_10_1 = "https://github.com/modestyachts/CIFAR-10.1/raw/master/datasets"
_IMAGENET_V2 = "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main"
_BERKELEY = "https://people.eecs.berkeley.edu/~hendrycks"
_MEDMNIST_C = {  # md5 by dataset
    "pathmnist": "bf62498906ec0383c3ec5ff12ac70c00",
    "bloodmnist": "daba10a010064a9e38f0d09b498bcf18",
    "dermamnist": "19c88c74c104655d5f668e158e56451d",
    "retinamnist": "80a2fa4c9b7fa2176606be825dfdef6e",
    "octmnist": "40389bc54256edecd09ee4bd028c7e6a",
    "breastmnist": "c755e51825c074706524ea6b2c77a10b",
    "pneumoniamnist": "c499a47a64a000b579b23920bf80a95a",
    "organamnist": "ff4ad0f53934ddf6a2330065d581990c",
    "organcmnist": "2a649c94473ab9126130af8205d6c89b",
    "organsmnist": "1dbf4d814725adc307ba9ffe5edf061a",
}

# URLs are the publishers'. Sizes and SHA-256 are those of tensorflow/datasets (cifar10_1, imagenet_a, imagenet_r,
# imagenet_v2: `checksums`), MD5 of MedMNIST-C that of the loader of pwhofman/probly
ARCHIVES = {
    "cifar10": Archive(
        "CIFAR-10",
        "cifar-10-batches-py",
        (RemoteFile(f"{TORONTO}/cifar-10-python.tar.gz", "md5:c58f30108f718f92721af3b95e74349a"),),
    ),
    "cifar100": Archive(
        "CIFAR-100",
        "cifar-100-python",
        (RemoteFile(f"{TORONTO}/cifar-100-python.tar.gz", "md5:eb9058c3a382ffc7106e4002c42a8d85"),),
    ),
    "cifar10-c": Archive(
        "CIFAR-10-C",
        "CIFAR-10-C",
        (RemoteFile(f"{ZENODO}/2535967/files/CIFAR-10-C.tar", "md5:56bf5dcef84df0e2308c6dcbcbbd8499"),),
    ),
    "cifar100-c": Archive(
        "CIFAR-100-C",
        "CIFAR-100-C",
        (RemoteFile(f"{ZENODO}/3555552/files/CIFAR-100-C.tar", "md5:11f0ed0f1191edbf9fa23466ae6021d3"),),
    ),
    "cifar10.1": Archive(
        "CIFAR-10.1",
        "CIFAR-10.1",
        (
            RemoteFile(
                f"{_CIFAR_10_1}/cifar10.1_v6_data.npy",
                "sha256:2997188e5816f5bd545dc77771b6227828c28146049fcecf3fa10775474cacc6",
                6_144_128,
            ),
            RemoteFile(
                f"{_CIFAR_10_1}/cifar10.1_v6_labels.npy",
                "sha256:ae40beda001693674edc94d925ee8268cfe68905f8f9aff800c8dcdfcd6c9448",
                8_128,
            ),
        ),
    ),
    "tiny-imagenet-c": Archive(
        "Tiny-ImageNet-C", "Tiny-ImageNet-C", (RemoteFile(f"{ZENODO}/2536630/files/Tiny-ImageNet-C.tar"),)
    ),
    "imagenet-c-bar": Archive(
        "ImageNet-C-bar",
        "ImageNet-C-bar",
        (RemoteFile("https://dl.fbaipublicfiles.com/inc_bar/imagenet_c_bar.tar.gz"),),
    ),
    "imagenet-v2": Archive(
        "ImageNet-V2, matched frequency",
        "imagenetv2-matched-frequency",
        (
            RemoteFile(
                f"{_IMAGENET_V2}/imagenetv2-matched-frequency.tar.gz",
                "sha256:f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c",
                1_264_079_360,
            ),
        ),
    ),
    "imagenet-a": Archive(
        "ImageNet-A",
        "imagenet-a",
        (
            RemoteFile(
                f"{_BERKELEY}/imagenet-a.tar",
                "sha256:3bb3632277e6ba6392ea64c02ddbf4dd2266c9caffd6bc09c9656d28f012589e",
                687_552_512,
            ),
        ),
    ),
    "imagenet-r": Archive(
        "ImageNet-R",
        "imagenet-r",
        (
            RemoteFile(
                f"{_BERKELEY}/imagenet-r.tar",
                "sha256:18c6bf493b39a0d975d48e587437f562caab9c52ae6327dcfa9dd8eb54aa1b52",
                2_191_079_936,
            ),
        ),
    ),
    **{
        f"{name}-c": Archive(
            f"MedMNIST-C, {name}", f"{name}-c", (RemoteFile(f"{ZENODO}/11471504/files/{name}.zip", f"md5:{md5}"),)
        )
        for name, md5 in _MEDMNIST_C.items()
    },
}


_ROBUSTBENCH = "https://raw.githubusercontent.com/RobustBench/robustbench/master/model_info"
_TIMM = "https://raw.githubusercontent.com/huggingface/pytorch-image-models/main/results"
_TIMM_RESULTS = ("imagenet", "imagenet-a", "imagenet-r", "sketch", "imagenetv2-matched-frequency")
PUBLISHED_ACCURACIES = ("robustbench", "timm")
ARCHIVES |= {
    "robustbench": Archive(
        "Accuracies of RobustBench",
        "robustbench",
        (
            RemoteFile(f"{_ROBUSTBENCH}/cifar10/corruptions/unaggregated_results.csv"),
            RemoteFile(f"{_ROBUSTBENCH}/imagenet/corruptions/unaggregated_results_2d.csv"),
            RemoteFile(f"{_ROBUSTBENCH}/imagenet/corruptions/unaggregated_results_3d.csv"),
        ),
    ),
    "timm": Archive(
        "Accuracies of timm", "timm", tuple(RemoteFile(f"{_TIMM}/results-{name}.csv") for name in _TIMM_RESULTS)
    ),
}


def download_dataset(name: str, folder: Path) -> Path:
    """Download and unpack a public dataset, unless its folder exists; size and progress are shown on stderr.

    A file that the user has put into `folder` is verified and unpacked without network access. The next call resumes an
    interrupted download. Nothing is written if the disk has too little space for a file and what it unpacks to.

    Args:
        name: a key of ARCHIVES.
        folder: where to download to.

    Returns:
        The unpacked folder, within `folder`.

    Raises:
        StudyError: an unknown name.
        StorageError: the disk has too little space.
        DownloadError: it could not be downloaded, does not match its checksum, or does not unpack.
    """
    if name not in ARCHIVES:
        raise StudyError(f"unknown download {name!r}: {did_you_mean(name.replace('_', '-'), ARCHIVES)}")
    archive = ARCHIVES[name]
    target = make_folder(folder) / archive.folder
    if target.is_dir():
        return target
    note(f"download {archive.describe()}")
    paths = [folder / file.local_name for file in archive.files]
    missing = [path for path in paths if not path.exists()]
    for file, path in zip(archive.files, paths, strict=True):
        if path in missing:
            _download(file.url, path, archive.label)
        _verify(path, file, by_hand=path not in missing)
    _unpack(paths, target)
    for path in missing:
        path.unlink()
    return target


def _download(url: str, path: Path, label: str) -> None:
    partial = path.with_name(f"{path.name}.part")
    tag = path.with_name(f"{path.name}.part.tag")
    failures = 0
    most = _size(partial)
    with (
        ProgressBar(f"download {label}", "MB") as bar,
        httpx.Client(timeout=TIMEOUT_S, follow_redirects=True) as client,
    ):

        def show(done: int, total: int | None) -> None:
            size = f"/{total / 1e6:,.1f}" if total else ""
            bar.update(done / 1e6, total and total / 1e6, f"{done / 1e6:,.1f}{size} MB")

        while True:
            try:
                _continue(client, url, partial, tag, show)
                break
            except httpx.HTTPStatusError as error:
                raise DownloadError(_by_hand(url, path, f"HTTP status {error.response.status_code}")) from error
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failures, most = (0, _size(partial)) if _size(partial) > most else (failures + 1, most)
                if failures >= ATTEMPTS or isinstance(error, httpx.ConnectError | httpx.UnsupportedProtocol):
                    raise DownloadError(_by_hand(url, path, first_line(error))) from error
    with storage_errors(path):
        partial.replace(path)
        tag.unlink(missing_ok=True)


def _continue(client: httpx.Client, url: str, partial: Path, tag: Path, show: ShowProgress) -> None:
    """Request the missing bytes and append them; start over if the server has no ranges or another file."""
    known = tag.read_text() if tag.is_file() else ""
    have = _size(partial) if known else 0  # without a tag nothing proves that these bytes are of the same file
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-", "If-Range": known} if have else {})
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return  # killed after the last byte: nothing is missing
            for path in (partial, tag):
                path.unlink(missing_ok=True)
            raise httpx.RemoteProtocolError("the server has fewer bytes than were fetched before")
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
        _append(response, partial, tag, have if resumed else 0, show)


def _append(response: httpx.Response, partial: Path, tag: Path, start: int, show: ShowProgress) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
    if total is not None:
        needed = 2 * (total - start)  # as much again for what it unpacks to, about
        check_space(partial.parent, needed, "the archive and its content", "choose another folder with --to")
    with storage_errors(partial), partial.open("ab" if start else "wb") as file:
        if not start:  # after the old bytes are gone: a tag never vouches for bytes of another version
            tag.write_text(_version_of(response))
        show(start, total)
        # as they come: whole blocks would lose a tail when the connection ends; raw: a .gz stays what it is
        for chunk in response.iter_raw():
            file.write(chunk)
            file.flush()
            show(file.tell(), total)
    if total is not None and _size(partial) != total:
        raise httpx.RemoteProtocolError(f"the connection ended after {_size(partial):,} of {total:,} bytes")


def _version_of(response: httpx.Response) -> str:
    """What identifies this version of the file in If-Range (RFC 9110: a strong ETag, or a date); else nothing."""
    etag: str = response.headers.get("ETag", "")
    return etag if etag and not etag.startswith("W/") else str(response.headers.get("Last-Modified", ""))


def _verify(path: Path, file: RemoteFile, *, by_hand: bool) -> None:
    """Compare a file with its published checksum, if there is one.

    Raises:
        DownloadError: it differs; a downloaded file is removed.
    """
    if file.checksum is None:
        return
    kind, _, expected = file.checksum.partition(":")
    with storage_errors(path), path.open("rb") as opened:
        checksum = hashlib.file_digest(opened, kind).hexdigest()
    if checksum == expected:
        return
    fix = "remove it and run" if by_hand else "it was removed; run"
    if not by_hand:
        path.unlink()
    raise DownloadError(f"{path} has checksum {checksum}, expected {expected}: {fix} the same command again")


def _unpack(paths: Sequence[Path], target: Path) -> None:
    """Unpack archives, and copy other files, into the target folder, completely or not at all."""
    scratch = target.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}"
    path = paths[0]
    try:
        with storage_errors(target):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            for path in paths:
                _unpack_file(path, scratch)
            inner = [entry for entry in scratch.iterdir() if entry.is_dir()]
            same = scratch / target.name
            only = inner[0] if len(inner) == 1 and len(list(scratch.iterdir())) == 1 else scratch
            (same if same.is_dir() else only).replace(target)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        raise DownloadError(f"{path} does not unpack ({error}): remove it and run the same command again") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _unpack_file(path: Path, folder: Path) -> None:
    if zipfile.is_zipfile(path) and path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if not (folder / name).resolve().is_relative_to(folder.resolve()):
                    raise ValueError(f"{name[:60]!r} reaches outside")
            archive.extractall(folder)
    elif ".tar" in path.suffixes or path.suffix == ".zip":
        with tarfile.open(path) as archive_file:
            archive_file.extractall(folder, filter="data")
    else:
        shutil.copy(path, folder / path.name)


def _by_hand(url: str, path: Path, reason: str) -> str:
    return f"cannot download {url} ({reason}): download it yourself to {path} and run the same command again"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
