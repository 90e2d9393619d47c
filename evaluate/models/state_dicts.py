"""Files of weights: reading them safely, finding the tensors in their usual containers, stripping usual prefixes."""

from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from failmodes.evaluate.models.registry import first_line
from failmodes.warehouse.errors import ModelError

Tensors = dict[str, torch.Tensor]

MAX_CONTAINERS = 5  # one in another

CONTAINERS = ("state_dict", "model_state_dict", "model", "net", "params")

EMA_CONTAINERS = ("ema", "state_dict_ema", "model_ema")  # averaged weights: taken where there are no others

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.", "encoder.")

OPTIONAL_BUFFER = "num_batches_tracked"  # counts batches of training; evaluation does not read it


class UnprefixedTensors(NamedTuple):
    """Tensors under the module's own names, and the prefix that was stripped from them ("" for none)."""

    tensors: Tensors
    prefix: str


def read_tensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors by name, and the file's metadata (safetensors only), running nothing that the file may hold.

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


def strip_prefix(tensors: Tensors, module: nn.Module) -> UnprefixedTensors:
    """Strip the leading prefix, if any, without which the names are the module's own.

    A prefix is stripped only if the result fits; where none does, that with most names in common is given, so that
    the difference that is reported is the nearest one.
    """
    expected = set(module.state_dict())
    best, most = UnprefixedTensors(tensors, ""), len(expected & tensors.keys())
    parts = _leading_parts(tensors)
    for count in range(1, len(parts) + 1):
        renamed = {_without(name, parts[:count]): tensor for name, tensor in tensors.items()}
        common = len(expected & renamed.keys())
        if len(renamed) == len(tensors) and common > most:
            best, most = UnprefixedTensors(renamed, "".join(parts[:count])), common
    return best


def check_compatible(tensors: Tensors, module: nn.Module, file: str, wanted: str) -> None:
    """Refuse tensors that are not exactly the module's.

    Raises:
        ModelError: naming the first tensor that has another shape, is missing or is foreign.
    """
    expected = module.state_dict()
    missing = [n for n in expected if n not in tensors and not n.endswith(OPTIONAL_BUFFER)]
    foreign = [n for n in tensors if n not in expected]
    misshapen = [n for n in expected if n in tensors and expected[n].shape != tensors[n].shape]
    if misshapen:
        name = misshapen[0]
        problem = f"{name} is {tuple(tensors[name].shape)} instead of {tuple(expected[name].shape)}"
    elif missing or foreign:
        problem = f"it lacks {missing[0]}" if missing else f"it has a foreign {foreign[0]}"
    else:
        return
    raise ModelError(f"{file} does not fit {wanted}: {problem}")


def head_size(tensors: Tensors, module: nn.Module, class_count: int) -> int:
    """How many outputs the tensors' head has, seen from a module built with `class_count` of them.

    It is told by the tensors that differ from the module's in their first dimension alone, where the module's is
    `class_count`; `class_count` itself if none does, or if they disagree.
    """
    counts = {
        tensors[name].shape[0]
        for name, own in module.state_dict().items()
        if name in tensors
        and own.ndim == tensors[name].ndim > 0
        and own.shape[0] == class_count != tensors[name].shape[0]
        and own.shape[1:] == tensors[name].shape[1:]
    }
    return counts.pop() if len(counts) == 1 else class_count


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


def _leading_parts(tensors: Tensors) -> list[str]:
    """Parts of a prefix, outermost first: those that all names share, then usual ones that some names have."""
    names = [name.split(".")[:-1] for name in tensors]
    parts = [level[0] + "." for level in takewhile(lambda level: len(set(level)) == 1, zip(*names, strict=False))]
    prefix = "".join(parts)
    while usual := next((p for p in PREFIXES if any(name.startswith(prefix + p) for name in tensors)), None):
        prefix += usual
        parts.append(usual)
    return parts


def _without(name: str, parts: list[str]) -> str:
    for part in parts:
        name = name.removeprefix(part)
    return name
