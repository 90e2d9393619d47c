"""Which published architecture a network in memory is: the one whose fresh build is the same but for its weights."""

from collections.abc import Callable

import torch
from torch import nn
from torchvision import models as torchvision_models

from failmodes.evaluate.models.code_identity import code_hash
from failmodes.evaluate.models.registry import WARN_WITHOUT_INIT_WEIGHTS, import_timm
from failmodes.warehouse.errors import FailmodesError


def recognise_architecture(module: nn.Module, output_count: int) -> str | None:
    """`torchvision:NAME` or `timm:NAME` where that builds this very network; None for any other.

    Candidates are built without memory for weights (on torch's meta device), and must be equal in classes, attributes,
    hooks and the shapes of all tensors. A study that names the architecture and the weights is then the same network.

    Args:
        module: the network; its weights do not matter.
        output_count: how many outputs it has.
    """
    library = type(module).__module__.split(".")[0]
    wanted = _description(module)
    for name in {"torchvision": _of_torchvision, "timm": _of_timm}.get(library, lambda _: [])(module):
        try:
            candidate = _build(library, name, output_count)
        except Exception:  # noqa: S112  # whatever a builder raises at a number of outputs that it does not take
            continue
        if _description(candidate) == wanted:
            return f"{library}:{name}"
    return None


def _of_torchvision(module: nn.Module) -> list[str]:
    """Names whose builder lies beside the network's class."""
    names = torchvision_models.list_models(module=torchvision_models)
    home = type(module).__module__
    return [name for name in names if torchvision_models.get_model_builder(name).__module__ == home]


def _of_timm(module: nn.Module) -> list[str]:
    """The name that timm wrote into the network, with the tag of its weights and without."""
    published = getattr(module, "pretrained_cfg", None)
    architecture = getattr(published, "architecture", None) or (published or {}).get("architecture")
    return [architecture] if isinstance(architecture, str) else []


def _build(library: str, name: str, output_count: int) -> nn.Module:
    with torch.device("meta"):
        if library == "timm":
            create_model: Callable[..., nn.Module] = import_timm(name).create_model
            return create_model(name, num_classes=output_count)
        options = {"init_weights": True} if name in WARN_WITHOUT_INIT_WEIGHTS else {}
        build: Callable[..., nn.Module] = torchvision_models.get_model_builder(name)
        return build(weights=None, num_classes=output_count, **options)


def _description(module: nn.Module) -> tuple[str | None, list[tuple[str, tuple[int, ...]]]]:
    """Code without tensors, and the names and shapes of these; code is None where it cannot be read."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]
    try:
        return code_hash(module.eval(), subject="the network", tensors=False), shapes
    except FailmodesError:
        return None, shapes
