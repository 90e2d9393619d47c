"""Checkpoints: reading untrusted files of weights, and loading their tensors into a study's model.

No code in a file is run, and nothing is decompressed: `torch.load(weights_only=True)` runs no code, but decompresses
archives, and 50 kB may contain 50 GB. torch.save never compresses: a compressed archive is refused by its directory,
and tensors of other archives are memory-mapped.
"""

import warnings
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import nn

from failmodes.evaluate.models.model import stated_seed
from failmodes.evaluate.models.sources import build_module, resolve_architecture
from failmodes.evaluate.models.sources.own_code import accepts_class_count
from failmodes.evaluate.study.study_schema import BUILTIN, OWN_CODE, ModelSpec
from failmodes.runtime.errors import FailmodesError, ModelError, StudyError, did_you_mean, first_line, shown
from failmodes.runtime.storage.files import atomic_write_bytes, check_regular

Tensors = dict[str, torch.Tensor]
MAX_CONTAINERS = 5  # nesting depth
SHOWN_KEYS = 5  # keys listed in an error
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "params")
EMA_CONTAINERS = ("ema", "state_dict_ema", "model_ema")  # averaged weights: used if there are no others
MAX_PREFIXES = 20  # a malicious file could have a million
MAX_OUTPUTS = 100_000  # of a head that is built to match a file: ImageNet-21k has 21,843
PHOTOGRAPH_KERNEL_PX = 7  # of the first convolution of torchvision's ResNets and DenseNets; the CIFAR stem has 3
OPTIONAL_BUFFER = "num_batches_tracked"  # counts training batches; not used in evaluation


class Checkpoint(NamedTuple):
    """The content of a file of weights.

    Attributes:
        tensors: by name.
        metadata: metadata of the file (safetensors only).
        container: which of its weights these are, in words; "" if it has no others.
    """

    tensors: Tensors
    metadata: dict[str, str]
    container: str = ""


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read a file of weights without running any code in it.

    Args:
        path: `.safetensors`, or a `.pt`/`.pth` that contains only tensors, in the usual containers.
        key: the container to use. Default: the usual one.

    Raises:
        StudyError: the file is missing.
        ModelError: the file is not a checkpoint, contains more than tensors, or lacks the key.
        StorageError: it is not a regular file or cannot be read.
    """
    if path.suffix != ".safetensors":
        return _unpacked(read_pickled(path), path.name, key)
    tensors, metadata = read_safetensors(path)
    if key is not None:
        raise ModelError(f"{path.name} contains only tensors and no {shown(key)}: remove `checkpoint_key`")
    return Checkpoint(tensors, metadata)


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors by name, and the metadata, of a `.safetensors` file.

    Raises:
        StudyError: the file is missing.
        ModelError: the file is not valid safetensors.
        StorageError: it is not a regular file or cannot be read.
    """
    _check_there(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except MemoryError:
        raise
    except Exception as error:  # errors of safetensors, and of torch for unsupported types
        raise _unreadable(path, first_line(error)) from error


def read_pickled(path: Path, device: torch.device | str = "cpu") -> Any:
    """Content of a file written by torch.save: tensors, numbers and strings in containers.

    Raises:
        StudyError: the file is missing.
        ModelError: it is a compressed archive or has other content.
        StorageError: it is not a regular file or cannot be read.
    """
    size = _check_there(path)
    if path.suffix == ".onnx":
        raise ModelError(
            f'{path.name} is an ONNX graph, not weights: set architecture = "onnx:{path.name}" without `checkpoint`'
        )
    is_archive = zipfile.is_zipfile(path)  # otherwise a plain pickle, as written by torch.save before version 1.6
    if is_archive:
        _check_archive(path, size)
    try:
        with warnings.catch_warnings():  # about files that are refused below
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location=device, weights_only=True, mmap=is_archive)
    except MemoryError:
        raise
    except Exception as error:  # torch's message suggests running the code, so it is omitted
        raise _unreadable(
            path,
            "it is damaged, or contains more than tensors, which could run code when loaded; save only the state_dict, "
            "preferably as .safetensors",
        ) from error


def _check_there(path: Path) -> int:
    try:
        return check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"no checkpoint at {path}: set `checkpoint` to its file") from error


