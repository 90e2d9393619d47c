"""Checkpoints: reading files of weights that anyone may have made, and loading their tensors into a study's model.

Nothing in a file is run, and nothing is unpacked: `torch.load(weights_only=True)` runs no code, but it unpacks whatever
an archive holds, and 50 kB may hold 50 GB. What torch.save writes is never compressed: a compressed archive is refused
by its directory, and the tensors of one that is let in are mapped from the file.
"""

import warnings
import zipfile
from functools import reduce
from itertools import islice, takewhile
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
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError, did_you_mean, first_line, shown
from failmodes.warehouse.storage.files import atomic_write_bytes, check_regular

Tensors = dict[str, torch.Tensor]
MAX_CONTAINERS = 5  # nested in one another
SHOWN_KEYS = 5  # of a file, in an error
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "params")
EMA_CONTAINERS = ("ema", "state_dict_ema", "model_ema")  # averaged weights: taken where there are no others
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")
MAX_PREFIX_PARTS = 20  # names nest less deeply; those of a malicious file could be a million parts long
MAX_OUTPUTS = 100_000  # that a head is built with because a file has so many: ImageNet-21k has 21,843
PHOTOGRAPH_KERNEL_PX = 7  # of the first convolution of torchvision's ResNets and DenseNets; ours has 3
OPTIONAL_BUFFER = "num_batches_tracked"  # counts batches of training; evaluation does not read it


class Checkpoint(NamedTuple):
    """What a file of weights holds.

    Attributes:
        tensors: by name.
        metadata: the file's (safetensors only).
        container: which of its weights these are, in words; "" where it holds no others.
    """

    tensors: Tensors
    metadata: dict[str, str]
    container: str = ""


def read_checkpoint(path: Path, key: str | None = None) -> Checkpoint:
    """Read a file of weights, running nothing that the file may hold.

    Args:
        path: `.safetensors`, or a `.pt`/`.pth` that holds nothing but tensors, in its usual containers.
        key: the container to take, any that the file has; the usual one if not given.

    Raises:
        StudyError: no such file.
        ModelError: no checkpoint, one that holds more than tensors, or one without such a key.
        StorageError: it is no regular file, or may not be read.
    """
    if path.suffix != ".safetensors":
        return _unpacked(read_pickled(path), path.name, key)
    tensors, metadata = read_safetensors(path)
    if key is not None:
        raise ModelError(f"{path.name} holds tensors alone, and no {shown(key)}: leave `checkpoint_key` out")
    return Checkpoint(tensors, metadata)


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors by name, and the metadata, of a `.safetensors` file.

    Raises:
        StudyError: no such file.
        ModelError: no safetensors: its header must say of each byte whose it is.
        StorageError: it is no regular file, or may not be read.
    """
    _check_there(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except MemoryError:
        raise
    except Exception as error:  # safetensors has errors of its own, and torch others for types that it lacks
        raise _unreadable(path, first_line(error)) from error


def read_pickled(path: Path, device: torch.device | str = "cpu") -> Any:
    """Content of a file that torch.save wrote: tensors, numbers and texts in containers.

    Raises:
        StudyError: no such file.
        ModelError: a compressed archive, or one that holds more than that.
        StorageError: it is no regular file, or may not be read.
    """
    size = _check_there(path)
    if path.suffix == ".onnx":
        raise ModelError(
            f"{path.name} is an ONNX graph, not weights: run it with ONNX Runtime, and bring its predictions in with "
            "`failmodes import`"
        )
    is_archive = zipfile.is_zipfile(path)  # else what torch.save wrote before version 1.6, a bare pickle
    if is_archive:
        _check_archive(path, size)
    try:
        with warnings.catch_warnings():  # of what is then refused in one line
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location=device, weights_only=True, mmap=is_archive)
    except MemoryError:
        raise
    except Exception as error:  # torch's advice is to run the code, so its message is left out
        raise _unreadable(
            path,
            "it is damaged, or holds more than tensors, which could run code when loaded; save the state_dict alone, "
            "best as .safetensors",
        ) from error


def _check_there(path: Path) -> int:
    try:
        return check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"no checkpoint at {path}") from error


def _check_archive(path: Path, size: int) -> None:
    """Refuse a program, and an archive that holds more than its own size: by its directory, unpacking nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except Exception as error:  # besides BadZipFile whatever a damaged directory makes zipfile raise
        raise _unreadable(path, first_line(error)) from error
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise ModelError(
            f"{path.name} is a TorchScript program, not weights: write a function that returns torch.jit.load(…) of it,"
            ' and name that as `architecture = "module:function"`, without `checkpoint`'
        )
    compressed = next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
    unpacked = sum(entry.file_size for entry in entries)
    if compressed is not None or unpacked > size:
        sizes = f"{size / 1e6:,.1f} MB that would unpack to {unpacked / 1e6:,.1f} MB"
        hint = "save the state_dict with torch.save, which compresses nothing, or as .safetensors"
        raise _unreadable(path, f"it is a compressed archive of {sizes}: {hint}")


