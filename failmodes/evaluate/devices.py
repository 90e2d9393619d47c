"""Devices: which one runs the models, its precision, its memory, and how many images it takes at once."""

import torch

from failmodes.warehouse.errors import StudyError

OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")

# At most. Small batches stay in the CPU's caches: on two cores DenseNet-121 runs a third faster at 32 than at 128.
BATCH_SIZE = {"cpu": 32, "cuda": 512, "mps": 128}
# Bytes that the largest activation of a batch may take: 16 images of 224 px through EfficientNet-B0 or ResNet-50
ACTIVATION_BYTES = 80 << 20
GPU_SHARE = 32  # of a GPU's memory, its part for that activation: 2.5 GB of 80


def choose_device(name: str) -> torch.device:
    """The device of that name; 'auto' takes cuda, then mps, then cpu.

    Raises:
        StudyError: the requested device is not there.
    """
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    present = [kind for kind, is_present in available.items() if is_present]
    if name != "auto" and name not in present:
        raise StudyError(
            f"device {name!r} is not present here (present: {', '.join(present)}): choose one of these, or 'auto'"
        )
    return torch.device(present[0] if name == "auto" else name)


def describe_device(device: torch.device) -> str:
    """The device in words, as it stands in the record."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} ({torch.get_num_threads()} threads)" if device.type == "cpu" else device.type


def runs_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively, so that autocast pays."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def make_exact(device: torch.device) -> None:
    """Have float32 mean float32, and the same images give the same rows."""
    if device.type == "cuda":
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.deterministic = True


def activation_budget(device: torch.device) -> int:
    """Bytes that the largest activation of a batch may take on a device: the same in every run on it."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory) // GPU_SHARE
    return ACTIVATION_BYTES


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device has no memory left for this batch, in whichever library's wording."""
    return isinstance(error, torch.OutOfMemoryError) or any(sign in str(error) for sign in OUT_OF_MEMORY)


def release_memory(device: torch.device) -> None:
    """Give back what the allocator keeps, so that a smaller batch finds room."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
