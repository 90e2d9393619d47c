"""What a model gives, as one tensor of logits: tried on two images, chosen among several outputs."""

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from failmodes.evaluate.study.study_schema import OutputKind
from failmodes.warehouse.errors import FailmodesError, ModelError, StudyError, did_you_mean, first_line

if TYPE_CHECKING:
    from failmodes.evaluate.models.model import Model

LOGITS = "logits"  # what Hugging Face's classifiers call theirs
SUM_TOLERANCE = 1e-3  # of probabilities, as in a file of predictions
SMALLEST_PROBABILITY = float(np.finfo(np.float32).smallest_subnormal)
RANDOM = (
    "it draws random numbers (a dropout that is on in evaluation, for one): mend it, or say `deterministic = false`"
)
MIXING = (
    "it uses statistics of its batch (batch norm in training mode, or dynamic quantization): mend it, or say "
    "`deterministic = false`"
)
STABLE = 1e-4  # largest difference between two passes of an image, relative to the largest logit: rounding is 1e-6

_OF_CHANNELS = re.compile(r"channel", re.I)
_OF_SHAPE = re.compile(r"size|shape|dimension|height|width|mat1|kernel|resolution|broadcast|divisible|patch", re.I)


@dataclass(frozen=True)
class LogitsHook:
    """A forward hook on a whole model that gives its logits in place of what it returned.

    Attributes:
        key: which of its outputs they are, by name or by position from "0"; None where it gives one tensor.
        kind: probabilities become their logarithm, of which a softmax gives them back.
    """

    key: str | None
    kind: OutputKind

    def __call__(self, _module: nn.Module, _inputs: Any, output: Any) -> torch.Tensor:
        """The logits among what a model gave."""
        values: torch.Tensor = output if self.key is None else _entries(output)[self.key]
        return values if self.kind == "logits" else values.float().clamp(min=SMALLEST_PROBABILITY).log()

    def describe(self) -> str:
        """In a few words, for the line that describes a model."""
        kind = "logits" if self.kind == "logits" else "probabilities, kept as their logarithm"
        return kind if self.key is None else f"{kind} (output {self.key!r} of several)"


class ScriptedModule(nn.Module):
    """A module around one of TorchScript, on which PyTorch allows little."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, inputs: torch.Tensor) -> Any:
        """What the module gives."""
        return self.inner(inputs)


def as_plain_module(module: nn.Module) -> nn.Module:
    """The module, or one around it where PyTorch allows neither hooks nor to switch gradients off."""
    return ScriptedModule(module) if isinstance(module, torch.jit.ScriptModule) else module


def try_model(model: "Model", image: np.ndarray) -> None:
    """Put images through a model on the CPU: its outputs are counted, and its module gives logits from then on.

    Args:
        model: with its weights; its classes do not matter.
        image: (1, H, W, 3) uint8; it is tried beside its negative.

    Raises:
        StudyError: its logits are not to be found among its outputs, or are probabilities and nobody says so.
        ModelError: it does not take such images, or an image's logits differ from pass to pass or batch to batch.
    """
    subject, known = f"model {model.label!r}", logits_hook(model.module)
    model.to(torch.device("cpu"))
    first = _forward(model, image)
    hook = LogitsHook(None if known else find_output_key(first, model.spec.output_key, subject), "logits")
    alone = hook(model.module, None, first)
    if alone.ndim != 2 or len(alone) != 1 or not alone.shape[1]:
        raise ModelError(f"{subject} gives {tuple(alone.shape)} for one image: expected logits of shape (1, classes)")
    images, both = np.concatenate([image, 255 - image]), alone
    try:
        both = hook(model.module, None, _forward(model, images))
    except ModelError:
        images = image  # it takes one image at a time; a run says in which cell and batch it does not
    if both.shape != (len(images), alone.shape[1]):
        raise ModelError(f"{subject} gives {tuple(both.shape)} for two images: expected {(2, alone.shape[1])}")
    if model.spec.deterministic:
        again = hook(model.module, None, _forward(model, images))
        _check_stable(again, both, f"{subject} gives an image other outputs when it is asked again", RANDOM)
        _check_stable(alone, both[:1], f"{subject} gives an image other outputs in another batch", MIXING)
    if known is None:
        hook = LogitsHook(hook.key, _output_kind(both, model.spec.output_kind, subject))
    if hook != LogitsHook(None, "logits"):
        model.module.register_forward_hook(hook)
    model.output_count = alone.shape[1]


def describe_forward_error(error: Exception, seen: str) -> str:
    """What a model raised at images that it was given, in one line, with the mend where the cause is known.

    Args:
        error: what it raised.
        seen: the images, such as "224×224 px".
    """
    message = first_line(error)
    if _OF_CHANNELS.search(message):
        fix = "convert them as its forward begins, such as by x.mean(1, keepdim=True)"
        return f"cannot take images of {seen} in three channels, RGB: {message}; {fix}"
    if _OF_SHAPE.search(message):
        return (
            f"cannot take images of {seen}: {message}; set `input_side_px` to the side that it was made for, or "
            "`options` for this one"
        )
    return f"raised {type(error).__name__} at its first images, of {seen}: {message} ({raised_at(error)})"


def raised_at(error: Exception) -> str:
    """File and line where a model raised, such as my_model.py:12."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{Path(last.filename).name}:{last.lineno}"


