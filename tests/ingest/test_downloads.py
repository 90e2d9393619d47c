"""Downloads against a server of this machine that breaks off, knows no ranges, changes its file, or is not there."""

import hashlib
import io
import shutil
import socket
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from failmodes.ingest import cli, downloads
from failmodes.ingest.downloads import ARCHIVES, Archive, RemoteFile, download_dataset
from failmodes.runtime.errors import DownloadError, StorageError, StudyError

PIXELS = np.random.default_rng(0).integers(0, 256, 300_000, dtype=np.uint8).tobytes()


def tarred(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves `content`; every test sets how."""

    content = tarred({"tiny/pixels.bin": PIXELS})
    ranges = True
    etag: str | None = '"one"'
    status = 200
    break_after: list[int] | None = None  # bytes of each answer after which the connection ends
    asked: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/files"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.asked.append(wanted)
        if server.status != 200:
            self.send_error(server.status)
            return
        same = self.headers.get("If-Range") in (None, server.etag)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges and same else 0
        if start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        if server.break_after:
            body = body[: server.break_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    server = Server(("127.0.0.1", 0), Handler)
    server.asked = []
    md5 = hashlib.md5(server.content).hexdigest()
    tiny = Archive("Tiny", "tiny", (RemoteFile(f"{server.url}/tiny.tar", f"md5:{md5}"),))
    monkeypatch.setitem(downloads.ARCHIVES, "tiny", tiny)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_fetch_unpacks_and_leaves_nothing_else(server: Server, tmp_path: Path) -> None:
    found = download_dataset("tiny", tmp_path)
    assert found == tmp_path / "tiny"
    assert (found / "pixels.bin").read_bytes() == PIXELS
    assert left(tmp_path) == ["tiny/pixels.bin"]
    assert download_dataset("tiny", tmp_path) == found
    assert len(server.asked) == 1, "what is there is not fetched again"


def test_a_cut_connection_is_resumed_within_a_call(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000, 50_000]
    download_dataset("tiny", tmp_path)
    assert (tmp_path / "tiny" / "pixels.bin").read_bytes() == PIXELS
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_broken_call_is_resumed_by_the_next(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000] + [0] * downloads.ATTEMPTS
    with pytest.raises(DownloadError, match="download it yourself"):
        download_dataset("tiny", tmp_path)
    assert (tmp_path / "tiny.tar.part").stat().st_size == 100_000
    server.asked.clear()
    download_dataset("tiny", tmp_path)
    assert server.asked == ["bytes=100000-"]
    assert left(tmp_path) == ["tiny/pixels.bin"]


@pytest.mark.parametrize("case", ["no ranges", "no tag", "another file", "more bytes"])
def test_what_cannot_be_resumed_is_restarted(server: Server, tmp_path: Path, case: str) -> None:
    partial, tag = tmp_path / "tiny.tar.part", tmp_path / "tiny.tar.part.tag"
    partial.write_bytes(server.content + b"more" if case == "more bytes" else b"the beginning of another file")
    if case == "no tag":
        server.etag = None
    else:
        tag.write_text('"zero"' if case == "another file" else '"one"')
    server.ranges = case != "no ranges"
    download_dataset("tiny", tmp_path)
    assert (tmp_path / "tiny" / "pixels.bin").read_bytes() == PIXELS
    assert len(server.asked) == (2 if case == "more bytes" else 1)


def test_a_whole_file_that_was_not_yet_unpacked_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar.part").write_bytes(server.content)
    (tmp_path / "tiny.tar.part.tag").write_text('"one"')
    download_dataset("tiny", tmp_path)
    assert server.asked == [f"bytes={len(server.content)}-"]
    assert left(tmp_path) == ["tiny/pixels.bin"]


def test_a_wrong_checksum_is_removed_and_said(server: Server, tmp_path: Path) -> None:
    server.content = tarred({"tiny/pixels.bin": PIXELS[::-1]})
    with pytest.raises(DownloadError, match=r"has checksum \w+, expected \w+: it was removed"):
        download_dataset("tiny", tmp_path)
    assert left(tmp_path) == []


def test_an_archive_put_there_by_hand_needs_no_internet_and_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar").write_bytes(server.content)
    download_dataset("tiny", tmp_path)
    assert server.asked == []
    assert left(tmp_path) == ["tiny.tar", "tiny/pixels.bin"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiny.tar").write_bytes(b"not it")
    with pytest.raises(DownloadError, match="remove it and run"):
        download_dataset("tiny", tmp_path / "other")
    assert (tmp_path / "other" / "tiny.tar").exists()


def test_refusals_name_the_url_and_the_place(server: Server, tmp_path: Path) -> None:
    server.status = 403
    with pytest.raises(DownloadError, match=rf"{server.url}/tiny\.tar \(HTTP status 403\).*{tmp_path}/tiny") as e:
        download_dataset("tiny", tmp_path)
    assert "\n" not in str(e.value)


def test_offline_names_the_url_and_the_place(server: Server, tmp_path: Path, monkeypatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/tiny.tar"
        offer(monkeypatch, server, b"", RemoteFile(url))
        with pytest.raises(DownloadError, match=rf"cannot download {url} .*yourself to {tmp_path}/tiny\.tar") as e:
            download_dataset("tiny", tmp_path)
    assert "\n" not in str(e.value)
    offer(monkeypatch, server, b"", RemoteFile("nonsense/tiny.tar"))
    with pytest.raises(DownloadError, match="download it yourself"):
        download_dataset("tiny", tmp_path)


def test_an_archive_that_reaches_outside_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = tarred({"tiny/pixels.bin": b"x", "../escaped.txt": b"x"})
    digest = hashlib.md5(server.content).hexdigest()
    file = ARCHIVES["tiny"].files[0]._replace(checksum=f"md5:{digest}")
    monkeypatch.setitem(downloads.ARCHIVES, "tiny", ARCHIVES["tiny"]._replace(files=(file,)))
    with pytest.raises(DownloadError, match="does not unpack"):
        download_dataset("tiny", tmp_path / "inner")
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not (tmp_path / "inner" / "tiny").exists()


def test_the_command_prints_the_folder(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.download("tiny", tmp_path)
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "tiny")
    with pytest.raises(StudyError, match="did you mean 'cifar10-c'"):
        cli.download("cifar10c", tmp_path)


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def offer(monkeypatch: pytest.MonkeyPatch, server: Server, content: bytes, *files: RemoteFile) -> None:
    server.content = content
    monkeypatch.setitem(downloads.ARCHIVES, "tiny", Archive("Tiny", "tiny", files))


def test_plain_files_become_a_folder(server: Server, tmp_path: Path, monkeypatch, capsys) -> None:
    digest = hashlib.sha256(PIXELS).hexdigest()
    files = [RemoteFile(f"{server.url}/{name}.npy?raw=true", f"sha256:{digest}", len(PIXELS)) for name in "ab"]
    offer(monkeypatch, server, PIXELS, *files)
    found = download_dataset("tiny", tmp_path)
    assert left(found) == ["a.npy", "b.npy"]
    assert left(tmp_path) == ["tiny/a.npy", "tiny/b.npy"]
    assert "download Tiny: 2 files, 0.6 MB" in capsys.readouterr().err


def test_zips_and_archives_with_another_folder_unpack(server: Server, tmp_path: Path, monkeypatch, capsys) -> None:
    offer(monkeypatch, server, zipped({"other/a.npz": b"a"}), RemoteFile(f"{server.url}/tiny.zip"))
    assert left(download_dataset("tiny", tmp_path / "zip")) == ["a.npz"]
    assert "size not published, no checksum published" in capsys.readouterr().err
    offer(monkeypatch, server, tarred({"fog/a": b"a", "sparkles/b": b"b"}), RemoteFile(f"{server.url}/tiny.tar"))
    assert left(download_dataset("tiny", tmp_path / "tar")) == ["fog/a", "sparkles/b"]
    for content in (zipped({"../escaped.txt": b"x"}), b"no archive"):
        offer(monkeypatch, server, content, RemoteFile(f"{server.url}/tiny.zip"))
        with pytest.raises(DownloadError, match="does not unpack"):
            download_dataset("tiny", tmp_path / "bad")
        assert not list(tmp_path.rglob("escaped.txt"))
        assert not (tmp_path / "bad" / "tiny").exists()
        (tmp_path / "bad" / "tiny.zip").unlink()


def test_a_full_disk_is_said_before_the_first_byte(server: Server, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=len(PIXELS)))
    with pytest.raises(StorageError, match="the archive and its content need"):
        download_dataset("tiny", tmp_path)
    assert left(tmp_path) == []


def test_every_public_dataset_names_its_files() -> None:
    for name, archive in ARCHIVES.items():
        assert archive.describe().startswith(archive.label), name
        assert len({file.local_name for file in archive.files}) == len(archive.files)
        for file in archive.files:
            assert file.url.startswith("https://")
            kind, _, digest = (file.checksum or "md5:" + "0" * 32).partition(":")
            assert len(digest) == {"md5": 32, "sha256": 64}[kind]
