"""Freed memory is kept during a run, unless the user configures malloc or the C library is not glibc."""

from unittest.mock import Mock, call

import pytest

from failmodes.evaluate import devices
from failmodes.evaluate.devices import KEPT, USUAL, freed_memory_kept, keep_freed_memory

IS_KEPT = [call.mallopt(*option) for option in KEPT]


@pytest.fixture
def libc(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Stands for glibc, in an empty environment."""
    recording = Mock(mallopt=Mock(return_value=1))
    monkeypatch.setattr(devices.ctypes, "CDLL", lambda _name: recording)
    monkeypatch.setattr(devices.os, "environ", {})
    return recording


def test_memory_is_released_at_the_end_of_a_run(libc: Mock) -> None:
    @freed_memory_kept()
    def fail() -> None:
        assert libc.mock_calls == IS_KEPT
        raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert libc.mock_calls == [*IS_KEPT, *(call.mallopt(*option) for option in USUAL), call.malloc_trim(0)]


@pytest.mark.parametrize(
    ("name", "value", "left_alone"),
    [
        ("GLIBC_TUNABLES", "glibc.malloc.check=1:glibc.malloc.top_pad=4096", True),
        ("MALLOC_ARENA_MAX", "2", True),
        ("GLIBC_TUNABLES", "glibc.pthread.rseq=0", False),
    ],
)
def test_what_the_user_has_set_stays(libc: Mock, name: str, value: str, left_alone: bool) -> None:
    devices.os.environ[name] = value
    assert keep_freed_memory() is not left_alone
    assert libc.mock_calls == ([] if left_alone else IS_KEPT)
