"""What an architecture's name means: ours, torchvision's, timm's, or a function of the user's own."""

import difflib
import functools
import importlib
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, NamedTuple

from torch import nn
from torchvision import models as torchvision_models

from failmodes.evaluate.models.architectures import ARCHITECTURES
from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.warehouse.errors import ModelError
from failmodes.warehouse.hashing import identity_of

INSTALL_TIMM = 'pip install "failmodes[timm]"'

LIBRARIES = {"torch", "torchvision", "timm"}  # whose code is told by its version, not by its text

# Looked for in a name in this order; `vit` and `eva` are parts of other families' names, so they begin a word.
FAMILIES = (
    "mobilevit", "efficientvit", "maxvit", "coatnet", "convnext", "swin", "deit", "beit", "mixer", "efficientnet",
    "mobilenet", "mnasnet", "densenet", "resnext", "regnet", "resnest", "resnet", "shufflenet", "squeezenet",
    "googlenet", "inception", "vgg", "alexnet", r"\bvit", r"\beva",
)  # fmt: skip


class ArchitectureRef(NamedTuple):
    """An architecture: who builds it, and its name there."""

    source: Literal["ours", "torchvision", "timm", "import"]
    name: str

    @property
    def canonical(self) -> str:
        """One for every way to write it: `resnet18` (ours), `torchvision:resnet50`, `timm:…`, `module:function`."""
        return self.name if self.source in ("ours", "import") else f"{self.source}:{self.name}"


def resolve_architecture(architecture: str) -> ArchitectureRef:
    """Find who builds an architecture; a bare name is looked for among ours, torchvision's and timm's, in that order.

    Raises:
        ModelError: nobody does (with the nearest names), or timm is needed and not installed.
    """
    start, colon, rest = architecture.partition(":")
    if architecture in ARCHITECTURES:
        return ArchitectureRef("ours", architecture)
    if not colon and architecture in _torchvision_names():
        return ArchitectureRef("torchvision", architecture)
    if not colon:
        return _bare_timm(architecture)
    if start == "torchvision":
        if rest not in _torchvision_names():
            raise ModelError(f"unknown architecture {architecture!r}: {_nearest(rest, _torchvision_names())}")
        return ArchitectureRef("torchvision", rest)
    if start == "timm":
        timm = import_timm(architecture)
        if not rest.startswith("hf-hub:") and not timm.is_model(rest):
            raise ModelError(f"unknown architecture {architecture!r}: {_nearest(rest, timm.list_models())}")
        return ArchitectureRef("timm", rest)
    return ArchitectureRef("import", architecture)


def import_timm(architecture: str) -> ModuleType:
    """Timm, which is optional.

    Raises:
        ModelError: it is not installed.
    """
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise ModelError(f"architecture {architecture!r} needs timm: {INSTALL_TIMM}") from error


def import_builder(path: str) -> Callable[..., Any]:
    """The function or class that `module:function` names; the study's folder is among the places looked in.

    Raises:
        ModelError: it cannot be imported, or makes no network.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a user's module raises as it is imported
        raise ModelError(
            f"architecture {path!r} cannot be imported ({type(error).__name__}: {first_line(error)}): expected "
            "module:function, the module beside the study file or installed"
        ) from error
    if isinstance(found, nn.Module) or not callable(found):
        raise ModelError(
            f"architecture {path!r} is a {type(found).__name__}: expected a function or class that makes a network"
        )
    return found


def source_hash(spec: ModelSpec, module: nn.Module | None = None) -> str | None:
    """Hash of the source text that a user's network comes from; None for all others.

    It is of the file of its builder and, where the network is at hand, of the files of the classes of its modules, but
    for those of torch, torchvision and timm. What else these files import is not looked at.
    """
    if spec.import_path is None:
        return None
    builder = import_builder(spec.import_path)
    while isinstance(builder, functools.partial):
        builder = builder.func
    texts = {_source_of(builder)}
    for part in () if module is None else module.modules():
        if type(part).__module__.split(".")[0] not in LIBRARIES:
            texts.add(_source_of(type(part)))
    return identity_of({"source": sorted(texts)} if len(texts) > 1 else {"source": texts.pop()})


def _source_of(thing: Any) -> str:
    try:
        return inspect.getsource(inspect.getmodule(thing) or thing)
    except (OSError, TypeError):
        return repr(thing)  # typed at a prompt: no source to read


def family_of(named: ArchitectureRef, module: nn.Module) -> str:
    """Family of an architecture, from its name; the class's name in lower case where that tells nothing."""
    if named.source == "ours":
        return ARCHITECTURES[named.name].family
    name = re.split(r"[:/]", named.name)[-1].lower()
    words = name.replace("_", " ").replace(".", " ")
    for family in FAMILIES:
        if re.search(family, words):
            return family.removeprefix(r"\b")
    return type(module).__name__.lower()


def first_line(error: BaseException) -> str:
    """The first line of what an error says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__


def _torchvision_names() -> list[str]:
    """Torchvision's classifiers of single images."""
    return torchvision_models.list_models(module=torchvision_models)


def _bare_timm(name: str) -> ArchitectureRef:
    known = list(dict.fromkeys([*ARCHITECTURES, *_torchvision_names()]))
    try:
        timm = import_timm(name)
    except ModelError as error:
        raise ModelError(
            f"unknown architecture {name!r}: neither ours nor torchvision's ({_nearest(name, known)}); timm's need "
            f"{INSTALL_TIMM}"
        ) from error
    if not timm.is_model(name):
        raise ModelError(
            f"unknown architecture {name!r}: {_nearest(name, list(dict.fromkeys([*known, *timm.list_models()])))}"
        )
    return ArchitectureRef("timm", name)


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return "expected a name of ours, torchvision's or timm's, or module:function of your own"