def _check_archive(path: Path, size: int) -> None:
    """Refuse a TorchScript program and a compressed archive, without decompressing anything."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # zipfile raises several errors for a damaged directory
        raise _unreadable(path, first_line(error)) from error
    if any(entry.filename.endswith("/archive_format") for entry in entries):
        raise ModelError(
            f"{path.name} is an exported program, not weights: if you trust its author, set architecture = "
            f'"export:{path.name}" without `checkpoint`'
        )
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise ModelError(
            f"{path.name} is a TorchScript program, not weights: write a function that returns torch.jit.load(…) of it"
            ' and set `architecture = "module:function"` without `checkpoint`'
        )
    compressed = next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
    unpacked = sum(entry.file_size for entry in entries)
    if compressed is not None or unpacked > size:
        sizes = f"{size / 1e6:,.1f} MB that would decompress to {unpacked / 1e6:,.1f} MB"
        hint = "save the state_dict with torch.save, which does not compress, or as .safetensors"
        raise _unreadable(path, f"it is a compressed archive of {sizes}: {hint}")


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path.name} is not a readable checkpoint: {why}")


def save_checkpoint(path: Path, module: nn.Module, metadata: dict[str, str]) -> None:
    """Write a module's weights and metadata as safetensors, atomically."""
    state = module.state_dict()
    # copies, since safetensors refuses tensors that share memory, such as tied weights
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    # as bytes, since `save_file` does not report a full disk clearly
    atomic_write_bytes(path, save(tensors, metadata))


def build_with_tensors(
    spec: ModelSpec, tensors: Tensors, output_count: int, file: str
) -> tuple[nn.Module, int | None, str]:
    """Build the model of a study and load tensors into it.

    Args:
        spec: the model as the study describes it.
        tensors: the tensors of a file.
        output_count: expected number of outputs; the head is built with that of the tensors if it differs.
        file: the file, for errors.

    Returns:
        The model, its number of outputs (None if unknown before a forward pass), and the prefix that was stripped from
        the names of the tensors ("" for none).

    Raises:
        ModelError: names the first tensor that has the wrong shape or dtype, is missing or is unexpected.
    """
    module = build_module(spec, output_count)
    tensors, prefix = strip_prefix(tensors, module)
    takes_class_count = spec.source != OWN_CODE or accepts_class_count(spec.architecture)
    head_size = _head_size(tensors, module, output_count) if takes_class_count else None
    if head_size not in (None, output_count):
        module = build_module(spec, head_size)
    expected = module.state_dict()
    shared = [name for name in expected if name in tensors]
    problems = [f"{name} {why}" for name in shared if (why := _misfit(tensors[name], expected[name]))]
    missing = (name for name in expected if name not in tensors and not name.endswith(OPTIONAL_BUFFER))
    problems += [f"tensor {name} is missing" for name in missing]
    problems += [f"unexpected tensor {name}" for name in tensors if name not in expected]
    if problems:
        raise ModelError(f"{file} does not match {_described(spec)}: {problems[0]}; {_fitting(spec, tensors)}")
    try:
        module.load_state_dict(tensors, strict=False)  # only counts of training batches may be missing
    except MemoryError:
        raise
    except Exception as error:  # errors of a user's module, or of a dtype that torch cannot copy
        raise ModelError(f"{file} cannot be loaded into {_described(spec)}: {first_line(error)}") from error
    return module, head_size, prefix


def strip_prefix(tensors: Tensors, module: nn.Module) -> tuple[Tensors, str]:
    """Strip the leading prefix, if any, that some names have in addition to those of the module.

    A prefix is what precedes the name of the module's first tensor. The one that leaves the most names in common is
    stripped.

    Returns:
        Tensors under the module's names, and the prefix that was stripped ("" for none).
    """
    expected = module.state_dict().keys()
    first = next(iter(expected), "")
    prefixes = (name.removesuffix(first) for name in tensors if name.endswith(f".{first}"))
    best, stripped = tensors, ""
    for prefix in islice(prefixes, MAX_PREFIXES):
        renamed = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        if len(renamed) == len(tensors) and len(expected & renamed.keys()) > len(expected & best.keys()):
            best, stripped = renamed, prefix
    return best, stripped


def check_architecture(spec: ModelSpec, metadata: dict[str, str], file: str) -> None:
    """Refuse a file whose metadata state another architecture; unknown names are ignored.

    Raises:
        ModelError: the architecture differs from that of the study.
    """
    named = metadata.get("architecture", spec.architecture)
    if named == spec.architecture or (spec.source == OWN_CODE and ":" not in named):
        return
    try:
        differs = resolve_architecture(named).canonical != resolve_architecture(spec.architecture).canonical
    except FailmodesError:
        differs = spec.source == BUILTIN
    if differs:
        raise ModelError(
            f"{file} is a {named[:100]}, but the study defines {spec.label!r} as {spec.architecture}: "
            "set the architecture of the checkpoint"
        )


def check_seed(spec: ModelSpec, metadata: dict[str, str], file: str) -> None:
    """Refuse a checkpoint that states another training seed than the study.

    Raises:
        ModelError: the seeds differ.
    """
    stated = stated_seed(metadata)
    if None not in (stated, spec.training_seed) and stated != spec.training_seed:
        raise ModelError(
            f"{file} states training seed {stated}, but the study sets training_seed = {spec.training_seed} for model "
            f"{spec.label!r}: correct or remove it"
        )