def _unreadable(path: Path, why: str) -> ModelError:
    return ModelError(f"{path.name} is not a readable checkpoint: {why}")


def save_checkpoint(path: Path, module: nn.Module, metadata: dict[str, str]) -> None:
    """Write a module's weights as safetensors with its metadata, atomically."""
    state = module.state_dict()
    # each a copy of its own: safetensors refuses tensors that share memory, as tied weights do
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    # as bytes, for a full disk is none that `save_file` has a word for
    atomic_write_bytes(path, save(tensors, metadata))


def build_with_tensors(
    spec: ModelSpec, tensors: Tensors, output_count: int, file: str
) -> tuple[nn.Module, int | None, str]:
    """Build the model that the study names and load tensors into it.

    Args:
        spec: the model as the study describes it.
        tensors: as they were read.
        output_count: how many outputs are expected; where the tensors' head has another number, that is built.
        file: what they were read from, for errors.

    Returns:
        The model, how many outputs it has (None where only a forward pass tells), and the prefix that was stripped
        from the tensors' names ("" for none).

    Raises:
        ModelError: naming the first tensor that has another shape, holds whole numbers where the model has fractions,
            is missing or is foreign.
    """
    module = build_module(spec, output_count)
    tensors, prefix = strip_prefix(tensors, module)
    found = _head_size(tensors, module, output_count) if _takes_class_count(spec) else None
    if found not in (None, output_count):
        module = build_module(spec, found)
    expected = module.state_dict()
    own = [(name, tensors[name], tensor) for name, tensor in expected.items() if name in tensors]
    problems = [f"{name} {why}" for name, given, tensor in own if (why := _misfit(given, tensor))]
    missing = (name for name in expected if name not in tensors and not name.endswith(OPTIONAL_BUFFER))
    problems += [f"it lacks {name}" for name in missing]
    problems += [f"it has a foreign {name}" for name in tensors if name not in expected]
    if problems:
        raise ModelError(f"{file} does not fit {_described(spec)}: {problems[0]}{_other_stem(spec, tensors)}")
    try:
        module.load_state_dict(tensors, strict=False)  # all that may be missing are counts of training batches
    except MemoryError:
        raise
    except Exception as error:  # such as of a user's own module, or of a type of number that torch cannot copy
        raise ModelError(f"{file} cannot be loaded into {_described(spec)}: {first_line(error)}") from error
    return module, found, prefix


def strip_prefix(tensors: Tensors, module: nn.Module) -> tuple[Tensors, str]:
    """Strip the leading prefix, if any, without which the names are the module's own.

    A prefix is stripped only if the result fits; where none does, the one that leaves most names in common is, so that
    the difference that is reported is the nearest one.

    Returns:
        Tensors under the module's own names, and the prefix that was stripped from them ("" for none).
    """
    expected = set(module.state_dict())
    best, prefix, most = tensors, "", len(expected & tensors.keys())
    parts = _leading_parts(tensors)
    for count in range(1, len(parts) + 1):
        renamed = {reduce(str.removeprefix, parts[:count], name): tensor for name, tensor in tensors.items()}
        common = len(expected & renamed.keys())
        if len(renamed) == len(tensors) and common > most:
            best, prefix, most = renamed, "".join(parts[:count]), common
    return best, prefix


