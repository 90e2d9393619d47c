"""Models in memory (a torch module, or a function from pixels to logits), copied and identified."""

import copy
import functools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, get_type_hints

import numpy as np
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from failmodes.evaluate.models.code_identity import code_hash, program_file
from failmodes.evaluate.models.load import names_in_config, output_names
from failmodes.evaluate.models.model import Model, as_plain_module, unwrapped
from failmodes.evaluate.models.preprocessing import INSIDE_THE_FUNCTION, UNIT_RANGE, Preprocessing, own_preprocessing
from failmodes.evaluate.models.trial import try_model
from failmodes.evaluate.study.study_schema import ModelSpec, Normalization
from failmodes.runtime.errors import ModelError, first_line
from failmodes.runtime.hashing import identity_of

CALL_IT = "call it, and pass the model that it returns"


class FunctionModule(nn.Module):
    """A user's function from uint8 images (N, H, W, 3) to logits (N, C), as a module that takes (N, 3, H, W)."""

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor) -> torch.Tensor | dict[str, torch.Tensor]:
        """Call the function on uint8 images (N, 3, H, W): float32 logits (N, C), or several outputs by name."""
        pixels = np.ascontiguousarray(images.cpu().permute(0, 2, 3, 1).numpy())
        logits = self.function(pixels)
        if isinstance(logits, nn.Module):
            raise ModelError(f"it returns a {type(logits).__name__}: {CALL_IT}")
        if isinstance(logits, Mapping):
            return {name: torch.as_tensor(value).to(images.device, torch.float32) for name, value in logits.items()}
        if isinstance(logits, list | tuple) and all(isinstance(row, torch.Tensor) for row in logits):
            logits = torch.stack(list(logits))
        return torch.as_tensor(logits).to(images.device, torch.float32)


def live_model(
    model_object: Any,
    spec: ModelSpec,
    images: np.ndarray,
    *,
    preprocess: Callable[..., Any] | None = None,
    version: str | None = None,
) -> Model:
    """Make a model of an object in memory, tried on some images; the object is not modified.

    Args:
        model_object: a module in any mode, or a function from uint8 images (N, H, W, 3) to logits.
        spec: the specification that a study would have; its architecture is `architecture_of(model_object)`.
        images: (N, H, W, 3) uint8, N ≥ 2, for `try_model`; the first two for `preprocess`.
        preprocess: the user's function from pixels to input, instead of normalization and size.
        version: replaces the hash of the code in the identity.

    Raises:
        StudyError: none of its outputs are logits.
        ModelError: it is neither module nor function, cannot be copied or identified, fails on the images, or options
            conflict.
    """
    subject = f"model {spec.label!r}"
    original = unwrapped(model_object)
    is_module = isinstance(original, nn.Module)
    copied = _copied(original, spec.label) if is_module else FunctionModule(_function(original, spec.label))
    module = as_plain_module(copied).float().eval()
    _check_input_options(spec, subject, is_module=is_module, has_preprocess=preprocess is not None)
    model = Model(module=module, spec=spec, architecture=spec.architecture, output_names=output_names(spec.class_names))
    if not is_module:
        model = replace(model, preprocessing=INSIDE_THE_FUNCTION)
    elif preprocess is not None:
        applied = own_preprocessing(preprocess, images[:2], subject=subject, version=version)
        model = replace(model, preprocessing=applied)
    else:
        model = _normalized(model, original)
    with _left_alone(original, subject):
        model = try_model(model, images)
    if version is not None:
        definition = identity_of({"version": version, "label": spec.label})
    else:  # without the tensors that are part of the model's identity anyway, in float32
        state = module.state_dict(keep_vars=True)
        floats = {name: t for name, t in state.items() if isinstance(t, torch.Tensor) and t.is_floating_point()}
        definition = code_hash(copied if is_module else original, subject=subject, named_tensors=floats)
    names = names_in_config(module, model.output_count) if spec.class_names is None else None
    return replace(model, definition=definition, config_names=names)


def _check_input_options(spec: ModelSpec, subject: str, *, is_module: bool, has_preprocess: bool) -> None:
    """Refuse preprocessing of a function, which receives pixels, and two kinds of preprocessing of a module.

    Raises:
        ModelError: options conflict.
    """
    says_inputs = spec.normalization is not None or spec.input_side_px is not None
    if not is_module and (says_inputs or has_preprocess):
        raise ModelError(
            f"{subject} is a function, which receives uint8 pixels: preprocess them inside it, and remove "
            "normalization, preprocess and input_side_px"
        )
    if says_inputs and has_preprocess:
        raise ModelError(f"{subject}: preprocess= replaces normalization and input_side_px: use one or the other")


def _normalized(model: Model, original: nn.Module) -> Model:
    """The model with the normalization of its specification, else of its timm configuration, else none."""
    spec = model.spec
    of_timm = _timm_normalization(original) if spec.normalization is None else None
    normalization = spec.normalization or of_timm
    is_assumed = normalization is None
    return replace(
        model,
        preprocessing=Preprocessing(normalization or UNIT_RANGE, spec.input_side_px, is_assumed=is_assumed),
        normalization_source=None if of_timm is None else "its timm configuration",
        notes=_unapplied_transform(original),
    )


