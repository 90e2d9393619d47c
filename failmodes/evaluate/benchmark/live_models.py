"""Live models: objects of this process (a torch module or a function), each with what travels with it."""

import copy
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from failmodes.evaluate.benchmark.model_options import ModelOptions
from failmodes.evaluate.benchmark.recognition import recognize_architecture
from failmodes.evaluate.models.checkpoints import save_checkpoint
from failmodes.evaluate.models.class_mapping import map_classes
from failmodes.evaluate.models.code_identity import code_hash
from failmodes.evaluate.models.loading import check_model_outputs, load_model
from failmodes.evaluate.models.model import Model, ModelConfig, tensor_hashes
from failmodes.evaluate.models.outputs import as_plain_module
from failmodes.evaluate.models.prepared_model import UNIT_RANGE
from failmodes.evaluate.models.preprocessing import Preprocessing, bytes_as_they_come, make_preprocessing
from failmodes.evaluate.models.trial import try_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.ingest.datasets.dataset import Dataset
from failmodes.ingest.specification import validate
from failmodes.warehouse.errors import ModelError, first_line
from failmodes.warehouse.hashing import identity_of

MODELS_FOLDER = "models"
CHECKPOINT_HINT = "its tensors lie in {}: write a function that builds it, and name both in a [[models]] table"


class LiveModel(NamedTuple):
    """A model of a benchmark.

    Attributes:
        model: ready for the engine.
        note: why a study file cannot name it; None where it can.
    """

    model: Model
    note: str | None


class FunctionModule(nn.Module):
    """A user's function from uint8 images (N, H, W, 3) to logits (N, C), as a module that takes (N, 3, H, W)."""

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """What the function gives for uint8 images (N, 3, H, W), as float32: logits (N, C), or several by name."""
        pixels = np.ascontiguousarray(images.cpu().permute(0, 2, 3, 1).numpy())
        logits = self.function(pixels)
        if isinstance(logits, Mapping):
            return {name: torch.as_tensor(value).to(images.device, torch.float32) for name, value in logits.items()}
        if isinstance(logits, list | tuple) and all(isinstance(row, torch.Tensor) for row in logits):
            logits = torch.stack(list(logits))
        return torch.as_tensor(logits).to(images.device, torch.float32)


class GivenModel:
    """A module or function that a user handed over, copied, so that their own is left as it is.

    Args:
        label: its name on charts.
        given: a module in any mode, or a function from uint8 images (N, H, W, 3) to logits.
        options: what is said of all models.
        sample: (2, H, W, 3) uint8 images, to try the preprocessing on.

    Raises:
        ModelError: it is neither, cannot be copied, or options do not go together.
    """

    def __init__(self, label: str, given: Any, options: ModelOptions, sample: np.ndarray) -> None:
        self.label, self.options, self.sample = label, options, sample
        self.is_module = isinstance(given, nn.Module)
        self.given = unwrapped(given)
        module = _copied(self.given, label) if self.is_module else _function(given, label)
        self.module = as_plain_module(module).float().eval()
        self.preprocessing, self.normalization = self._inputs()

    def _inputs(self) -> tuple[Preprocessing | None, Normalization | None]:
        options, subject = self.options, f"model {self.label!r}"
        if not self.is_module:
            if options.says_inputs or options.input_side_px:
                raise ModelError(
                    f"{subject} is a function, which gets uint8 pixels: prepare them inside it, and leave out "
                    "normalization, preprocess and input_side_px"
                )
            return bytes_as_they_come(), None
        if options.preprocess is None:
            return None, options.normalization or UNIT_RANGE
        if options.normalization or options.input_side_px:
            raise ModelError(
                f"{subject}: preprocess= stands instead of normalization and input_side_px: give one of them"
            )
        made = make_preprocessing(options.preprocess, self.sample, subject=subject, version=options.version)
        return made, None

    @functools.cached_property
    def output_count(self) -> int:
        """How many outputs it has, by its trial, after which its module gives logits.

        Raises:
            ModelError: it fails in its trial.
        """
        side = self.options.input_side_px
        seen = f"{side}×{side} px" if side else f"{self.sample.shape[2]}×{self.sample.shape[1]} px"
        with self._left_alone():
            tried = try_model(self._model(("any",), definition="not known yet"), self.sample[:1], seen)
        assert tried.output_count is not None
        return tried.output_count

    def as_model(self, dataset: Dataset, folder: Path) -> LiveModel:
        """The model, fitted to a data set; its tensors are saved in `folder`.

        A model that torchvision or timm builds under a name is the one that a study would name, identity included.

        Raises:
            ModelError: its outputs do not fit the classes, or its code cannot be identified.
        """
        count, checkpoint = self.output_count, self._save(folder)
        names, classes = self.options.output_names, dataset.class_names
        map_classes(
            f"model {self.label!r}", classes, self.options.class_map or {}, output_count=count, output_names=names
        )  # before its file is named in an error
        plain = self.preprocessing is None and self.options.version is None
        architecture = recognize_architecture(self.module, count) if plain and checkpoint is not None else None
        if architecture is not None and checkpoint is not None:
            spec = self._spec(architecture=architecture, checkpoint=checkpoint)
            return LiveModel(check_model_outputs(load_model(spec, dataset.class_names, checkpoint), dataset), None)
        model = self._model(dataset.class_names, definition=self._definition())
        saved = "" if checkpoint is None else f"; {CHECKPOINT_HINT.format(checkpoint.relative_to(folder))}"
        return LiveModel(check_model_outputs(model, dataset), f"{self.label}: {self._what()}{saved}")

    @contextmanager
    def _left_alone(self) -> Iterator[None]:
        """Refuse a copy whose forward pass goes through the user's own module, and would change it."""
        own = {id(part) for part in self.given.modules()} if self.is_module else set[int]()

        def check(module: nn.Module, _inputs: Any) -> None:
            if id(module) in own:
                raise ModelError(
                    f"model {self.label!r} cannot be copied: its forward pass was replaced by a function that holds "
                    "the module itself; change it in a subclass, or give a function from pixels to logits"
                )

        handle = register_module_forward_pre_hook(check)
        try:
            yield
        finally:
            handle.remove()

    def _save(self, folder: Path) -> Path | None:
        """Path of the file of its tensors; None where it has none, or some that such a file cannot hold."""
        state = self.module.state_dict().values()
        if not state or not all(isinstance(tensor, torch.Tensor) and not tensor.is_quantized for tensor in state):
            return None
        identity = identity_of(tensor_hashes(self.module))[:8]
        path = folder / MODELS_FOLDER / f"{_slug(self.label)}-{identity}.safetensors"
        if not path.exists():
            save_checkpoint(path, self.module, {})
        return path

    def _definition(self) -> str:
        """Identity of all but the tensors that a model's identity holds anyway, in float32."""
        if self.options.version is not None:
            return identity_of({"version": self.options.version, "label": self.label})
        state = self.module.state_dict(keep_vars=True)
        floats = {name: tensor for name, tensor in state.items() if _is_real(tensor)}
        return code_hash(self.module if self.is_module else self.given, subject=f"model {self.label!r}", apart=floats)

    def _model(self, class_names: tuple[str, ...], definition: str) -> Model:
        spec = self._spec(architecture=_architecture(self.given))
        config = ModelConfig(self.normalization, self.options.input_side_px, self.options.output_names)
        return Model(
            self.module, spec, class_names, *config, preprocessing=self.preprocessing, definition=definition
        )  # fmt: skip

    def _spec(self, **building: Any) -> ModelSpec:
        """What a study would say of it."""
        options = self.options
        keys = {
            "label": self.label,
            "training_seed": _seed_in(self.label),
            "normalization": self.normalization,
            "input_side_px": options.input_side_px,
            "class_names": options.class_names,
            "class_map": dict(options.class_map or {}),
            "attention_layer": options.attention_layer,
            "classes": options.classes,
            "output_key": options.output_key,
            "output_kind": options.output_kind,
            "deterministic": None if options.deterministic else False,
        }
        given = {key: value for key, value in keys.items() if value not in (None, {})}
        return validate(ModelSpec, given | building, f"model {self.label!r}")

    def _what(self) -> str:
        if not self.is_module:
            return "a function of the program that called this benchmark"
        own = " with preprocessing of its own" if self.preprocessing else ""
        return f"a {type(self.given).__qualname__} of the program that called this benchmark{own}"


