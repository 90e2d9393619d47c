"""Settings of glibc's allocator: keep freed memory while processing batches of images.

By default glibc maps large arrays on each allocation and unmaps them when freed, so that the kernel zeroes the same
pages in every layer of a model and in every statistic: a third of the CPU time of EfficientNet-B0 at 224 px.
"""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Parameters of mallopt, from malloc.h. Arrays of any size are in the heap, and the heap does not shrink.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -3, -4, -8
KEPT = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))
# One heap for all threads, so that each reuses memory freed by others: saves up to 100 MB. Cannot be undone.
SHARED = ((M_ARENA_MAX, 1),)
# Final values of glibc's dynamic thresholds in a process that has freed large arrays; setting them disables adjustment.
USUAL = ((M_MMAP_MAX, 65536), (M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 64 << 20))

_state = {"kept": False}


def keep_freed_memory() -> bool:
    """Keep freed memory from now on, for a process that only evaluates; no effect without glibc.

    Returns:
        Whether the setting changed: not if it was active already, or if the user's environment configures malloc.
    """
    return _keep((*KEPT, *SHARED))


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in this context, and release it at the end, for programs with other work."""
    begun = _keep(KEPT)
    try:
        yield
    finally:
        if begun:
            libc = _glibc()
            for option in USUAL:
                libc.mallopt(*option)
            libc.malloc_trim(0)
            _state["kept"] = False


def _keep(options: tuple[tuple[int, int], ...]) -> bool:
    set_by_user = any(name.startswith("MALLOC_") for name in os.environ)
    set_by_user |= "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    libc = None if _state["kept"] or set_by_user else _glibc()
    if libc is None:
        return False
    _state["kept"] = all([libc.mallopt(*option) for option in options])
    return _state["kept"]


def _glibc() -> Any:
    """The C library of this process if it has glibc's functions, unlike musl, macOS and Windows; otherwise None."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
