"""Which published architecture a model in memory is: the one whose fresh build is the same but for its weights."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torchvision import models as torchvision_models

from failmodes.evaluate.models.code_identity import code_hash
from failmodes.evaluate.models.registry import WARN_WITHOUT_INIT_WEIGHTS, import_timm
from failmodes.evaluate.models.source_code import foreign_functions
from failmodes.warehouse.errors import FailmodesError

Shapes = list[tuple[str, tuple[int, ...]]]  # of tensors, by name


def recognize_architecture(module: nn.Module, output_count: int) -> str | None:
    """`torchvision:NAME` or `timm:NAME` where that builds this very model; None for any other.

    Candidates are built without memory for weights (on torch's meta device), and must be equal in classes, attributes,
    hooks, the shapes of all tensors and the values of those that no state_dict holds. A study that names the
    architecture and the weights is then the same model.

    Args:
        module: the model; its weights do not matter.
        output_count: how many outputs it has.
    """
    library = type(module).__module__.split(".")[0]
    code, shapes = _code(module), _shapes(module)
    if code is None or any(foreign_functions(kind) for kind in {type(part) for part in module.modules()}):
        return None
    for name in {"torchvision": _of_torchvision, "timm": _of_timm}.get(library, lambda _: [])(module):
        if _is_built_as(library, name, output_count, code, shapes):
            return f"{library}:{name}"
    return None


def _is_built_as(library: str, name: str, output_count: int, code: str, shapes: Shapes) -> bool:
    """Whether a library builds under a name what has this code and tensors of these shapes."""
    for without_weights in (_WeightsOnMeta(), nullcontext()):
        try:
            with torch.random.fork_rng(devices=[]), without_weights:
                candidate = _build(library, name, output_count)
        except Exception:  # whatever a builder raises at this number of outputs, or without weights
            continue
        found = _code(candidate) if _shapes(candidate) == shapes else ""
        if found is not None:  # else some tensor that no state_dict holds got no memory either
            return found == code
    return False


class _WeightsOnMeta(TorchFunctionMode):
    """Tensors without a content of their own, as weights are before they are drawn, get no memory."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        return func(*args, **(given | {"device": "meta"} if func is torch.empty else given))


def _of_torchvision(module: nn.Module) -> list[str]:
    """Names whose builder lies beside the model's class."""
    names = torchvision_models.list_models(module=torchvision_models)
    home = type(module).__module__
    return [name for name in names if torchvision_models.get_model_builder(name).__module__ == home]


def _of_timm(module: nn.Module) -> list[str]:
    """The name that timm wrote into the model, with the tag of its weights and without."""
    published = getattr(module, "pretrained_cfg", None)
    architecture = published.get("architecture") if isinstance(published, dict) else None
    return [architecture] if isinstance(architecture, str) else []


def _build(library: str, name: str, output_count: int) -> nn.Module:
    if library == "timm":
        create_model: Callable[..., nn.Module] = import_timm(name).create_model
        return create_model(name, num_classes=output_count)
    options = {"init_weights": True} if name in WARN_WITHOUT_INIT_WEIGHTS else {}
    build: Callable[..., nn.Module] = torchvision_models.get_model_builder(name)
    return build(weights=None, num_classes=output_count, **options)


def _shapes(module: nn.Module) -> Shapes:
    return [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]


def _code(module: nn.Module) -> str | None:
    """Identity of all but the values of its tensors; None where it cannot be read."""
    try:
        return code_hash(module.eval(), subject="the model", apart=module.state_dict(keep_vars=True))
    except FailmodesError:
        return None
