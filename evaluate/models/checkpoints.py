"""Checkpoint files: reading them safely, finding their tensors, and loading these into the network of the study."""

from functools import reduce
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from failmodes.evaluate.models.registry import accepts_class_count, build_module, resolve_architecture
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import ModelError, first_line
from failmodes.warehouse.storage.files import atomic_write

Tensors = dict[str, torch.Tensor]
MAX_CONTAINERS = 5  # nested in one another
CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "params")
EMA_CONTAINERS = ("ema", "state_dict_ema", "model_ema")  # averaged weights: taken where there are no others
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")
OPTIONAL_BUFFER = "num_batches_tracked"  # counts batches of training; evaluation does not read it


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors by name, and the file's metadata (safetensors only), running nothing that the file may hold.

    Args:
        path: `.safetensors`, or a `.pt`/`.pth` that holds nothing but tensors, in its usual containers.

    Raises:
        ModelError: no such file, no checkpoint, or one that holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ModelError(f"no checkpoint at {path}") from error
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise ModelError(f"{path.name} is not a readable checkpoint: {first_line(error)}") from error
    except Exception as error:  # torch raises pickle's own errors for anything that is not tensors
        raise ModelError(
            f"{path.name} holds more than tensors, which could run code when loaded: save the state_dict alone, "
            "best as .safetensors"
        ) from error
    return _unpacked(content, path.name), {}


def save_checkpoint(path: Path, module: nn.Module, metadata: dict[str, str]) -> None:
    """Write a module's weights as safetensors with its metadata, atomically."""
    state = module.state_dict()
    # each a copy of its own: safetensors refuses tensors that share memory, as tied weights do
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format) for name, tensor in state.items()
    }
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def build_with_tensors(
    spec: ModelSpec, tensors: Tensors, output_count: int, file: str
) -> tuple[nn.Module, int | None, str]:
    """Build the network that the study names and load tensors into it.

    Args:
        spec: the model as the study describes it.
        tensors: as they were read.
        output_count: how many outputs are expected; where the tensors' head has another number, that is built.
        file: what they were read from, for errors.

    Returns:
        The network, how many outputs it has (None where only a forward pass tells), and the prefix that was stripped
        from the tensors' names ("" for none).

    Raises:
        ModelError: naming the first tensor that has another shape, is missing or is foreign.
    """
    module = build_module(spec, output_count)
    tensors, prefix = strip_prefix(tensors, module)
    found = _head_size(tensors, module, output_count) if accepts_class_count(spec) else None
    if found not in (None, output_count):
        module = build_module(spec, found)
    expected = module.state_dict()
    shapes = [(name, tensors[name].shape, own.shape) for name, own in expected.items() if name in tensors]
    problems = [f"{name} is {tuple(shape)} instead of {tuple(own)}" for name, shape, own in shapes if shape != own]
    missing = (name for name in expected if name not in tensors and not name.endswith(OPTIONAL_BUFFER))
    problems += [f"it lacks {name}" for name in missing]
    problems += [f"it has a foreign {name}" for name in tensors if name not in expected]
    if problems:
        raise ModelError(f"{file} does not fit {_described(spec)}: {problems[0]}")
    module.load_state_dict(tensors, strict=False)  # all that may be missing are counts of training batches
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
    if named == spec.architecture or (spec.import_path is not None and ":" not in named):
        return
    try:
        differs = resolve_architecture(named).canonical != resolve_architecture(spec.architecture).canonical
    except ModelError:
        differs = spec.is_ours
    if differs:
        raise ModelError(
            f"{file} holds a {named}, but the study calls {spec.label!r} a {spec.architecture}: "
            "set the architecture that the checkpoint was trained as"
        )


def _unpacked(content: Any, file: str) -> Tensors:
    """The state_dict itself, out of its usual containers."""
    for _ in range(MAX_CONTAINERS):  # one may hold itself
        if not isinstance(content, dict) or _is_state_dict(content):
            break
        inside = [key for key in CONTAINERS if isinstance(content.get(key), dict)]
        inside = inside or [key for key in EMA_CONTAINERS if isinstance(content.get(key), dict)]
        if not inside:
            break
        if len(inside) > 1:
            raise ModelError(f"{file} holds {' and '.join(inside)}: save the state_dict that is meant, alone")
        content = content[inside[0]]
    if not isinstance(content, dict) or not _is_state_dict(content):
        raise ModelError(f"{file} is not a state_dict (names and tensors): save `model.state_dict()`")
    return content


def _is_state_dict(content: dict[Any, Any]) -> bool:
    return bool(content) and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in content.items())


def _head_size(tensors: Tensors, module: nn.Module, output_count: int) -> int:
    """How many outputs the tensors' head has, compared with a module built with `output_count` of them.

    It is read off the tensors that differ from the module's in their first dimension alone, where the module's is
    `output_count`; `output_count` itself if none does, or if they disagree.
    """
    counts = {
        tensors[name].shape[0]
        for name, own in module.state_dict().items()
        if name in tensors
        and own.ndim == tensors[name].ndim > 0
        and own.shape[0] == output_count != tensors[name].shape[0]
        and own.shape[1:] == tensors[name].shape[1:]
    }
    return counts.pop() if len(counts) == 1 else output_count


def _described(spec: ModelSpec) -> str:
    if spec.is_ours:
        return f"{spec.architecture} of width {spec.width} with the CIFAR stem"
    stem = " with the CIFAR stem" if spec.stem is not None else ""
    options = f" with options {spec.options}" if spec.options else ""
    return f"{spec.architecture}{stem}{options}"


def _leading_parts(tensors: Tensors) -> list[str]:
    """Parts of a prefix, outermost first: those shared by all names, then usual ones that some names have."""
    names = [name.split(".")[:-1] for name in tensors]
    parts = [level[0] + "." for level in takewhile(lambda level: len(set(level)) == 1, zip(*names, strict=False))]
    prefix = "".join(parts)
    while usual := next((p for p in PREFIXES if any(name.startswith(prefix + p) for name in tensors)), None):
        prefix += usual
        parts.append(usual)
    return parts
