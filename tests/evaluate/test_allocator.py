"""Freed memory is kept during a run, unless the user configures malloc or the C library is not glibc."""

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
    monkeypatch.setattr(allocator.os, "environ", {})
    return recording


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
        ("GLIBC_TUNABLES", "glibc.malloc.check=1:glibc.malloc.top_pad=4096", True),
        ("MALLOC_ARENA_MAX", "2", True),
        ("GLIBC_TUNABLES", "glibc.pthread.rseq=0", False),
    ],
)
def test_what_the_user_has_set_stays(
    libc: RecordingLibc, monkeypatch: pytest.MonkeyPatch, name: str, value: str, left_alone: bool
) -> None:
    allocator.os.environ[name] = value
    assert keep_freed_memory() is not left_alone
    assert libc.options == ([] if left_alone else [*KEPT, *SHARED])
