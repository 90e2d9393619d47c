"""What an architecture's name means (ours, torchvision's, timm's or a user's function), and the model it builds.

Ours have the CIFAR stem: the first convolution is 3×3 with stride 1 and padding 1, and the max-pool is dropped, as the
field does for 32-pixel images. A `width` below the published 64 scales every layer; such a model is a variant.
"""

import functools
import importlib
import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import Any, Literal, NamedTuple, cast

from torch import nn
from torchvision import models as torchvision_models
from torchvision.models import DenseNet, ResNet
from torchvision.models.resnet import BasicBlock

from failmodes.evaluate.study.study_schema import ModelSpec
from failmodes.ingest.data_files import check_memory
from failmodes.warehouse.errors import (
    FailmodesError,
    MissingExtraError,
    ModelError,
    StudyError,
    did_you_mean,
    first_line,
)
from failmodes.warehouse.extras import require
from failmodes.warehouse.hashing import identity_of

INSTALL_TIMM = 'pip install "failmodes[timm]"'
EXPECTED = "expected a name of ours, torchvision's or timm's, or module:function of your own"
LIBRARIES = {"failmodes", "torch", "torchvision", "timm"}  # whose code is identified by its version, not by its text
WARN_WITHOUT_INIT_WEIGHTS = {"googlenet", "inception_v3"}  # unless init_weights is given

# Looked for in a name in this order; `vit` and `eva` are parts of other families' names, so they begin a word.
FAMILIES = (
    "mobilevit", "efficientvit", "maxvit", "coatnet", "convnext", "swin", "deit", "beit", "mixer", "efficientnet",
    "mobilenet", "mnasnet", "densenet", "resnext", "regnet", "resnest", "resnet", "shufflenet", "squeezenet",
    "googlenet", "inception", "vgg", "alexnet", r"\bvit", r"\beva",
)  # fmt: skip
PUBLISHED_WIDTH = 64
BYTES_TO_TRAIN = 12 * 11_200_000  # weights, gradients and momentum of ours at that width; they grow with its square
STEM = "cifar (3x3 stride 1, no max-pool)"
STEM_LAYERS = (("conv1", "maxpool"), ("features.conv0", "features.pool0"))  # of ResNets and of DenseNets


class ArchitectureRef(NamedTuple):
    """An architecture: who builds it, and its name there."""

    source: Literal["ours", "torchvision", "timm", "import"]
    name: str

    @property
    def canonical(self) -> str:
        """The same for every spelling: `resnet18` (ours), `torchvision:resnet50`, `timm:…`, `module:function`."""
        return self.name if self.source in ("ours", "import") else f"{self.source}:{self.name}"


def resolve_architecture(architecture: str) -> ArchitectureRef:
    """Find who builds an architecture; a bare name is looked for among ours, torchvision's and timm's, in that order.

    Raises:
        StudyError: nobody does (with the nearest names).
        MissingExtraError: timm is needed and not installed.
    """
    if architecture in ARCHITECTURES:
        return ArchitectureRef("ours", architecture)
    library, _, name = architecture.partition(":") if ":" in architecture else ("", "", architecture)
    if library not in ("", "torchvision", "timm"):
        return ArchitectureRef("import", architecture)
    known: list[str] = [] if library == "timm" else torchvision_models.list_models(module=torchvision_models)
    if name in known:
        return ArchitectureRef("torchvision", name)
    if library != "torchvision":
        try:
            timm = import_timm(architecture)
        except MissingExtraError as error:
            if library == "timm":
                raise
            raise StudyError(
                f"unknown architecture {name!r}: neither ours nor torchvision's "
                f"({did_you_mean(name, known, EXPECTED, most=3)}); timm's need {INSTALL_TIMM}"
            ) from error
        if name.startswith("hf-hub:") or timm.is_model(name):
            return ArchitectureRef("timm", name)
        known += timm.list_models()
    hint = did_you_mean(name, dict.fromkeys(known), EXPECTED, most=3)
    raise StudyError(f"unknown architecture {architecture!r}: {hint}")


def build_module(spec: ModelSpec, class_count: int) -> nn.Module:
    """Build a model with fresh weights (a user's function may bring its own).

    Args:
        spec: the model as the study describes it.
        class_count: how many outputs it should have; a user's function that takes no `num_classes` decides itself.

    Raises:
        StudyError: an unknown name, options that the builder does not take, or a stem that does not fit.
        ModelError: the builder raised.
        MissingExtraError: timm is needed and not installed.
    """
    architecture = resolve_architecture(spec.architecture)
    if architecture.source == "ours":
        check_memory(
            BYTES_TO_TRAIN * spec.width**2 // PUBLISHED_WIDTH**2, f"model {spec.label!r} of width {spec.width}"
        )
        return ARCHITECTURES[architecture.name](class_count, spec.width)
    try:
        module = _builder(spec, architecture, class_count)()
    except FailmodesError:
        raise
    except Exception as error:  # whatever a builder raises at options that are not its own
        options = f" with options {spec.options}" if spec.options else ""
        raise (StudyError if options else ModelError)(
            f"model {spec.label!r}: {spec.architecture} cannot be built{options}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise StudyError(
            f"architecture {spec.architecture!r} made a {type(module).__name__}: expected a torch nn.Module"
        )
    return replace_stem(module, spec.architecture) if spec.stem is not None else module


def accepts_class_count(spec: ModelSpec) -> bool:
    """Whether the builder takes the number of outputs; only a user's function may not.

    It does where `num_classes` is among its arguments, or where it accepts any keyword.
    """
    if spec.import_path is None:
        return True
    try:
        parameters = inspect.signature(_import_builder(spec.import_path)).parameters.values()
    except ValueError:
        return False
    return any(p.name == "num_classes" or p.kind is p.VAR_KEYWORD for p in parameters)