def architecture_of(model_object: Any) -> str:
    """`module:Name` of a model's class or of a function; for the results, not for importing."""
    model_object = unwrapped(model_object)
    if isinstance(model_object, torch.jit.ScriptModule):
        return "torch.jit:" + re.sub(r"\W", "_", model_object.original_name)
    while isinstance(model_object, functools.partial):
        model_object = model_object.func
    thing = (
        type(model_object)
        if isinstance(model_object, nn.Module) or not hasattr(model_object, "__qualname__")
        else model_object
    )
    home = (thing.__module__ or "builtins").split(".")
    words = [re.sub(r"\W", "_", part) for part in (*home, thing.__qualname__.split(".")[-1])]
    return f"{'.'.join(words[:-1])}:{words[-1]}"


@contextmanager
def _left_alone(original: Any, subject: str) -> Iterator[None]:
    """Refuse a copy whose forward pass uses the original module, and could modify it."""
    parts = {id(part) for part in original.modules()} if isinstance(original, nn.Module) else set[int]()

    def check(module: nn.Module, _inputs: Any) -> None:
        if id(module) in parts:
            raise ModelError(
                f"{subject} cannot be copied: its forward was replaced by a function that refers to the original "
                "module; override forward in a subclass, or pass a function from pixels to logits"
            )

    handle = register_module_forward_pre_hook(check)
    try:
        yield
    finally:
        handle.remove()


def _copied(module: nn.Module, label: str) -> nn.Module:
    try:
        copied = copy.deepcopy(module, _computed(module) | _programs(module))
        if _parts(copied) & _parts(module):
            raise TypeError("the copy shares parts with the original")
        return copied.cpu()
    except Exception as error:  # any error of a user's attributes
        is_program = any(isinstance(part, torch.jit.ScriptModule) for part in module.modules())
        fix = (
            "pass the TorchScript program as it was before torch.jit.optimize_for_inference"
            if is_program
            else "pass the inner model, such as the `model` of a LightningModule"
        )
        raise ModelError(
            f"model {label!r} cannot be copied ({type(error).__name__}: {first_line(error)}), and a benchmark must not "
            f"modify the original: {fix}"
        ) from error


def _computed(module: nn.Module) -> dict[int, Any]:
    """A memo for `deepcopy` with copies of non-leaf tensors, which it refuses to copy."""
    values = [value for part in module.modules() for value in vars(part).values() if isinstance(value, torch.Tensor)]
    return {id(value): value.detach().clone() for value in values if not value.is_leaf}


def _programs(module: nn.Module) -> dict[int, Any]:
    """A memo for `deepcopy` with copies of TorchScript parts, which it would copy without parameters."""
    programs = [part for part in module.modules() if isinstance(part, torch.jit.ScriptModule)]
    inner = {id(part) for program in programs for part in program.modules() if part is not program}
    copies = {}
    for program in programs:
        if id(program) not in inner:
            with warnings.catch_warnings():  # about the deprecation of TorchScript
                warnings.simplefilter("ignore", DeprecationWarning)
                copies[id(program)] = torch.jit.load(program_file(program), map_location="cpu")  # type: ignore[no-untyped-call]
    return copies


def _timm_config(module: nn.Module) -> Mapping[str, Any]:
    """The configuration of a timm model; empty for other models."""
    config = getattr(module, "pretrained_cfg", None)
    is_timm = type(module).__module__.partition(".")[0] == "timm"
    return config if is_timm and isinstance(config, Mapping) else {}


def _unapplied_transform(module: nn.Module) -> dict[str, str]:
    """The note that the resize and crop of a timm model are not applied, by topic."""
    config = _timm_config(module)
    if not config.get("input_size"):
        return {}
    height, width = config["input_size"][1:]
    steps = f"{width}×{height} px, {config.get('interpolation')}, crop_pct {config.get('crop_pct')}"
    return {
        "resize": f"resize and crop of its timm configuration ({steps}) are not applied; to apply them: preprocess="
        "timm.data.create_transform(**timm.data.resolve_model_data_config(model))"
    }


def _timm_normalization(module: nn.Module) -> Normalization | None:
    """Mean and std in the configuration of a timm model; None for other models, or without three channels."""
    config = _timm_config(module)
    try:
        return Normalization.model_validate({key: config.get(key) for key in ("mean", "std")})
    except ValidationError:
        return None


def _parts(module: nn.Module) -> set[int]:
    return {id(part) for part in (*module.modules(), *module.parameters(), *module.buffers())}


def _function(model_object: Any, label: str) -> Any:
    if isinstance(model_object, type) or _builds_module(model_object):
        kind = "class" if isinstance(model_object, type) else "function that builds a model"
        raise ModelError(
            f"model {label!r} is the {kind} {model_object.__name__}: {CALL_IT}, such as {model_object.__name__}()"
        )
    if not callable(model_object):
        raise ModelError(
            f"model {label!r} is a {type(model_object).__name__}: expected an instance of a torch module, or a "
            "function from pixels to logits"
        )
    return model_object


def _builds_module(function: Any) -> bool:
    """Whether a function states that it returns a torch module, as those of torchvision do."""
    try:
        returned = get_type_hints(function).get("return")
    except (TypeError, NameError, AttributeError):  # not a function, or hints that cannot be resolved
        return False
    return isinstance(returned, type) and issubclass(returned, nn.Module)