def check_architecture(spec: ModelSpec, metadata: dict[str, str], file: str) -> None:
    """Refuse a file whose metadata name another architecture; an unknown name is ignored.

    Raises:
        ModelError: it holds another architecture than the study names.
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
            f"{file} holds a {named[:100]}, but the study calls {spec.label!r} a {spec.architecture}: "
            "set the architecture that the checkpoint was trained as"
        )


def check_seed(spec: ModelSpec, metadata: dict[str, str], file: str) -> None:
    """Refuse a checkpoint that states another training seed than the study.

    Raises:
        ModelError: it does.
    """
    stated = stated_seed(metadata)
    if None not in (stated, spec.training_seed) and stated != spec.training_seed:
        raise ModelError(
            f"{file} states that it was trained with seed {stated}, but the study gives model {spec.label!r} "
            f"training_seed = {spec.training_seed}: correct it, or leave it out"
        )


def _unpacked(content: Any, file: str, key: str | None) -> Checkpoint:
    """The state_dict itself, out of the container that is asked for, or of its usual ones."""
    top, wanted = content, key
    taken: list[str] = []
    others: list[str] = []
    for _ in range(MAX_CONTAINERS):  # one may hold itself
        containers = _containers(content)
        usual = [name for name in CONTAINERS if name in containers]
        averaged = [name for name in EMA_CONTAINERS if name in containers]
        inside = [wanted] if wanted in containers else usual or averaged
        if not inside:
            break
        if len(inside) > 1:
            raise ModelError(
                f"{file} holds {' and '.join(inside)}: save the state_dict that is meant, alone, or say which with "
                f'`checkpoint_key = "{inside[0]}"`'
            )
        others += [name for name in usual + averaged if name not in inside and _holds_tensors(content[name])]
        wanted = None if inside == [wanted] else wanted
        taken += inside
        content = content[inside[0]]
    if wanted is not None:
        raise ModelError(f"{file} holds no weights under {shown(wanted)}: {_other_keys(top, wanted)}")
    if not isinstance(content, dict) or not _is_state_dict(content):
        raise ModelError(f"{file} is not a state_dict (names and tensors): save `model.state_dict()`")
    beside = f"; it also holds {' and '.join(others)}" if others else ""
    return Checkpoint(content, {}, ".".join(taken) + beside if others or key is not None else "")


def _other_keys(content: Any, key: str) -> str:
    """What to say instead of a `checkpoint_key` that a file does not have."""
    names = _containers(content)
    listed = f"expected one of {', '.join(map(shown, names[:SHOWN_KEYS]))}" if names else "leave `checkpoint_key` out"
    return did_you_mean(key, names, listed)


def _containers(content: Any) -> list[str]:
    """Keys of what may hold weights."""
    items = content.items() if isinstance(content, dict) else ()
    return [name for name, value in items if isinstance(name, str) and isinstance(value, dict)]


def _holds_tensors(value: Any) -> bool:
    """Whether something in a file looks like weights, in a container of its own or not."""
    return isinstance(value, dict) and any(isinstance(part, torch.Tensor | dict) for part in value.values())


def _is_state_dict(content: dict[Any, Any]) -> bool:
    tensors = (isinstance(k, str) and isinstance(v, torch.Tensor) and not v.is_nested for k, v in content.items())
    return bool(content) and all(tensors)


def _misfit(given: torch.Tensor, own: Any) -> str | None:
    """Why a tensor cannot take the place of the model's own; None where it can."""
    if not isinstance(own, torch.Tensor):
        return None  # extra state of a module, which loads it as it likes
    if given.shape != own.shape:
        return f"is {tuple(given.shape)} instead of {tuple(own.shape)}"
    if given.layout != own.layout or given.is_meta:
        return "is sparse, or has no values: save plain tensors"
    if own.is_floating_point() and not given.is_floating_point():
        names = [str(tensor.dtype).removeprefix("torch.") for tensor in (given, own)]
        return f"holds {names[0]} where the model has {names[1]}: save the weights in floating point"
    return None


def _takes_class_count(spec: ModelSpec) -> bool:
    """Whether a model can be built with so many outputs; only a user's function may not."""
    return spec.source != OWN_CODE or accepts_class_count(spec.architecture)


def _head_size(tensors: Tensors, module: nn.Module, output_count: int) -> int:
    """How many outputs the tensors' head has, compared with a module built with `output_count` of them.

    It is read off the tensors that differ from the module's in their first dimension alone, where the module's is
    `output_count`; `output_count` itself if none does, or if they disagree.
    """
    counts = {
        tensors[name].shape[0]
        for name, own in module.state_dict().items()
        if name in tensors
        and isinstance(own, torch.Tensor)
        and own.ndim == tensors[name].ndim > 0
        and own.shape[0] == output_count != tensors[name].shape[0]
        and own.shape[1:] == tensors[name].shape[1:]
    }
    found = counts.pop() if len(counts) == 1 else output_count
    return found if found <= MAX_OUTPUTS else output_count


def _described(spec: ModelSpec) -> str:
    if spec.source == BUILTIN:
        return f"{spec.architecture} of width {spec.width} with the CIFAR stem"
    stem = " with the CIFAR stem" if spec.stem is not None else ""
    options = f" with options {spec.options}" if spec.options else ""
    return f"{spec.architecture}{stem}{options}"


def _other_stem(spec: ModelSpec, tensors: Tensors) -> str:
    """Where ours was named and the weights are of a model for photographs: how to name that."""
    first = tensors.get("conv1.weight", tensors.get("features.conv0.weight"))
    is_for_photographs = first is not None and first.shape[-1] == PHOTOGRAPH_KERNEL_PX
    if not (spec.source == BUILTIN and is_for_photographs):
        return ""
    return f'; torchvision\'s own model is architecture = "torchvision:{spec.architecture}"'


def _leading_parts(tensors: Tensors) -> list[str]:
    """Parts of a prefix, outermost first: those shared by all names, then usual ones that some names have."""
    names = [name.split(".", MAX_PREFIX_PARTS)[:-1] for name in tensors]
    levels = islice(zip(*names, strict=False), MAX_PREFIX_PARTS)
    parts = [level[0] + "." for level in takewhile(lambda level: len(set(level)) == 1, levels)]
    prefix = "".join(parts)
    while len(parts) < MAX_PREFIX_PARTS:
        usual = next((p for p in PREFIXES if any(name.startswith(prefix + p) for name in tensors)), None)
        if usual is None:
            break
        prefix += usual
        parts.append(usual)
    return parts