def unwrapped(given: Any) -> Any:
    """The model itself, where torch.compile or DataParallel has wrapped it."""
    if isinstance(given, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrapped(given.module)
    original = getattr(given, "_orig_mod", None)
    return unwrapped(original) if isinstance(original, nn.Module) else given


def _copied(module: nn.Module, label: str) -> nn.Module:
    try:
        copied = copy.deepcopy(module, _computed(module))
        if _parts(copied) & _parts(module):
            raise TypeError("its copy shares parts with it")
        return copied.cpu()
    except Exception as error:  # whatever an attribute of a user's module raises
        raise ModelError(
            f"model {label!r} cannot be copied ({type(error).__name__}: {first_line(error)}), and a benchmark must not "
            "change yours: give the inner model, such as the `model` of a LightningModule"
        ) from error


def _computed(module: nn.Module) -> dict[int, Any]:
    """Copies by id, as `deepcopy` remembers them, of attributes with a history of gradients, which it refuses."""
    values = [value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor)]
    return {id(value): value.detach().clone() for value in values if not value.is_leaf}


def _parts(module: nn.Module) -> set[int]:
    return {id(part) for part in (*module.modules(), *module.parameters(), *module.buffers())}


def _is_real(tensor: Any) -> bool:
    return isinstance(tensor, torch.Tensor) and tensor.is_floating_point()


def _function(given: Any, label: str) -> nn.Module:
    if isinstance(given, type) or not callable(given):
        hint = f": make one, {given.__name__}()" if isinstance(given, type) else ""
        found = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
        raise ModelError(
            f"model {label!r} is {found}: expected a torch module or a function from pixels to logits{hint}"
        )
    return FunctionModule(given)


def _architecture(given: Any) -> str:
    """`module:Name` of a model's class, or of a function; for the record, not to be imported."""
    while isinstance(given, functools.partial):
        given = given.func
    thing = type(given) if isinstance(given, nn.Module) or not hasattr(given, "__qualname__") else given
    home = (thing.__module__ or "builtins").split(".")
    words = [re.sub(r"\W", "_", part) for part in (*home, thing.__qualname__.split(".")[-1])]
    return f"{'.'.join(words[:-1])}:{words[-1]}"


def _seed_in(label: str) -> int | None:
    """The training seed that a label such as "ResNet-18, seed 3" states."""
    found = re.search(r", seed (0|[1-9][0-9]{0,8})$", label)
    return int(found[1]) if found else None


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-") or "model"
