"""Devices: selection, precision, memory and batch sizes."""

import torch

from failmodes.warehouse.errors import StudyError

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")

# Maxima. Small batches stay in CPU caches: on two cores DenseNet-121 runs a third faster at 32 than at 128.
BATCH_SIZE = {"cpu": 32, "cuda": 512, "mps": 128}
# Bytes for the largest activation of a batch: 16 images of 224 px in EfficientNet-B0 or ResNet-50
ACTIVATION_BYTES = 80 << 20
GPU_SHARE = 32  # this activation may use 1/32 of a GPU's memory: 2.5 GB of 80


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
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type


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


def release_memory(device: torch.device) -> None:
    """Free cached memory, to make room for a smaller batch."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
