"""Sources of models, one file each: `architecture = "NAME:…"` is loaded by the file `NAME.py` of this folder.

A source defines `load(spec, name, class_names) -> Model`, a model with its own weights; `class_names` are the names of
its outputs if the study states them, otherwise the classes of the dataset in order. To support checkpoints and
training, it also defines `build(spec, name, class_count) -> nn.Module`, a module with fresh weights and, if possible,
that many outputs; without `load`, a module keeps the weights of `build`. A source with a list of names defines
`knows(name)` and `names()`; a source of the user's code, `definition(name, module)`, a hash of it; one that downloads,
`to_download(spec, name)`, the command that downloads the model if it is not on this machine, without using the network.
`spec.beside_study(name)` is a path relative to the study file. A module without attention maps may give the reason as
its attribute `no_attention`.
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from torch import nn

from failmodes.evaluate.models.model import unwrapped
from failmodes.evaluate.study.study_schema import BUILTIN, EXPECTED_ARCHITECTURE, OWN_CODE, ModelSpec, named_source
from failmodes.runtime.errors import (
    FailmodesError,
    MissingExtraError,
    ModelError,
    StudyError,
    did_you_mean,
    first_line,
)
from failmodes.runtime.storage.files import check_regular

KEYS_WITHOUT_PROGRAM = ("weights", "options", "stem", "attention_layer")  # do not apply to a file with its program
BARE_NAMES = ("torchvision", "timm")  # sources of names without a prefix, in this order
STEM_LAYERS = (("conv1", "maxpool"), ("features.conv0", "features.pool0"))  # of ResNets and of DenseNets


class Architecture(NamedTuple):
    """An architecture: its source and its name there."""

    source: str
    name: str

    @property
    def canonical(self) -> str:
        """The canonical name: `resnet18` (built in), `torchvision:resnet50`, `timm:…`, `module:function`."""
        return self.name if self.source in (BUILTIN, OWN_CODE) else f"{self.source}:{self.name}"

    @property
    def module(self) -> ModuleType:
        """The module of the source."""
        return import_module(f"{__name__}.{self.source}")


def resolve_architecture(architecture: str) -> Architecture:
    """Find the source of an architecture; a bare name is looked up among built-in, torchvision and timm models.

    Raises:
        StudyError: the architecture is unknown (with the nearest names).
        MissingExtraError: timm is needed and not installed.
    """
    named = named_source(architecture)
    name = architecture.removeprefix(f"{named}:")
    if named in (BUILTIN, OWN_CODE):
        return Architecture(named, name)
    near: list[str] = []
    for source in BARE_NAMES if named is None else (named,):
        candidate = Architecture(source, name)
        if not hasattr(candidate.module, "knows"):
            return candidate
        try:
            if candidate.module.knows(name):
                return candidate
            near += candidate.module.names()
        except MissingExtraError as error:
            if named is not None:
                raise
            raise StudyError(
                f"unknown architecture {architecture!r}: neither built in nor in torchvision "
                f"({did_you_mean(architecture, near, EXPECTED_ARCHITECTURE, most=3)}); timm needs the extra: {error}"
            ) from error
    hint = did_you_mean(name, dict.fromkeys(near), EXPECTED_ARCHITECTURE, most=3)
    raise StudyError(f"unknown architecture {architecture!r}: {hint}")


def to_download(spec: ModelSpec) -> str | None:
    """The command that downloads a model with its own weights; None if it is on this machine. Uses no network.

    Raises:
        StudyError: the architecture is unknown.
        MissingExtraError: a package that the source needs is not installed.
    """
    architecture = resolve_architecture(spec.architecture)
    command: str | None = (
        architecture.module.to_download(spec, architecture.name)
        if hasattr(architecture.module, "to_download")
        else None
    )
    return command


def build_module(spec: ModelSpec, class_count: int) -> nn.Module:
    """Build a model with fresh weights.

    Args:
        spec: the model as the study describes it.
        class_count: number of outputs, unless a user's function takes no `num_classes`.

    Raises:
        StudyError: the name is unknown, the source includes its weights, or options or stem do not match the model.
        ModelError: the builder raised.
        MissingExtraError: timm is needed and not installed.
    """
    source, name = architecture = resolve_architecture(spec.architecture)
    if not hasattr(architecture.module, "build"):
        raise StudyError(
            f"model {spec.label!r}: models of {source} include their weights: remove `checkpoint` and `training`"
        )
    try:
        module = architecture.module.build(spec, name, class_count)
    except FailmodesError:
        raise
    except Exception as error:  # any error of a builder
        options = f" with options {spec.options}" if spec.options else ""
        raise (StudyError if options else ModelError)(
            f"model {spec.label!r}: {spec.architecture} cannot be built{options}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    module = unwrapped(module)
    if not isinstance(module, nn.Module):
        raise StudyError(
            f"architecture {spec.architecture!r} returned a {type(module).__name__}: expected a torch nn.Module"
        )
    return replace_stem(module, spec.architecture) if spec.stem is not None else module


def program_path(spec: ModelSpec, name: str, suffix: str) -> Path:
    """The file of a model that contains its program too (ONNX graphs, exported programs), relative to the study file.

    Raises:
        StudyError: there is no such file, it has another suffix, or the study sets keys that do not apply.
        StorageError: it is not a regular file or may not be read.
    """
    source = spec.architecture.partition(":")[0]
    for key in KEYS_WITHOUT_PROGRAM:
        if getattr(spec, key):
            raise StudyError(f"model {spec.label!r}: `{key}` does not apply to models of {source}: remove it")
    path = spec.beside_study(name)
    if path.suffix != suffix:
        raise StudyError(f"model {spec.label!r}: {spec.architecture!r}: expected {source}:FILE{suffix}")
    try:
        check_regular(path)
    except FileNotFoundError as error:
        raise StudyError(f"model {spec.label!r}: no file at {path}") from error
    return path


def replace_stem(module: nn.Module, architecture: str) -> nn.Module:
    """Replace the stem of a ResNet or DenseNet by the CIFAR stem, in place.

    The first convolution becomes 3×3 with stride 1 and padding 1, and the max-pool is dropped, as is usual for 32-pixel
    images.

    Raises:
        StudyError: the model does not start with one 7×7 convolution and a max-pool under the usual names.
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
        f'stem = "cifar" does not fit {architecture}: expected a ResNet or DenseNet that starts with one 7×7 '
        "convolution and a max-pool; remove `stem`"
    )
