"""Files and other things that no output may replace, made at a path; and what a folder holds, to be compared."""

import os
import shutil
import socket
import stat
from collections.abc import Callable
from pathlib import Path

STUDY = 'name = "mine"\noutput = "out"\n\n[dataset]\nkind = "digits"\n'


def make_link(path: Path) -> None:
    target = path.with_name("target")
    target.write_text("kept")
    path.symlink_to(target)


def make_socket(path: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(path.parent)  # a socket's path has few letters
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


NO_FILES: dict[str, Callable[[Path], object]] = {  # whatever the suffix
    "link": make_link,
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "FIFO": os.mkfifo,
    "socket": make_socket,
    "folder": Path.mkdir,
}
FILES: dict[str, Callable[[Path], object]] = {  # that --force replaces
    "study": lambda path: path.write_text(STUDY),
}


def holdings(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Kind and content of everything under a folder, by path; locks of writers, which stay, left out."""
    found = {}
    for path in folder.rglob("*"):
        mode = stat.S_IFMT(path.lstat().st_mode)
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(folder))] = (mode, content)
    return found


def copy_of(source: Path) -> Callable[[Path], object]:
    return lambda path: shutil.copy(source, path)