def import_timm(architecture: str) -> ModuleType:
    """Timm, which is optional.

    Raises:
        MissingExtraError: it is not installed.
    """
    require("timm", f"architecture {architecture!r}", ["timm"])
    return importlib.import_module("timm")


def source_hash(spec: ModelSpec, module: nn.Module | None = None) -> str | None:
    """Hash of the source text that a user's model comes from; None for all others.

    It covers the file of its builder and, where the model is given, those of its modules' classes, except torch's,
    torchvision's and timm's. What else these files import is not covered.
    """
    if spec.import_path is None:
        return None
    builder = _import_builder(spec.import_path)
    while isinstance(builder, functools.partial):
        builder = builder.func
    texts = {_source_of(builder)}
    for part in () if module is None else module.modules():
        if type(part).__module__.split(".")[0] not in LIBRARIES:
            texts.add(_source_of(type(part)))
    return identity_of({"source": sorted(texts)} if len(texts) > 1 else {"source": texts.pop()})


def family_of(architecture: ArchitectureRef, module: nn.Module) -> str:
    """Family of an architecture, from its name; the class's name in lower case where the name contains none."""
    words = re.split(r"[:/]", architecture.name)[-1].lower().replace("_", " ").replace(".", " ")
    family = next((family for family in FAMILIES if re.search(family, words)), type(module).__name__.lower())
    return family.removeprefix(r"\b")


def _builder(spec: ModelSpec, architecture: ArchitectureRef, class_count: int) -> Callable[[], object]:
    """The builder of a model that is not ours, with the study's options and the number of outputs."""
    outputs = {"num_classes": class_count} if accepts_class_count(spec) else {}
    arguments: dict[str, Any] = outputs | spec.options
    if architecture.source == "torchvision":
        if architecture.name in WARN_WITHOUT_INIT_WEIGHTS:
            arguments["init_weights"] = True
        return functools.partial(torchvision_models.get_model, architecture.name, weights=None, **arguments)
    if architecture.source == "timm":
        create_model = import_timm(architecture.canonical).create_model
        return functools.partial(create_model, architecture.name, **arguments)
    return functools.partial(_import_builder(architecture.name), **arguments)


def _import_builder(path: str) -> Callable[..., object]:
    """The function or class that `module:function` names; the study's folder is searched too.

    Raises:
        StudyError: it cannot be imported, or makes no model.
    """
    module_name, _, attribute = path.partition(":")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a user's module raises as it is imported
        raise StudyError(
            f"architecture {path!r} cannot be imported ({type(error).__name__}: {first_line(error)}): expected "
            "module:function, the module beside the study file or installed"
        ) from error
    if isinstance(found, nn.Module) or not callable(found):
        raise StudyError(
            f"architecture {path!r} is a {type(found).__name__}: expected a function or class that makes a model"
        )
    return cast(Callable[..., object], found)


def _source_of(thing: Any) -> str:
    try:
        return inspect.getsource(inspect.getmodule(thing) or thing)
    except (OSError, TypeError):
        return repr(thing)  # typed at a prompt: no source to read


def densenet121(classes: int, width: int = PUBLISHED_WIDTH) -> DenseNet:
    """DenseNet-121 (Huang et al. 2017) with the CIFAR stem; growth rate is half the width."""
    model = DenseNet(growth_rate=width // 2, block_config=(6, 12, 24, 16), num_init_features=width, num_classes=classes)
    model.features.conv0 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    model.features.pool0 = nn.Identity()
    return model


def resnet18(classes: int, width: int = PUBLISHED_WIDTH) -> ResNet:
    """ResNet-18 (He et al. 2016) with the CIFAR stem; stages of width, 2, 4 and 8 × width channels."""
    model = ResNet(BasicBlock, [2, 2, 2, 2], num_classes=classes)
    if width != PUBLISHED_WIDTH:  # torchvision fixes the stage widths, so the narrow stages are built again
        model.inplanes = width
        model.bn1 = nn.BatchNorm2d(width)
        for stage, stride in enumerate((1, 2, 2, 2)):
            layer = model._make_layer(BasicBlock, width * 2**stage, 2, stride=stride)
            setattr(model, f"layer{stage + 1}", layer)
        model.fc = nn.Linear(width * 8, classes)
    model.conv1 = nn.Conv2d(3, width, kernel_size=3, stride=1, padding=1, bias=False)
    model.set_submodule("maxpool", nn.Identity())
    return model


ARCHITECTURES: dict[str, Callable[[int, int], nn.Module]] = {"resnet18": resnet18, "densenet121": densenet121}


def replace_stem(module: nn.Module, architecture: str) -> nn.Module:
    """Replace the stem of a ResNet or DenseNet by the CIFAR stem, in place.

    Raises:
        StudyError: the model does not begin with one 7×7 convolution and a max-pool in the usual places.
    """
    for convolution, pool in STEM_LAYERS:
        try:
            first, second = module.get_submodule(convolution), module.get_submodule(pool)
        except AttributeError:
            continue
        if isinstance(first, nn.Conv2d) and first.kernel_size == (7, 7) and isinstance(second, nn.MaxPool2d):
            smaller = nn.Conv2d(
                first.in_channels, first.out_channels, kernel_size=3, stride=1, padding=1, bias=first.bias is not None
            )
            module.set_submodule(convolution, smaller)
            module.set_submodule(pool, nn.Identity())
            return module
    raise StudyError(
        f'stem = "cifar" does not fit {architecture}: expected a ResNet or DenseNet that begins with one 7×7 '
        "convolution and a max-pool; leave `stem` out"
    )
