"""Downloads against a server of this machine that breaks off, knows no ranges, changes its file, or is not there."""

import hashlib
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from failmodes.ingest import cli
from failmodes.ingest import downloads as archives
from failmodes.ingest import downloads as download
from failmodes.ingest.downloads import ARCHIVES, Archive, download_dataset
from failmodes.warehouse.errors import DownloadError, StudyError

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
    tiny = Archive("Tiny", server.url, "tiny.tar", hashlib.md5(server.content).hexdigest(), "tiny")
    monkeypatch.setitem(archives.ARCHIVES, "tiny", tiny)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_fetch_unpacks_and_leaves_nothing_else(server: Server, tmp_path: Path) -> None:
    found = download_dataset("tiny", tmp_path, progress=False)
    assert found == tmp_path / "tiny"
    assert (found / "pixels.bin").read_bytes() == PIXELS
    assert left(tmp_path) == ["tiny/pixels.bin"]
    assert download_dataset("tiny", tmp_path, progress=False) == found
    assert len(server.asked) == 1, "what is there is not fetched again"


def test_a_cut_connection_is_resumed_within_a_call(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000, 50_000]
    download_dataset("tiny", tmp_path, progress=False)
    assert (tmp_path / "tiny" / "pixels.bin").read_bytes() == PIXELS
    assert server.asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_broken_call_is_resumed_by_the_next(server: Server, tmp_path: Path) -> None:
    server.break_after = [100_000] + [0] * download.ATTEMPTS
    with pytest.raises(DownloadError, match="download it yourself"):
        download_dataset("tiny", tmp_path, progress=False)
    assert (tmp_path / "tiny.tar.part").stat().st_size == 100_000
    server.asked.clear()
    download_dataset("tiny", tmp_path, progress=False)
    assert server.asked == ["bytes=100000-"]
    assert left(tmp_path) == ["tiny/pixels.bin"]


@pytest.mark.parametrize("case", ["no ranges", "no tag", "another file"])
def test_what_cannot_be_resumed_is_restarted(server: Server, tmp_path: Path, case: str) -> None:
    (tmp_path / "tiny.tar.part").write_bytes(b"the beginning of another file")
    (tmp_path / "tiny.tar.part.tag").write_text('"zero"' if case == "another file" else '"one"')
    server.ranges = case != "no ranges"
    if case == "no tag":
        (tmp_path / "tiny.tar.part.tag").unlink()
        server.etag = None
    download_dataset("tiny", tmp_path, progress=False)
    assert (tmp_path / "tiny" / "pixels.bin").read_bytes() == PIXELS


def test_more_bytes_than_the_server_has_are_dropped(server: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar.part").write_bytes(server.content + b"more")
    (tmp_path / "tiny.tar.part.tag").write_text('"one"')
    download_dataset("tiny", tmp_path, progress=False)
    assert len(server.asked) == 2


def test_a_whole_file_that_was_not_yet_unpacked_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar.part").write_bytes(server.content)
    (tmp_path / "tiny.tar.part.tag").write_text('"one"')
    download_dataset("tiny", tmp_path, progress=False)
    assert server.asked == [f"bytes={len(server.content)}-"]
    assert left(tmp_path) == ["tiny/pixels.bin"]


def test_a_wrong_checksum_is_removed_and_said(server: Server, tmp_path: Path) -> None:
    server.content = tarred({"tiny/pixels.bin": PIXELS[::-1]})
    with pytest.raises(DownloadError, match=r"has checksum \w+, expected \w+: it was removed"):
        download_dataset("tiny", tmp_path, progress=False)
    assert left(tmp_path) == []


def test_an_archive_put_there_by_hand_needs_no_internet_and_is_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "tiny.tar").write_bytes(server.content)
    download_dataset("tiny", tmp_path, progress=False)
    assert server.asked == []
    assert left(tmp_path) == ["tiny.tar", "tiny/pixels.bin"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "tiny.tar").write_bytes(b"not it")
    with pytest.raises(DownloadError, match="remove it and run"):
        download_dataset("tiny", tmp_path / "other", progress=False)
    assert (tmp_path / "other" / "tiny.tar").exists()


def test_refusals_name_the_url_and_the_place(server: Server, tmp_path: Path) -> None:
    server.status = 403
    with pytest.raises(DownloadError, match=rf"{server.url}/tiny\.tar \(HTTP status 403\).*{tmp_path}/tiny") as e:
        download_dataset("tiny", tmp_path, progress=False)
    assert "\n" not in str(e.value)


def test_offline_names_the_url_and_the_place(server: Server, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        base = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(
            DownloadError, match=rf"cannot download {base}/tiny\.tar .*yourself to {tmp_path}/tiny\.tar"
        ) as e:
            download_dataset("tiny", tmp_path, base_url=base, progress=False)
    assert "\n" not in str(e.value)
    with pytest.raises(DownloadError, match="download it yourself"):
        download_dataset("tiny", tmp_path, base_url="nonsense", progress=False)


def test_an_archive_that_reaches_outside_is_refused(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.content = tarred({"tiny/pixels.bin": b"x", "../escaped.txt": b"x"})
    digest = hashlib.md5(server.content).hexdigest()
    monkeypatch.setitem(archives.ARCHIVES, "tiny", ARCHIVES["tiny"]._replace(md5=digest))
    with pytest.raises(DownloadError, match="does not unpack"):
        download_dataset("tiny", tmp_path / "inner", progress=False)
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not (tmp_path / "inner" / "tiny").exists()


def test_the_command_prints_the_folder(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.download("tiny", tmp_path)
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "tiny")
    with pytest.raises(StudyError, match="did you mean 'cifar10-c'"):
        cli.download("cifar10c", tmp_path)
