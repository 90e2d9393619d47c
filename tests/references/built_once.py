"""What takes seconds to make and many tests read: made by the first worker that asks for it, and copied by all."""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Value = TypeVar("Value")


def built_once(factory: pytest.TempPathFactory, name: str, build: Callable[[Path], Value]) -> tuple[Path, Value]:
    """A copy of one's own of a folder that `build` has filled, and what `build` gave, which can be pickled."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # of all workers of this run
    folder, given = shared / f"built-{name}", shared / f"built-{name}.pickle"
    with (shared / f"built-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not given.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            given.write_bytes(pickle.dumps(build(folder)))
    own = Path(shutil.copytree(folder, factory.mktemp(name) / "own"))
    value: Value = pickle.loads(given.read_bytes())
    return own, value
