"""Devices: selection, precision, memory and batch sizes."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from failmodes.runtime.errors import StudyError, counted

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")

# Maxima. Small batches stay in CPU caches: on two cores DenseNet-121 runs a third faster at 32 than at 128.
BATCH_SIZE = {"cpu": 32, "cuda": 512, "mps": 128}
# Bytes for the largest activation of a batch: 16 images of 224 px in EfficientNet-B0 or ResNet-50
ACTIVATION_BYTES = 80 << 20
GPU_SHARE = 32  # this activation may use 1/32 of a GPU's memory: 2.5 GB of 80

# By default glibc maps large arrays on each allocation and unmaps them when freed, so that the kernel zeroes the same
# pages in every layer of a model and in every statistic: a third of the CPU time of EfficientNet-B0 at 224 px.
# Parameters of mallopt, from malloc.h. Arrays of any size are in the heap, and the heap does not shrink.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
KEPT = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1))
# Final values of glibc's dynamic thresholds in a process that has freed large arrays; setting them disables adjustment.
USUAL = ((M_MMAP_MAX, 65536), (M_MMAP_THRESHOLD, 32 << 20), (M_TRIM_THRESHOLD, 64 << 20))


def choose_device(name: str) -> torch.device:
    """The device of that name; 'auto' prefers cuda, then mps, then cpu.

    Raises:
        StudyError: the requested device is not available.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    present = [kind for kind, is_present in available.items() if is_present]
    if name != "auto" and name not in present:
        raise StudyError(
            f"device {name!r} is not available (available: {', '.join(present)}): choose one of these, or 'auto'"
        )
    return torch.device(present[0] if name == "auto" else name)


def describe_device(device: torch.device) -> str:
    """The device in words, as stored in the results."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({counted(torch.get_num_threads(), 'thread')})" if device.type == "cpu" else device.type


def runs_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def make_exact(device: torch.device) -> None:
    """Make float32 exact and deterministic on GPUs (no TF32)."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True


def activation_budget(device: torch.device) -> int:
    """Bytes for the largest activation of a batch on a device, the same in every run."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // GPU_SHARE
    return ACTIVATION_BYTES


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any library means out of memory."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)


def keep_freed_memory() -> bool:
    """Keep freed memory from now on, for a process that only evaluates; no effect without glibc.

    Returns:
        Whether the setting changed: not if the user's environment configures malloc.
    """
    set_by_user = any(name.startswith("MALLOC_") for name in os.environ)
    set_by_user |= "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", "")
    libc = None if set_by_user else _glibc()
    return libc is not None and all([libc.mallopt(*option) for option in KEPT])


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Keep freed memory in this context, and release it at the end, for programs with other work."""
    kept = keep_freed_memory()
    try:
        yield
    finally:
        if kept:
            libc = _glibc()
            for option in USUAL:
                libc.mallopt(*option)
            libc.malloc_trim(0)


def _glibc() -> Any:
    """The C library of this process if it has glibc's functions, unlike musl, macOS and Windows; otherwise None."""
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
