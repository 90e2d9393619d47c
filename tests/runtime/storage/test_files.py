"""Files appear whole or not at all, wherever they lie; whatever a driver raises is one line."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from upath import UPath
from warehouse_files import failing

from failmodes.runtime.errors import StorageError, StudyError
from failmodes.runtime.storage import files
from failmodes.runtime.storage.files import (
    TEMPORARY_PREFIX,
    StorePath,
    as_store_path,
    atomic_folder,
    atomic_write,
    atomic_write_bytes,
    remove_stale_temporaries,
)


def write_half(path: StorePath, error: BaseException) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "full")])
def test_failed_write_leaves_the_old_file_and_no_temporary(
    tmp_path, memory_url: str, monkeypatch, error: BaseException
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (local := tmp_path / "x.txt").write_text("old")
    for path in (local, as_store_path(memory_url) / "x.bin"):
        with pytest.raises(KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else StorageError):
            write_half(path, error)
    assert local.read_text() == "old"
    assert list(tmp_path.iterdir()) == [local]
    assert MemoryFileSystem().find(as_store_path(memory_url).path) == []


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells what has ended")
def test_only_temporaries_of_dead_processes_are_removed(tmp_path) -> None:
    (tmp_path / ".tmp-1-a").write_text("init is alive")
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        (tmp_path / f".tmp-{process.pid}-a").write_text("")
        assert remove_stale_temporaries(tmp_path) == 0
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and stays in the table of processes
        assert remove_stale_temporaries(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == [".tmp-1-a"]


@pytest.mark.parametrize("whole_puts", [False, True], ids=["put and rename", "one put"])
@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError("403"), "access denied"),
        (FileNotFoundError("bucket"), "no such bucket or folder"),
        (RuntimeError("Unable to locate\ncredentials"), "Unable to locate$"),
        (TimeoutError(), "TimeoutError"),
    ],
    ids=["rights", "bucket", "driver", "silent"],
)
def test_a_failing_put_is_one_line_and_leaves_the_old_file(memory_url, monkeypatch, error, message, whole_puts) -> None:
    path = as_store_path(memory_url) / "a=1" / "x.bin"
    atomic_write_bytes(path, b"old")
    put_file = MemoryFileSystem.put_file

    def half(self: MemoryFileSystem, source: str, target: str, **options: object) -> None:
        if not whole_puts:
            put_file(self, source, target, **options)
        raise error

    monkeypatch.setattr(MemoryFileSystem, "put_file", half)
    monkeypatch.setattr(files, "_WHOLE_PUTS", ("memory",) if whole_puts else ())
    with pytest.raises(StorageError, match=f"^cannot write {memory_url}/a=1/x.bin: {message}") as caught:
        atomic_write_bytes(path, b"new")
    assert "\n" not in str(caught.value)
    assert MemoryFileSystem().find(as_store_path(memory_url).path) == [path.path]
    assert path.read_bytes() == b"old"


def test_an_object_store_is_given_the_file_itself_in_one_put(memory_url: str, monkeypatch) -> None:
    monkeypatch.setattr(files, "_WHOLE_PUTS", ("memory",))
    for name in ("mv", "cp_file"):
        monkeypatch.setattr(MemoryFileSystem, name, failing)
    path = as_store_path(memory_url) / "x.bin"
    atomic_write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("nonsense://bucket/x", "cannot reach nonsense://bucket/x: Protocol not known: nonsense; expected a path, or"),
        ("s3://bucket/x", "cannot reach s3://bucket/x: Install s3fs"),
        ("gs://bucket/x", "cannot reach gs://bucket/x: .*gcsfs"),
    ],
    ids=["protocol", "s3 driver", "gs driver"],
)
def test_what_cannot_be_reached_is_one_line(monkeypatch, location: str, message: str) -> None:
    for driver in ("s3fs", "gcsfs"):
        monkeypatch.setitem(sys.modules, driver, None)  # as if it were not installed
    with pytest.raises(StudyError, match=message) as caught:
        as_store_path(location)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "expected"),
    [("runs/x", Path("/base/runs/x")), ("/runs/x", Path("/runs/x")), ("file:///runs/a=1", Path("/runs/a=1"))],
    ids=["relative", "absolute", "file URL"],
)
def test_local_locations_are_plain_paths(location: str, expected: Path) -> None:
    path = as_store_path(location, Path("/base"))
    assert path == expected
    assert not isinstance(path, UPath)


def test_a_folder_that_cannot_be_replaced_keeps_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "site"
    with atomic_folder(path) as made:
        (made / "a").write_text("first")
    replace = os.replace

    def without_space(source: Path, target: Path) -> None:
        if target == path and (source / "a").read_text() == "second":
            raise OSError(errno.ENOSPC, "no space left")
        replace(source, target)

    monkeypatch.setattr(os, "replace", without_space)
    with pytest.raises(StorageError), atomic_folder(path) as made:
        (made / "a").write_text("second")
    assert (path / "a").read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["site"]


def test_a_folder_between_two_renames_of_a_killed_process_comes_back(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / f"{TEMPORARY_PREFIX}{gone.pid}-1-site.former").mkdir()
    (tmp_path / f"{TEMPORARY_PREFIX}{gone.pid}-1-site.former" / "a").write_text("first")
    with pytest.raises(KeyboardInterrupt), atomic_folder(tmp_path / "site"):
        raise KeyboardInterrupt  # in the next call
    assert (tmp_path / "site" / "a").read_text() == "first"
    assert [one.name for one in tmp_path.iterdir()] == ["site"]
