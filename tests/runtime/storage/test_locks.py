"""One run at a time: the second is refused by name, and a killed one leaves nothing to clean up."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from failmodes.runtime.errors import StorageError, WarehouseError
from failmodes.runtime.storage.locks import RUN_LOCK, file_lock, run_lock

HOLD = """
import sys
from pathlib import Path
from failmodes.runtime.storage.locks import run_lock
with run_lock(Path(sys.argv[1])):
    print('held', flush=True)
    sys.stdin.read()
"""


def hold(output: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock of `output` until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(output)], cwd=Path(__file__).parents[3], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_refused_by_name_and_a_killed_one_frees_the_folder(tmp_path: Path) -> None:
    output = tmp_path / "new" / "out"
    process = hold(output)
    try:
        expected = rf"another run \(process {process.pid}\) is evaluating into .*out: wait for it, or give this study"
        with pytest.raises(WarehouseError, match=expected) as caught, run_lock(output):
            pytest.fail("two runs at once")
        assert "\n" not in str(caught.value)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        with run_lock(output):
            assert (output / RUN_LOCK).read_text() == str(os.getpid())
    finally:
        process.kill()
        process.communicate()


def test_a_lock_is_free_again_after_an_exception_and_names_its_latest_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("99999999999")  # an earlier holder with a longer number
    with pytest.raises(KeyError), file_lock(path, ""):
        raise KeyError
    taken = pytest.raises(WarehouseError, match=f"^taken by process {os.getpid()}$")
    with file_lock(path, ""), taken, file_lock(path, "taken by {process}"):
        pytest.fail("held twice")


def test_locks_of_two_folders_do_not_meet_and_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    with run_lock(tmp_path / "a"), run_lock(tmp_path / "b"):
        assert {path.parent.name for path in tmp_path.rglob(RUN_LOCK)} == {"a", "b"}
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write .*folder"), run_lock(tmp_path / "file" / "out"):
        pytest.fail("held")
