"""Download public datasets: resumed after an interruption, verified, unpacked completely or not at all.

Written here because the archives are large and their server interrupts: a plain download would start over.
"""

import hashlib
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx

from failmodes.warehouse.errors import DownloadError, StudyError, did_you_mean, first_line
from failmodes.warehouse.progress import ProgressBar
from failmodes.warehouse.storage.files import TEMPORARY_PREFIX, make_folder, storage_errors

TIMEOUT_S = 30.0
ATTEMPTS = 5  # in a row that bring no new byte
ShowProgress = Callable[[int, int | None], None]  # bytes fetched, bytes in all
TORONTO = "https://www.cs.toronto.edu/~kriz"


class Archive(NamedTuple):
    """One archive: its name on charts, the URL of its folder, its file name, checksum and content."""

    label: str
    home: str
    file: str
    md5: str
    folder: str  # what it unpacks to

    def url(self, base_url: str | None = None) -> str:
        """URL of the archive; `base_url` is that of a mirror."""
        return f"{(base_url or self.home).rstrip('/')}/{self.file}"


ARCHIVES = {
    "cifar10": Archive(
        "CIFAR-10", TORONTO, "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py"
    ),
    "cifar100": Archive(
        "CIFAR-100", TORONTO, "cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85", "cifar-100-python"
    ),
    "cifar10-c": Archive(
        "CIFAR-10-C",
        "https://zenodo.org/records/2535967/files",
        "CIFAR-10-C.tar",
        "56bf5dcef84df0e2308c6dcbcbbd8499",
        "CIFAR-10-C",
    ),
    "cifar100-c": Archive(
        "CIFAR-100-C",
        "https://zenodo.org/records/3555552/files",
        "CIFAR-100-C.tar",
        "11f0ed0f1191edbf9fa23466ae6021d3",
        "CIFAR-100-C",
    ),
}


def download_dataset(name: str, folder: Path, *, base_url: str | None = None, progress: bool = True) -> Path:
    """Download and unpack a public dataset, unless its folder exists.

    An archive that the user has put into `folder` is verified and unpacked without network access. The next call
    resumes an interrupted download.

    Args:
        name: cifar10, cifar100, cifar10-c or cifar100-c.
        folder: where to download to.
        base_url: URL of a mirror; the checksum is the same.
        progress: whether to show progress on stderr.

    Returns:
        The unpacked folder, within `folder`.

    Raises:
        StudyError: an unknown name.
        DownloadError: it could not be downloaded, does not match its checksum, or does not unpack.
    """
    if name not in ARCHIVES:
        raise StudyError(f"unknown download {name!r}: {did_you_mean(name.lower().replace('_', '-'), ARCHIVES)}")
    archive = ARCHIVES[name]
    target = folder / archive.folder
    if target.is_dir():
        return target
    make_folder(folder)
    path = folder / archive.file
    by_hand = path.exists()
    if not by_hand:
        _download(archive.url(base_url), path, archive, progress)
    _verify(path, archive, by_hand)
    _unpack(path, target)
    if not by_hand:
        path.unlink()
    return target


def _download(url: str, path: Path, archive: Archive, progress: bool) -> None:
    partial, tag = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.tag")
    failures, most = 0, _size(partial)
    with (
        ProgressBar(f"download {archive.label}", "MB", show=progress) as bar,
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
    have = _size(partial)
    known = tag.read_text() if have and tag.is_file() else ""
    # without a tag nothing proves that these bytes are of the same file
    headers = {"Accept-Encoding": "identity"}
    if have and known:
        headers |= {"Range": f"bytes={have}-", "If-Range": known}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            if response.headers.get("Content-Range") == f"bytes */{have}":
                return  # killed after the last byte: nothing is missing
            _forget(partial, tag)
            raise httpx.RemoteProtocolError("the server has fewer bytes than were fetched before")
        response.raise_for_status()
        resumed = response.status_code == httpx.codes.PARTIAL_CONTENT and _starts_at(response, have)
        if response.status_code == httpx.codes.PARTIAL_CONTENT and not resumed:
            _forget(partial, tag)
            raise httpx.RemoteProtocolError("the server sent another range than was asked for")
        _append(response, partial, tag, have if resumed else 0, show)


def _append(response: httpx.Response, partial: Path, tag: Path, start: int, show: ShowProgress) -> None:
    length = response.headers.get("Content-Length")
    total = start + int(length) if length else None
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
    modified: str = response.headers.get("Last-Modified", "")
    return etag if etag and not etag.startswith("W/") else modified


def _starts_at(response: httpx.Response, have: int) -> bool:
    content_range: str = response.headers.get("Content-Range", "")
    return content_range.removeprefix("bytes ").split("-", 1)[0] == str(have)


def _verify(path: Path, archive: Archive, by_hand: bool) -> None:
    with storage_errors(path), path.open("rb") as file:
        found = hashlib.file_digest(file, "md5").hexdigest()
    if found == archive.md5:
        return
    if not by_hand:
        path.unlink()
    raise DownloadError(
        f"{path} has checksum {found}, expected {archive.md5}: "
        + ("remove it and run the same command again" if by_hand else "it was removed; run the same command again")
    )


def _unpack(path: Path, target: Path) -> None:
    scratch = target.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{target.name}"
    try:
        with storage_errors(target):
            shutil.rmtree(scratch, ignore_errors=True)
            with tarfile.open(path) as archive:
                archive.extractall(scratch, filter="data")
            (scratch / target.name).replace(target)
    except (tarfile.TarError, EOFError) as error:
        raise DownloadError(f"{path} does not unpack ({error}): remove it and run the same command again") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _by_hand(url: str, path: Path, reason: str) -> str:
    return f"cannot download {url} ({reason}): download it yourself to {path} and run the same command again"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _forget(*paths: Path) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
