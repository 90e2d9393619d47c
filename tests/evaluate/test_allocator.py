"""Freed memory is kept while a run lasts, unless the user has set malloc himself or the C library is not glibc."""

import subprocess
import sys

import pytest

from failmodes.evaluate import allocator
from failmodes.evaluate.allocator import KEPT, SHARED, USUAL, freed_memory_kept, keep_freed_memory


class RecordingLibc:
    """Stands for glibc: notes what is set."""

    def __init__(self) -> None:
        self.options: list[tuple[int, int]] = []
        self.trims = 0

    def mallopt(self, parameter: int, value: int) -> int:
        self.options.append((parameter, value))
        return 1

    def malloc_trim(self, _pad: int) -> int:
        self.trims += 1
        return 1


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> RecordingLibc:
    recording = RecordingLibc()
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _name: recording)
    monkeypatch.setitem(allocator._state, "kept", False)
    for name in (*allocator.VARIABLES, "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    return recording


def test_it_is_set_once(libc: RecordingLibc) -> None:
    assert keep_freed_memory()
    assert not keep_freed_memory()
    with freed_memory_kept():
        pass
    assert (libc.options, libc.trims) == ([*KEPT, *SHARED], 0)


def test_it_is_given_back_at_the_end_of_the_outermost_run(libc: RecordingLibc) -> None:
    @freed_memory_kept()
    def fail() -> None:
        with freed_memory_kept():
            pass
        assert libc.options == list(KEPT)
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert (libc.options, libc.trims) == ([*KEPT, *USUAL], 1)
    assert keep_freed_memory()


@pytest.mark.parametrize(
    ("name", "value", "left_alone"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "131072", True),
        ("MALLOC_TRIM_THRESHOLD_", "0", True),
        ("GLIBC_TUNABLES", "glibc.malloc.check=1:glibc.malloc.top_pad=4096", True),
        ("MALLOC_ARENA_MAX", "2", True),
        ("GLIBC_TUNABLES", "glibc.malloc.tcache_count=2", False),
    ],
)
def test_what_the_user_has_set_stays(
    libc: RecordingLibc, monkeypatch: pytest.MonkeyPatch, name: str, value: str, left_alone: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert keep_freed_memory() is not left_alone
    assert libc.options == ([] if left_alone else [*KEPT, *SHARED])


@pytest.mark.parametrize("library", [object(), TypeError("Windows has no such handle"), OSError("no such file")])
def test_without_glibc_a_run_goes_on(libc: RecordingLibc, monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    def load(_name: None) -> object:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(allocator.ctypes, "CDLL", load)
    with freed_memory_kept():
        assert not keep_freed_memory()


MEMORY = """
import resource, numpy as np
from failmodes.evaluate.allocator import freed_memory_kept
def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def work():
    np.ones(5 << 20)  # 40 MB
work()
before = resident_mb()
with freed_memory_kept():
    work()
    held, begun = resident_mb() - before, faults()
    for _ in range(10):
        work()
    mapped = faults() - begun
print(held, mapped, resident_mb() - before)
"""


@pytest.mark.skipif(sys.platform != "linux" or allocator._glibc() is None, reason="there is no glibc on Linux here")
def test_freed_memory_is_held_and_not_mapped_again_until_the_end() -> None:
    """In a process of its own: what others of this one have allocated would count."""
    variables = {name: value for name, value in allocator.os.environ.items() if name not in allocator.VARIABLES}
    variables.pop("GLIBC_TUNABLES", None)
    found = subprocess.run([sys.executable, "-c", MEMORY], env=variables, capture_output=True, check=True)
    held_mb, mapped_pages, left_mb = map(float, found.stdout.split())
    assert held_mb > 30
    assert mapped_pages < 1000  # of 10,240 of 4 KiB in each of ten arrays
    assert left_mb < 10
