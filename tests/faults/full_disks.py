"""A disk that is full after so many bytes: one line, nothing half-written, and resumed to the same rows."""

import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from fault_trials import attempt, half_written, shell
from soak_study import COMMANDS, PREDICTIONS_FILE, Base, Command, Found, Job, resumed, unlike_a_refusal

PART = "full disks"
SIZES = 20
TURNS = ("evaluate", "run", "load", "train", "import", "query to a file", "report", "shapes", "evaluate", "run")
BLOCK = 4096  # bytes of a page, which a file in memory takes whole
PLENTY = 256 << 20


def disk_jobs(base: Base, seed: int) -> list[Job]:
    """Twenty sizes, from almost nothing to almost enough for what the command writes."""
    rng = random.Random(f"disks {seed}")
    shares = [(number + rng.random()) / SIZES for number in range(SIZES)]
    rng.shuffle(shares)
    return [partial(_try_disk, base, TURNS[number % len(TURNS)], share) for number, share in enumerate(shares)]


@cache
def can_mount() -> bool:
    """Whether this process may make disks of its own."""
    with tempfile.TemporaryDirectory() as folder:
        made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
        if made.returncode == 0:
            subprocess.run(["umount", folder], capture_output=True)
        return made.returncode == 0


def _try_disk(base: Base, name: str, share: float, folder: Path) -> Found:
    command, wrong = COMMANDS[name], []
    with _disk(folder) as resize:
        command.prepare(base, folder)
        size = int(share * _written_bytes(name, command, base)) // BLOCK * BLOCK + BLOCK
        if can_mount():
            resize(_used(folder) + size)
            what, limited = "a disk in memory", ()
        else:
            what, limited = (
                "no disk could be mounted: a limit on the size of a file",
                shell(f"ulimit -f {size // 512}; "),
            )
        trial = attempt(*command.arguments, folder=folder, through=limited)
        wrong += unlike_a_refusal(trial, "space" if can_mount() else "")
        wrong += [f"half-written: {path}" for path in half_written(folder)]
        resize(PLENTY)
        wrong += resumed(folder, command, base)
    full = trial.stderr.splitlines()[-1] if trial.code else "there was room enough"
    return Found(PART, f"{name}, {size:,} bytes", f"{what}: {full}", wrong, {"bytes": size, "code": trial.code})


def _written_bytes(name: str, command: Command, base: Base) -> int:
    """What the undisturbed command left."""
    folder = base.imported if PREDICTIONS_FILE in command.arguments else base.folder
    made = {
        "run": ["."],
        "evaluate": ["results"],
        "import": ["results"],
        "train": ["checkpoints"],
        "report": ["report.html"],
    }
    return sum(_used(folder / "out" / path) for path in made.get(name, ["warehouse.duckdb"]))


def _used(path: Path) -> int:
    files = [path] if path.is_file() else list(path.rglob("*"))
    return sum(-(-file.lstat().st_size // BLOCK) * BLOCK for file in files)


@contextmanager
def _disk(folder: Path) -> Iterator[Callable[[int], object]]:
    """Make `folder` a disk of its own, with plenty of room; gives a function that sets its size in bytes."""
    if not can_mount():
        yield lambda _size: None
        return
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={PLENTY}", "tmpfs", folder], check=True)
    try:
        yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