def _unpacked(content: Any, file: str, key: str | None) -> Checkpoint:
    """The state_dict in the requested container, or in the usual ones."""
    top = content
    wanted = key
    taken: list[str] = []
    others: list[str] = []
    for _ in range(MAX_CONTAINERS):  # a container may contain itself
        containers = _containers(content)
        usual = [name for name in CONTAINERS if name in containers]
        averaged = [name for name in EMA_CONTAINERS if name in containers]
        inside = [wanted] if wanted in containers else usual or averaged
        if not inside:
            break
        if len(inside) > 1:
            raise ModelError(
                f"{file} contains {' and '.join(inside)}: save only the state_dict to load, or choose one with "
                f'`checkpoint_key = "{inside[0]}"`'
            )
        others += [name for name in usual + averaged if name not in inside and _holds_tensors(content[name])]
        wanted = None if inside == [wanted] else wanted
        taken += inside
        content = content[inside[0]]
    if wanted is not None:
        raise ModelError(f"{file} has no weights under {shown(wanted)}: {_other_keys(top, wanted)}")
    if not isinstance(content, dict) or not _is_state_dict(content):
        raise ModelError(f"{file} is not a state_dict (names and tensors): save `model.state_dict()`")
    beside = f"; also in the file: {' and '.join(others)}" if others else ""
    return Checkpoint(content, {}, ".".join(taken) + beside if others or key is not None else "")


def _other_keys(content: Any, key: str) -> str:
    """A hint for a `checkpoint_key` that a file does not have."""
    names = _containers(content)
    listed = f"expected one of {', '.join(map(shown, names[:SHOWN_KEYS]))}" if names else "remove `checkpoint_key`"
    return did_you_mean(key, names, listed)


def _containers(content: Any) -> list[str]:
    """Keys that may hold weights."""
    items = content.items() if isinstance(content, dict) else ()
    return [name for name, value in items if isinstance(name, str) and isinstance(value, dict)]


def _holds_tensors(value: Any) -> bool:
    """Whether a value looks like weights or a container of weights."""
    return isinstance(value, dict) and any(isinstance(part, torch.Tensor | dict) for part in value.values())


def _is_state_dict(content: dict[Any, Any]) -> bool:
    tensors = (isinstance(k, str) and isinstance(v, torch.Tensor) and not v.is_nested for k, v in content.items())
    return bool(content) and all(tensors)


def _misfit(tensor: torch.Tensor, expected: Any) -> str | None:
    """Why a tensor cannot replace that of the model; None if it can."""
    if not isinstance(expected, torch.Tensor):
        return None  # extra state, which the module loads itself
    if tensor.shape != expected.shape:
        return f"is {tuple(tensor.shape)} instead of {tuple(expected.shape)}"
    if tensor.layout != expected.layout or tensor.is_meta:
        return "is sparse or has no values: save dense tensors"
    if expected.is_floating_point() and not tensor.is_floating_point():
        dtype, expected_dtype = (str(values.dtype).removeprefix("torch.") for values in (tensor, expected))
        return f"has dtype {dtype} instead of {expected_dtype}: save the weights in floating point"
    return None


def _head_size(tensors: Tensors, module: nn.Module, output_count: int) -> int:
    """Number of outputs of the tensors' head, compared with a module built with `output_count`.

    It is the first dimension of tensors that differ from the module's only there, where the module has `output_count`;
    `output_count` if there are none or they disagree.
    """
    counts = {
        tensors[name].shape[0]
        for name, expected in module.state_dict().items()
        if name in tensors
        and isinstance(expected, torch.Tensor)
        and expected.ndim == tensors[name].ndim > 0
        and expected.shape[0] == output_count != tensors[name].shape[0]
        and expected.shape[1:] == tensors[name].shape[1:]
    }
    count = counts.pop() if len(counts) == 1 else output_count
    return count if count <= MAX_OUTPUTS else output_count


def _described(spec: ModelSpec) -> str:
    if spec.source == BUILTIN:
        return f"{spec.architecture} of width {spec.width} with the CIFAR stem"
    stem = " with the CIFAR stem" if spec.stem is not None else ""
    options = f" with options {spec.options}" if spec.options else ""
    return f"{spec.architecture}{stem}{options}"


def _fitting(spec: ModelSpec, tensors: Tensors) -> str:
    """What to set: torchvision's model for photographs if a built-in model is named but the weights are of that one."""
    first = tensors.get("conv1.weight", tensors.get("features.conv0.weight"))
    is_for_photographs = first is not None and first.shape[-1] == PHOTOGRAPH_KERNEL_PX
    if not (spec.source == BUILTIN and is_for_photographs):
        keys = "`architecture` and `width`" if spec.source == BUILTIN else "`architecture`"
        return f"set {keys} of model {spec.label!r} to those that the checkpoint was saved from"
    return f'for torchvision\'s model set architecture = "torchvision:{spec.architecture}"'