def _forward(model: "Model", images: np.ndarray) -> Any:
    """What the module gives for images (N, H, W, 3)."""
    try:
        with torch.no_grad():  # not inference mode: what a model caches at its first pass must serve gradients too
            return model.module(model.inputs(images))
    except FailmodesError:
        raise
    except Exception as error:  # whatever a model raises at an input that it does not take
        seen = model.preprocessing.seen(images.shape[1:])
        raise ModelError(
            f"model {model.label!r} ({model.architecture}) {describe_forward_error(error, seen)}"
        ) from error


def _output_kind(values: torch.Tensor, stated: OutputKind | None, subject: str) -> OutputKind:
    """What outputs (N, C) are: what the study says, where that can be.

    Raises:
        StudyError: they are probabilities, and nobody says so; or they are said to be, and are none.
    """
    found = are_probabilities(values)
    if stated is None and found:
        raise StudyError(
            f"{subject} gives probabilities: each row lies in 0 to 1 and sums to 1, as after a softmax; say "
            '`output_kind = "probabilities"` (or "logits", if they are)'
        )
    if stated == "probabilities" and not found:
        total = float(values[0].sum())
        raise StudyError(f'{subject} gives no probabilities: a row sums to {total:.4g}; say `output_kind = "logits"`')
    return stated or "logits"


def _check_stable(other: torch.Tensor, outputs: torch.Tensor, what: str, why: str) -> None:
    known = outputs[outputs.isfinite()].abs()
    largest = float(known.max()) if len(known) else 1.0
    difference = float((other.nan_to_num() - outputs.nan_to_num()).abs().max())
    if difference > STABLE * largest:
        raise ModelError(f"{what} (by {difference:.2g}, the largest being {largest:.3g}): {why}")


def logits_hook(module: nn.Module) -> LogitsHook | None:
    """The hook that gives a module's logits, if it has one."""
    return next((hook for hook in module._forward_hooks.values() if isinstance(hook, LogitsHook)), None)


def find_output_key(output: Any, key: str | None, subject: str) -> str | None:
    """Which of a model's outputs are its logits; None where it gives one tensor.

    One that is called "logits" is taken, else the only one of two dimensions.

    Args:
        output: a tensor; or a mapping, tuple or object with several.
        key: which one the study says.
        subject: the model, for errors.

    Raises:
        StudyError: there is no such output, or nothing says which it is.
    """
    if isinstance(output, torch.Tensor):
        if key is not None:
            raise StudyError(f"{subject} gives one tensor: leave `output_key` out")
        return None
    entries = _entries(output)
    listing = ", ".join(f"{name!r} {_shape(value)}" for name, value in entries.items()) or "none"
    if key is not None:
        if not isinstance(entries.get(key), torch.Tensor):
            hint = did_you_mean(key, entries, f"its outputs are {listing}")
            raise StudyError(f"{subject} gives no tensor as output {key!r}: {hint}")
        return key
    if isinstance(entries.get(LOGITS), torch.Tensor):
        return LOGITS
    tables = [name for name, value in entries.items() if isinstance(value, torch.Tensor) and value.ndim == 2]
    if len(tables) != 1:
        raise StudyError(
            f"{subject} gives a {type(output).__name__} ({listing}): say which of these are its logits (images, "
            "classes) with `output_key`"
        )
    return tables[0]


def are_probabilities(values: torch.Tensor) -> bool:
    """Whether all rows of outputs (N, C) lie in 0 to 1 and sum to 1, as a softmax makes them."""
    if values.shape[1] < 2:
        return False
    values = values.detach().double()
    return bool((values >= 0).all() and (values <= 1).all() and ((values.sum(1) - 1).abs() < SUM_TOLERANCE).all())


def _entries(output: Any) -> dict[str, Any]:
    """Several outputs by name, or by position."""
    if isinstance(output, Mapping):
        return {str(name): value for name, value in output.items()}
    if isinstance(output, tuple | list):
        names = getattr(output, "_fields", range(len(output)))
        return {str(name): value for name, value in zip(names, output, strict=True)}
    return dict(vars(output)) if hasattr(output, "__dict__") else {}


def _shape(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, torch.Tensor) else type(value).__name__
