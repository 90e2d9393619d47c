"""Memory that is freed and asked for again: kept by this process while it works on batches of images.

glibc maps large arrays anew each time and unmaps them when they are freed, so that the kernel zeroes the same pages in
every layer of a model and in every step of a measure: a third of the processor time of EfficientNet-B0 at 224 px.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# mallopt's parameters, of malloc.h. Arrays lie in the heap, whatever their size, and the heap does not shrink.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8
KEPT = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))
# One heap for all threads, so that each uses what others have freed: up to 100 MB less. It holds for good.
SHARED = ((M_ARENA_MAX, 1),)
# What glibc's own, moving thresholds end at in a process that has freed large arrays; set once, they move no longer.
USUAL = ((M_MMAP_MAX, 65536), (M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 64 << 20))

VARIABLES = (
    "MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_ARENA_MAX",
)  # fmt: skip
TUNABLES = ("mmap_max", "mmap_threshold", "trim_threshold", "top_pad", "arena_max")  # the same in GLIBC_TUNABLES

_state = {"kept": False}


def keep_freed_memory() -> bool:
    """Keep freed memory from now on, in a process that does nothing else; nothing happens where there is no glibc.

    Returns:
        Whether it begins here: not if it is kept already, nor where the user's own variables say how malloc works.
    """
    return _keep((*KEPT, *SHARED))


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in here, and give it back at the end: whoever calls from a program has other work too."""
    begun = _keep(KEPT)
    try:
        yield
    finally:
        if begun and (libc := _glibc()) is not None:
            for option in USUAL:
                libc.mallopt(*option)
            libc.malloc_trim(0)
            _state["kept"] = False


def _keep(options: tuple[tuple[int, int], ...]) -> bool:
    libc = None if _state["kept"] or _set_by_user() else _glibc()
    if libc is None:
        return False
    _state["kept"] = all([libc.mallopt(*option) for option in options])
    return _state["kept"]


def _set_by_user() -> bool:
    tunables = os.environ.get("GLIBC_TUNABLES", "")
    return any(name in os.environ for name in VARIABLES) or any(f"malloc.{name}=" in tunables for name in TUNABLES)


def _glibc() -> Any | None:
    """The C library of this process, if it has glibc's functions: musl, macOS and Windows have not."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
